import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { withSource } from '../../src/state/edit.js';
import { sampleSource, sampleState } from '../../src/state/sample-state.js';
import type { StateDocument } from '../../src/state/state.js';
import type { FaultEffect } from '../s3/fault.js';
import type { MemoryS3 } from '../s3/memory-s3.js';
import { makePlace, type Place } from './backends.js';
import { Gate } from './gate.js';

/** A state in a bucket, where answers are lost, others write in between, and servers do not know conditions. */

const KEY = 'team/state.json';
const first: StateDocument = { ...sampleState(), serial: 0 };

let place: Place;
let s3: MemoryS3;

beforeEach(async () => {
  place = await makePlace('s3', noPostgres);
  if (place.s3 === null) throw new Error('no bucket');
  s3 = place.s3;
});
afterEach(() => place.remove());

/** Strikes writes of the state itself, not those of its backup or of the probe. */
function onState(does: FaultEffect, times = 1) {
  return s3.fault({ on: ({ key, operation }) => key === KEY && operation === 'PutObject', does, times });
}

const answers = () => s3.requests.filter(({ key, method }) => key === KEY && method === 'PUT').map((r) => r.status);

describe('the answer to a write is lost after it took effect', () => {
  test('the first document: the repetition is refused, and the write known as our own', async () => {
    const { store } = place.open();
    const lost = onState('lose_answer');
    const written = await store.write(first, null);
    expect(lost.struck).toBe(1);
    expect(answers()).toEqual(['broken', 412]);
    expect(written.serial).toBe(1);
    expect(await place.open().store.read()).toEqual(written);
  });

  test('a later one: exactly one serial more, and the backup is the version before', async () => {
    const { store } = place.open();
    const one = await store.write(first, null);
    const oneText = await place.raw();
    const lost = onState('lose_answer');
    const two = await store.write(withSource(one, 'other', sampleSource()), one);
    expect(lost.struck).toBe(1);
    expect(answers()).toEqual([200, 'broken', 412]);
    expect(await place.open().store.read()).toEqual(two);
    expect(two.serial).toBe(2);
    expect(await place.raw('backup')).toBe(oneText);
    expect((await store.write(two, two)).serial, 'and it goes on').toBe(3);
  });

  test('no repetition has an answer either: a look tells whose write it is', async () => {
    const { store } = place.open();
    const one = await store.write(first, null);
    onState('lose_answer');
    const down = onState('drop', Number.POSITIVE_INFINITY);
    const two = await store.write(one, one);
    expect(down.struck).toBeGreaterThan(0);
    expect(await place.open().store.read()).toEqual(two);
    expect(two.serial).toBe(2);
  });

  test.each<{ name: string; over: 'nothing' | 'anything' }>([
    { name: 'put where there was nothing', over: 'nothing' },
    { name: 'put over anything', over: 'anything' },
  ])('$name', async ({ over }) => {
    const { store } = place.open();
    if (over === 'anything') await store.write(first, null);
    const lost = onState('lose_answer');
    await store.put({ ...first, serial: 9 }, over);
    expect(lost.struck).toBe(1);
    expect((await store.read())?.serial).toBe(9);
  });

  test('the note of a move', async () => {
    const { store } = place.open();
    const one = await store.write(first, null);
    const lost = onState('lose_answer');
    await store.leave(one, 'elsewhere', new Date());
    expect(lost.struck).toBe(1);
    await expect(store.read()).rejects.toMatchObject({ code: 'STATE_MOVED' });
  });
});

test('a write that never arrives is repeated', async () => {
  const { store } = place.open();
  const one = await store.write(first, null);
  onState('drop');
  expect((await store.write(one, one)).serial).toBe(2);
  expect((await store.read())?.serial).toBe(2);
});

test('a write that no attempt brings through is told as not written', async () => {
  const { store } = place.open();
  const one = await store.write(first, null);
  const text = await place.raw();
  const down = onState('drop', Number.POSITIVE_INFINITY);
  await expect(store.write(one, one)).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });
  expect(await place.raw()).toBe(text);
  down.clear();
  expect((await store.write(one, one)).serial).toBe(2);
});

test('where the place does not answer any more, the error says that it is unknown', async () => {
  const { store } = place.open();
  const one = await store.write(first, null);
  onState('lose_answer');
  // The look before the write goes through; everything after the lost answer does not.
  const writes = s3.requests.length;
  const down = s3.fault({
    on: () => s3.requests.slice(writes).some(({ key, status }) => key === KEY && status === 'broken'),
    does: 'drop',
    times: Number.POSITIVE_INFINITY,
  });
  await expect(store.write(one, one)).rejects.toMatchObject({
    code: 'STORE_UNREACHABLE',
    message: expect.stringContaining('whether it was written cannot be seen'),
    hint: expect.stringContaining('sluice plan'),
  });
  down.clear();
  expect((await place.open().store.read())?.serial).toBe(2);
});

describe('another writer comes in between', () => {
  test('before ours: a conflict, and its document stays', async () => {
    const { store } = place.open();
    const one = await store.write(first, null);
    const held = new Gate();
    onState({ until: held.opened });
    const late = store.write(one, one);
    await expect.poll(() => answers().length).toBe(2);
    const theirs = await place.open().store.write(withSource(one, 'theirs', sampleSource()), one);
    held.open();
    await expect(late).rejects.toMatchObject({
      code: 'STATE_CONFLICT',
      message: expect.stringContaining('expected serial 1 of lineage a-lineage, found serial 2'),
    });
    expect(await store.read()).toEqual(theirs);
  });

  test('before the repetition of one that was lost on the way: a conflict, and its document stays', async () => {
    const { store } = place.open();
    const one = await store.write(first, null);
    const theirs = place.open().store;
    await theirs.read();
    const dropped = onState({ answer: 'InternalError' });
    const writing = store.write(one, one);
    await expect.poll(() => dropped.struck).toBe(1);
    // The client pauses before it repeats; whoever comes first, one is told.
    const results = await Promise.allSettled([writing, theirs.write(withSource(one, 'theirs', sampleSource()), one)]);
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect((await store.read())?.serial).toBe(2);
  });

  test('over ours, whose answer was lost: their document stays, and nobody is told that nothing was written', async () => {
    const { store } = place.open();
    const one = await store.write(first, null);
    onState('lose_answer');
    const held = new Gate();
    onState({ until: held.opened });
    const writing = store.write(one, one);
    await expect.poll(() => answers()).toEqual([200, 'broken', null]);
    const other = place.open().store;
    const ours = await other.read();
    expect(ours?.serial).toBe(2);
    const theirs = await other.write(withSource(ours ?? one, 'theirs', sampleSource()), ours);
    held.open();
    await expect(writing).rejects.toMatchObject({
      code: 'STATE_CONFLICT',
      message: expect.stringContaining('found serial 3'),
      hint: expect.not.stringContaining('nothing was written'),
    });
    expect(await store.read()).toEqual(theirs);
  });
});

describe('a server that does not honour conditions is refused before anything is written', () => {
  test.each<{ name: string; header: string; says: RegExp }>([
    { name: 'If-None-Match', header: 'if-none-match', says: /ignores If-None-Match/ },
    { name: 'If-Match', header: 'if-match', says: /ignores If-Match/ },
  ])('$name', async ({ header, says }) => {
    await place.remove();
    place = await makePlace('s3', noPostgres, { bucket: { deafTo: [header] } });
    if (place.s3 === null) throw new Error('no bucket');
    const { store, lock } = place.open();
    expect(await store.read(), 'reading needs none').toBeNull();
    const refusal = {
      code: 'STORE_NOT_CONDITIONAL',
      message: expect.stringMatching(says),
      hint: expect.stringContaining('type: postgres'),
    };
    await expect(store.write(first, null)).rejects.toMatchObject(refusal);
    await expect(store.put(first, 'anything')).rejects.toMatchObject(refusal);
    await expect(lock.acquire(0, new AbortController().signal)).rejects.toMatchObject(refusal);
    expect(place.s3.objects(), 'no state, no lock, no probe').toEqual([]);
  });
});

function noPostgres(): never {
  throw new Error('a bucket needs no server of Postgres');
}
