import { describe, expect, test } from 'vitest';
import { realClock } from './real-clock.js';

describe('sleep', () => {
  test('ends after its time', async () => {
    const started = realClock.monotonicMs();
    await realClock.sleep(20, new AbortController().signal);
    expect(realClock.monotonicMs() - started).toBeGreaterThanOrEqual(19);
  });

  test('rejects with the reason of the abort, at once', async () => {
    const controller = new AbortController();
    const reason = new Error('stop');
    const sleep = realClock.sleep(60_000, controller.signal);
    controller.abort(reason);
    await expect(sleep).rejects.toBe(reason);
    await expect(realClock.sleep(1, controller.signal)).rejects.toBe(reason);
  });

  test("a wait beyond Node's longest timer does not end early", async () => {
    const controller = new AbortController();
    let ended = false;
    const sleep = realClock.sleep(2 ** 31 + 1_000, controller.signal).then(
      () => {
        ended = true;
      },
      () => undefined,
    );
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(ended).toBe(false);
    controller.abort();
    await sleep;
  });
});

test('now is a date', () => {
  expect(Math.abs(realClock.now().getTime() - Date.now())).toBeLessThan(1_000);
});
