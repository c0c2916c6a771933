import { expect, test } from 'vitest';
import { Gate } from './gate.js';

/** Work that begins when it is let in and ends when it is told to. */
function piece(gate: Gate, weight: number, signal?: AbortSignal) {
  let end = (): void => undefined;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const state = { begun: false, end: () => end() };
  const done = gate.run(
    weight,
    async () => {
      state.begun = true;
      await ended;
    },
    signal,
  );
  return Object.assign(state, { done });
}
const settled = () => new Promise((resolve) => setImmediate(resolve));

test('lets in what there is room for, in order', async () => {
  const gate = new Gate(10);
  const [a, b, c, d] = [piece(gate, 6), piece(gate, 6), piece(gate, 1), piece(gate, 100)];
  await settled();
  expect([a.begun, b.begun, c.begun, d.begun]).toEqual([true, false, false, false]);
  a.end();
  await a.done;
  await settled();
  expect([b.begun, c.begun, d.begun]).toEqual([true, true, false]);
  b.end();
  c.end();
  await Promise.all([b.done, c.done]);
  await settled();
  expect(d.begun).toBe(true);
  d.end();
  await d.done;
});

test('one that gives up makes room for who stands behind it', async () => {
  const gate = new Gate(10);
  const stop = new AbortController();
  const a = piece(gate, 6);
  const b = piece(gate, 6, stop.signal);
  const c = piece(gate, 4);
  await settled();
  expect(c.begun).toBe(false);
  stop.abort(new Error('enough'));
  await expect(b.done).rejects.toThrow('enough');
  expect([b.begun, c.begun]).toEqual([false, true]);
  a.end();
  c.end();
  await Promise.all([a.done, c.done]);
});

test('work that fails gives its room back', async () => {
  const gate = new Gate(1);
  await expect(gate.run(1, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(await gate.run(1, () => Promise.resolve('in'))).toBe('in');
});
