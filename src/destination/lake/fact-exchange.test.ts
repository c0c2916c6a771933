import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DuckDbSession } from '../duckdb/session.js';
import { exportFacts, forgetFacts, importFacts, knownSources } from './fact-exchange.js';

let folder: string;
const open: DuckDbSession[] = [];
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sluice-facts-'));
});
afterAll(async () => {
  for (const session of open) session.close();
  await rm(folder, { recursive: true });
});

async function workFile(name: string): Promise<DuckDbSession> {
  const settings = { path: path.join(folder, name), memoryLimitMb: 64, threads: 1, busyWaitMs: 0 };
  const session = await DuckDbSession.open(settings, () => undefined);
  await session.prepareLayout();
  open.push(session);
  return session;
}

const HOSTILE = `it's "quoted" \\ {json} ü 💧`;

test('what a file records of a source comes back in another, and nothing of its neighbours', async () => {
  const from = await workFile('from.duckdb');
  for (const source of ['shop', 'shop2']) {
    await from.run(
      `INSERT INTO _sluice.streams (source, slot, confirmed_lsn, confirmed_at, timeline_id, unseen)
       VALUES ('${source}', 's', 'FFFFFFFF/FFFFFFFF', TIMESTAMPTZ '2026-03-02 12:00:00.123456+02', NULL, [1, 4294967295])`,
    );
    await from.run(
      `INSERT INTO _sluice.tables (address, target_schema, target_name, loaded_generation, rows, "cursor", load_rows_per_second)
       VALUES ('${source}:public.t', 'public', '${HOSTILE.replaceAll("'", "''")}', 3, 9007199254740993, NULL, 0.1)`,
    );
    await from.run(
      `INSERT INTO _sluice.runs (run_id, source, address, ended_at, rows) SELECT 'r' || i, '${source}', '${source}:public.t',
         TIMESTAMPTZ '2026-03-02 12:00:00+00' + to_seconds(i), i FROM range(400) n(i)`,
    );
  }
  await from.run('CREATE TABLE _sluice.partitions (address VARCHAR, seen_xmin VARCHAR, leaves VARCHAR)');
  await from.run(`INSERT INTO _sluice.partitions VALUES ('shop:public.t', '7', '[{"oid": 1}]')`);
  const facts = await exportFacts(from, 'shop');
  const to = await workFile('to.duckdb');
  await importFacts(to, JSON.parse(JSON.stringify(facts)), folder);
  expect(await exportFacts(to, 'shop')).toEqual(facts);
  expect(await knownSources(to)).toEqual(['shop']);
  expect(facts['tables']?.[0]).toMatchObject({ target_name: HOSTILE, rows: '9007199254740993', cursor: null });
  // Of the runs only the newest travel.
  expect(facts['runs']?.length).toBe(300);
  expect(facts['runs']?.at(-1)).toMatchObject({ run_id: 'r399' });

  await forgetFacts(from, 'shop');
  expect(await knownSources(from)).toEqual(['shop2']);
  expect(Object.values(await exportFacts(from, 'shop')).flat()).toEqual([]);
});

test('columns that this version does not know are left out, missing ones are NULL', async () => {
  const session = await workFile('other.duckdb');
  await importFacts(session, { tables: [{ address: 'shop:t', from_the_future: 1 }] }, folder);
  expect(await session.rows('SELECT address, rows FROM _sluice.tables')).toEqual([{ address: 'shop:t', rows: null }]);
});
