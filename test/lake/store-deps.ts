import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { StoreDeps } from '../../src/destination/lake/store/store-deps.js';
import { systemProcesses } from '../../src/state/process-table.js';

/** The system's own time, chance and processes. */
export const systemStoreDeps: StoreDeps = {
  host: 'here',
  pid: process.pid,
  command: 'sluice test',
  processes: systemProcesses,
  newToken: () => randomUUID(),
  random: Math.random,
  clock: {
    now: () => new Date(),
    monotonicMs: () => performance.now(),
    sleep: (ms, signal) => pause(ms, undefined, { signal }),
  },
};
