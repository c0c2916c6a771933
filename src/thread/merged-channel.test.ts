import { expect, test } from 'vitest';
import { SluiceError } from '../error/sluice-error.js';
import { abandonReceiver, BatchSender, interruptReceiver } from './batch-channel.js';
import { claimedTasks, claimTask, isPauseAsked, MergedReceiver, openMergedChannel } from './merged-channel.js';

function open(senders: number, interruptible = false) {
  const channel = openMergedChannel(senders);
  return {
    control: channel.control,
    senders: channel.senders.map((end) => new BatchSender<string>(end, 2)),
    receiver: new MergedReceiver<string>(channel.receiver, interruptible),
  };
}

test('everything of all senders arrives, in turn, and the end comes after the last', () => {
  const { senders, receiver } = open(2);
  const [a, b] = senders;
  a?.send('a1', []);
  a?.send('a2', []);
  b?.send('b1', []);
  expect([receiver.next(), receiver.next(), receiver.next()]).toEqual(['a1', 'b1', 'a2']);
  a?.end();
  b?.send('b2', []);
  b?.end();
  expect([receiver.next(), receiver.next(), receiver.next()]).toEqual(['b2', null, null]);
});

test('each sender has a window of its own', async () => {
  const { senders, receiver } = open(2);
  const [a, b] = senders;
  a?.send('1', []);
  a?.send('2', []);
  expect([a?.isFull, b?.isFull]).toEqual([true, false]);
  const room = a?.waitForRoom(new AbortController().signal);
  receiver.next();
  await room;
  expect(a?.isFull).toBe(false);
  receiver.close();
});

test('the failure of one sender is thrown', () => {
  const { senders, receiver } = open(2);
  senders[1]?.fail(new SluiceError({ code: 'VALUE_MALFORMED', message: 'bad' }));
  expect(() => receiver.next()).toThrow('bad');
  receiver.close();
});

test('when one side is gone the other does not wait for ever', async () => {
  const { senders, receiver, control } = open(1);
  const [a] = senders;
  a?.send('1', []);
  a?.send('2', []);
  abandonReceiver(control);
  await expect(a?.waitForRoom(new AbortController().signal)).rejects.toMatchObject({ code: 'CANCELLED' });
  // What was sent is taken first.
  expect([receiver.next(), receiver.next()]).toEqual(['1', '2']);
  expect(() => receiver.next()).toThrow(SluiceError);
  receiver.close();
});

test('a pause is for the receiver or for the senders', () => {
  for (const interruptible of [true, false]) {
    const { senders, receiver, control } = open(1, interruptible);
    senders[0]?.send('1', []);
    expect(isPauseAsked(control)).toBe(false);
    interruptReceiver(control);
    expect(isPauseAsked(control)).toBe(true);
    expect(receiver.next()).toBe(interruptible ? 'interrupted' : '1');
    receiver.close();
  }
});

test('tasks are claimed once each, and none beyond the last', () => {
  const { control } = openMergedChannel(2);
  expect(claimedTasks(control, 3)).toBe(0);
  expect([1, 2, 3, 4, 5].map(() => claimTask(control, 3))).toEqual([0, 1, 2, null, null]);
  expect(claimedTasks(control, 3)).toBe(3);
});
