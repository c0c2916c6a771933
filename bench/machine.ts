import { readFileSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
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

/** Linux counts in hundredths of a second for every user of /proc, whatever the kernel's own tick is. */
const TICKS_PER_SECOND = 100;
/** The server counts a session's time once it has seen it end, a little after the client is gone. */
const SESSION_END_MS = 200;

/** What else used the CPU while a program ran. */
export interface Company {
  /** Of the server's sessions that ended meanwhile: the program's own. */
  readonly serverCpuSeconds: number;
  /** CPU of everybody on the machine, the program and the server included. */
  readonly machineCpuSeconds: number;
}

/** Runs the work and tells what else went on. Company is null where there is no Linux /proc. */
export async function withCompany<T>(
  postgres: TestPostgres,
  work: () => Promise<T>,
): Promise<{ result: T; company: Company | null }> {
  await sleep(SESSION_END_MS);
  const serverBefore = serverSeconds(postgres);
  const machineBefore = machineSeconds();
  const result = await work();
  const machineAfter = machineSeconds();
  await sleep(SESSION_END_MS);
  const serverAfter = serverSeconds(postgres);
  if (serverBefore === null || machineBefore === null || machineAfter === null || serverAfter === null) {
    return { result, company: null };
  }
  const company = {
    serverCpuSeconds: serverAfter - serverBefore,
    machineCpuSeconds: machineAfter - machineBefore,
  };
  return { result, company };
}

function machineSeconds(): number | null {
  const line = textOf('/proc/stat')?.split('\n', 1)[0];
  if (line === undefined) return null;
  const [, user, nice, system, , , irq, softIrq] = fieldsOf(line);
  return seconds(user, nice, system, irq, softIrq);
}

function serverSeconds(postgres: TestPostgres): number | null {
  const pid = textOf(path.join(postgres.dir, 'data', 'postmaster.pid'))?.split('\n', 1)[0];
  // The program's name in parentheses may hold spaces. Behind it, cutime and cstime are the 14th and 15th field.
  const line = textOf(`/proc/${pid}/stat`)?.replace(/^.*\) /s, '');
  if (line === undefined) return null;
  const fields = fieldsOf(line);
  return seconds(fields[13], fields[14]);
}

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function fieldsOf(line: string): number[] {
  return line.split(/\s+/).map(Number);
}

function seconds(...ticks: readonly (number | undefined)[]): number {
  return ticks.reduce<number>((total, count) => total + (count ?? 0), 0) / TICKS_PER_SECOND;
}
