import { expect, test } from 'vitest';
import { startTicks, systemProcesses } from './process-table.js';

const TAIL = 'S 1 2 2 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1000 10 18446744073709551615';

test.each<{ name: string; stat: string; ticks: string | null }>([
  { name: 'a plain command', stat: `42 (node) ${TAIL}`, ticks: '987654' },
  { name: 'a command with spaces and brackets', stat: `42 (a (b) c) d) ${TAIL}`, ticks: '987654' },
  { name: 'a zombie is as good as gone', stat: `42 (node) Z ${TAIL.slice(2)}`, ticks: 'dead' },
  { name: 'too short', stat: '42 (node) S 1', ticks: null },
])('$name', (c) => expect(startTicks(c.stat)).toBe(c.ticks));

test('the own process lives and keeps its start time', () => {
  expect(systemProcesses.exists(process.pid)).toBe(true);
  expect(systemProcesses.startedAt(process.pid)).toBe(systemProcesses.startedAt(process.pid));
});

test('a pid beyond the largest possible one does not live', () => {
  expect(systemProcesses.exists(2 ** 22 + 1)).toBe(false);
  expect(systemProcesses.startedAt(2 ** 22 + 1)).toBeNull();
});
