import { describe, expect, test } from 'vitest';
import { Places } from './places.js';

const never = new AbortController().signal;
/** Whoever waits for a place that is free by now has it after this. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('places', () => {
  test('let so many in at once, the others in the order in which they came', async () => {
    const places = new Places(2);
    const order: string[] = [];
    const leave: (() => void)[] = [];
    const all = ['a', 'b', 'c', 'd', 'e'].map((name) =>
      places.run(never, async () => {
        order.push(name);
        await new Promise<void>((resolve) => leave.push(resolve));
      }),
    );
    await settled();
    expect(order).toEqual(['a', 'b']);
    expect(places.isWaitedFor).toBe(true);
    for (const expected of ['abc', 'abcd', 'abcde', 'abcde', 'abcde']) {
      leave.shift()?.();
      await settled();
      expect(order.join('')).toBe(expected);
    }
    await Promise.all(all);
    expect(places.isFull).toBe(false);
  });

  test('are given back by work that fails, and not taken by whoever stops waiting', async () => {
    const places = new Places(1);
    const stop = new AbortController();
    let fail = (): void => undefined;
    const first = places.run(never, () => new Promise<void>((_, reject) => (fail = () => reject(new Error('failed')))));
    await settled();
    const second = places.run(stop.signal, async () => 'second');
    const third = places.run(never, async () => 'third');
    stop.abort(new Error('stopped'));
    await expect(second).rejects.toThrow('stopped');
    fail();
    await expect(first).rejects.toThrow('failed');
    expect(await third).toBe('third');
    expect(places.isFull).toBe(false);
  });

  test('without a limit keep nobody waiting', async () => {
    const places = new Places(null);
    const taken = await Promise.all(Array.from({ length: 100 }, () => places.take(never)));
    expect(taken).toHaveLength(100);
    expect(places.isFull).toBe(false);
  });
});
