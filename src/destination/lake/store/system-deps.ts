import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemProcesses } from '../../../state/process-table.js';
import type { StoreDeps } from './store-deps.js';

/** The machine's own: for a thread, which is an entry point of its own. @param command what the process does */
export function systemDeps(command: string): StoreDeps {
  return {
    host: hostname(),
    pid: process.pid,
    command,
    clock: {
      now: () => new Date(),
      monotonicMs: () => performance.now(),
      sleep: async (ms, signal) => {
        await sleep(ms, undefined, { signal });
      },
    },
    processes: systemProcesses,
    newToken: () => randomUUID(),
    random: () => Math.random(),
  };
}
