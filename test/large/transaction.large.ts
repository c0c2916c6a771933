import { type ChildProcess, spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { EngineFixture, lsnValue } from '../engine-fixture.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';

/**
 * One transaction of 10,000,000 row changes (SLUICE_LARGE_CHANGES: another number) by each transport: memory has a
 * ceiling, and the destination shows all of it or nothing. Linux only, where /proc tells a process's peak.
 */

const CHANGES = Number(process.env['SLUICE_LARGE_CHANGES'] ?? 10_000_000);
const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
/** DuckDB's own limit (512 MB here) and as much again for Node, its threads and what both allocate beside it. */
const DUCKDB_LIMIT_MB = 512;
const CEILING_MB = 1_100;
const LOOK_MS = 250;

let postgres: TestPostgres;

beforeAll(async () => {
  postgres = await startPostgres({ major: 17, settings: { max_wal_size: '8GB', wal_sender_timeout: '60s' } });
});
afterAll(() => postgres?.stop());

test.each(['scheduled', 'continuous'] as const)('by the %s transport', async (transport) => {
  const database = `large_${transport}`;
  await postgres.createDatabase(database);
  await postgres.query('create table t (id int primary key, n bigint, v text)', [], database);
  const fixture = await EngineFixture.create({
    postgres,
    database,
    tables: { 'public.t': {} },
    cdc: { slot: database, publication: database, transport },
    destination: { memory_limit_mb: DUCKDB_LIMIT_MB },
  });
  try {
    await fixture.apply();
    await fixture.sync();
    await fixture.close();
    const daemon = transport === 'continuous' ? run(fixture, ['daemon']) : null;
    if (daemon !== null) await daemon.until(async () => (await slotOf(fixture)).active);
    await fixture.source(largeTransaction(CHANGES));
    const [written] = await fixture.source<{ lsn: string }>('select pg_current_wal_flush_lsn()::text as lsn');
    const target = lsnValue(written?.lsn ?? '0/0');
    const startedMs = performance.now();
    const measured = daemon ?? run(fixture, ['sync', '--until-caught-up']);
    if (daemon === null) await measured.ended;
    else await daemon.until(async () => lsnValue((await slotOf(fixture)).lsn) >= target);
    const seconds = (performance.now() - startedMs) / 1000;
    if (daemon !== null) {
      daemon.child.kill('SIGTERM');
      await daemon.ended;
    }
    const peak = measured.peakMb();
    process.stdout.write(`${transport}: ${CHANGES} changes in ${seconds.toFixed(1)} s, peak ${peak} MB\n`);
    const [source] = await fixture.source<{ row: string[] }>(
      'select array[count(*)::text, sum(id)::text, sum(n)::text, count(distinct v)::text] as row from t',
    );
    const [rows] = await fixture.read((duckdb) =>
      duckdb.rows('SELECT count(*), sum(id), sum(n), count(DISTINCT v) FROM public.t WHERE NOT _ph_deleted'),
    );
    expect(rows).toEqual(source?.row);
    const commits = await fixture.read((duckdb) => duckdb.rows('SELECT count(DISTINCT _ph_cdc_lsn) FROM public.t'));
    expect(commits, 'one transaction').toEqual([['1']]);
    expect(peak).toBeLessThan(CEILING_MB);
    expect(await readdir(path.dirname(fixture.stateFile))).not.toContain('spill');
  } finally {
    await fixture.remove();
  }
});

/** Four tenths inserts, four tenths updates, two tenths deletes, in one statement after the other. */
function largeTransaction(changes: number): string {
  const inserts = Math.round(changes * 0.4);
  return `begin;
    insert into t select i, i, 'v' || (i % 1000) from generate_series(1, ${inserts}) i;
    update t set n = n + 1, v = 'w' || (id % 500);
    delete from t where id % 2 = 0;
    commit`;
}

async function slotOf(fixture: EngineFixture): Promise<{ active: boolean; lsn: string }> {
  const [slot] = await fixture.source<{ active: boolean; lsn: string }>(
    'select active, confirmed_flush_lsn::text as lsn from pg_replication_slots where slot_name = $1',
    [fixture.slot],
  );
  return slot ?? { active: false, lsn: '0/0' };
}

interface Measured {
  readonly child: ChildProcess;
  readonly ended: Promise<void>;
  /** Waits; fails when the process ends before. */
  until(reached: () => Promise<boolean>): Promise<void>;
  peakMb(): number;
}

/** The CLI as a child, its peak memory looked at as long as it lives. */
function run(fixture: EngineFixture, args: readonly string[]): Measured {
  const child = spawn(process.execPath, [MAIN, '-c', fixture.configFile, ...args], {
    cwd: fixture.folder,
    env: { PATH: process.env['PATH'] ?? '', HOME: fixture.folder, ...fixture.environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  let exited = false;
  const ended = new Promise<void>((resolve, reject) => {
    child.once('close', (code) => {
      exited = true;
      if (code === 0) resolve();
      else reject(new Error(`sluice ${args.join(' ')} ended with ${code}:\n${output}`));
    });
  });
  ended.catch(() => undefined);
  let peakKb = 0;
  const looking = (async () => {
    while (!exited) {
      const status = await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '');
      peakKb = Math.max(peakKb, Number(/^VmHWM:\s+([0-9]+) kB/m.exec(status)?.[1] ?? 0));
      await sleep(LOOK_MS);
    }
  })();
  looking.catch(() => undefined);
  return {
    child,
    ended,
    async until(reached) {
      while (!(await reached())) {
        if (exited) throw new Error(`sluice ${args.join(' ')} ended early:\n${output}`);
        await sleep(LOOK_MS);
      }
    },
    peakMb: () => Math.round(peakKb / 1024),
  };
}
