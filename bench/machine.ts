import { readFileSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';
import path from 'node:path';
import { version as duckdbVersion } from '@duckdb/node-api';
import type { TestPostgres } from '../test/postgres/server.js';

export interface Machine {
  readonly cores: number;
  readonly cpu: string;
  readonly memoryBytes: number;
  readonly system: string;
  readonly node: string;
  readonly postgres: string;
  readonly duckdb: string;
}

export async function describeMachine(postgres: TestPostgres): Promise<Machine> {
  const [row] = await postgres.query<{ server_version: string }>('show server_version');
  return {
    cores: cpus().length,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    memoryBytes: totalmem(),
    system: `${type()} ${release()}`,
    node: process.versions.node,
    postgres: row?.server_version ?? 'unknown',
    duckdb: duckdbVersion().replace(/^v/, ''),
  };
}

/** CPU seconds since some fixed moment: of the whole machine, and of the server's sessions that have ended. */
export interface CpuClock {
  readonly machine: number;
  readonly server: number;
}

/** Linux counts in hundredths of a second for every user of /proc, whatever the kernel's own tick is. */
const TICKS_PER_SECOND = 100;

/** @returns null where there is no /proc */
export function readCpuClock(postgres: TestPostgres): CpuClock | null {
  try {
    const [user, nice, system, , , irq, softIrq] =
      readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]?.split(/\s+/).slice(1).map(Number) ?? [];
    const pid = readFileSync(path.join(postgres.dir, 'data', 'postmaster.pid'), 'utf8').split('\n', 1)[0] ?? '';
    // The name in parentheses may hold spaces; cutime and cstime are the 14th and 15th field behind it.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')
      .map(Number);
    const sum = (...ticks: (number | undefined)[]) =>
      ticks.reduce<number>((total, n) => total + (n ?? 0), 0) / TICKS_PER_SECOND;
    return { machine: sum(user, nice, system, irq, softIrq), server: sum(fields[13], fields[14]) };
  } catch {
    return null;
  }
}

/** How much CPU the server and everybody else used while a program ran. Null where it cannot be told. */
export interface Company {
  readonly serverCpuSeconds: number;
  /** Cores that neither the program nor the server's session used: the noise. */
  readonly otherCores: number;
}

export function companyOf(
  before: CpuClock | null,
  after: CpuClock | null,
  cost: { readonly cpuSeconds: number; readonly wallSeconds: number },
): Company | null {
  if (before === null || after === null) return null;
  const serverCpuSeconds = after.server - before.server;
  const other = after.machine - before.machine - serverCpuSeconds - cost.cpuSeconds;
  return { serverCpuSeconds, otherCores: Math.max(0, other / cost.wallSeconds) };
}
