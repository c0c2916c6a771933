import { expect, test } from 'vitest';
import { LogRing } from './log-ring.js';

const line = (level: string, n: number, pad = ''): string => `{"level":"${level}","n":${n},"pad":"${pad}"}\n`;

test('the last lines from a level up, oldest first', () => {
  const ring = new LogRing();
  ring.push(line('debug', 1));
  ring.push(line('info', 2));
  ring.push(line('error', 3));
  ring.push('no line of ours\n');
  const texts = (count: number, level: 'trace' | 'info' | 'error'): string[] =>
    ring.last(count, level).map(({ text }) => text);
  expect(texts(10, 'trace')).toHaveLength(4);
  expect(texts(10, 'info')).toEqual([line('info', 2).trim(), line('error', 3).trim(), 'no line of ours']);
  expect(texts(2, 'info')).toEqual([line('error', 3).trim(), 'no line of ours']);
  expect(texts(0, 'trace')).toEqual([]);
});

test('it is bounded by lines and by characters', () => {
  const ring = new LogRing();
  for (let n = 0; n < 7_000; n += 1) ring.push(line('info', n));
  expect(ring.last(100_000, 'trace')).toHaveLength(5_000);
  expect(ring.last(1, 'trace')[0]?.text).toContain('"n":6999');
  for (let n = 0; n < 100; n += 1) ring.push(line('info', n, 'x'.repeat(100_000)));
  const kept = ring.last(100_000, 'trace');
  expect(kept.length).toBeLessThan(45);
  expect(kept.at(-1)?.text).toContain('"n":99,');
});

test('whoever follows hears new lines until they leave', () => {
  const ring = new LogRing();
  const heard: string[] = [];
  const stop = ring.follow('warn', ({ text }) => heard.push(text));
  ring.push(line('info', 1));
  ring.push(line('warn', 2));
  stop();
  ring.push(line('warn', 3));
  expect(heard).toEqual([line('warn', 2).trim()]);
});
