import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, expect, test } from 'vitest';
import { decodeManifest, type Manifest } from '../../src/destination/parquet/manifest.js';
import { eventually } from '../cli/workspace.js';
import type { Cells, EngineFixture } from '../engine-fixture.js';
import { freshFixtures } from '../fresh-fixtures.js';
import { runCli, runToEnd } from '../kill/killed-cli.js';

/** What the daemon and the commands of upkeep do to tables of Parquet files: the rows stay what they are. */

/** The daemon loads, compacts and vacuums within it on a busy machine. */
const DAEMON_MS = 240_000;
/** The least there is, so that a test need not wait. */
const RETENTION_MS = 1_000;
/** More changed rows than a daemon leaves beside a snapshot of few. */
const MANY = 12_000;

const fresh = freshFixtures('upkeep');
let fixture: EngineFixture;

beforeEach(async () => {
  const tables = ['items', 'notes'].map(
    (name) => `create table ${name} (id int primary key, v text);
      insert into ${name} select i, 'row ' || i from generate_series(1, 100) as i`,
  );
  fixture = await fresh({
    sql: tables.join(';\n'),
    tables: { 'public.items': { output: 'both', deletes: 'hard' }, 'public.notes': { deletes: 'hard' } },
    destination: {
      ...{ type: 'local', path: 'lake', format: 'parquet' },
      maintenance: { every: '1s', retention: `${RETENTION_MS}ms` },
    },
  });
});

/** A sync of its own, which leaves changes beside the snapshot. */
async function change(table: string, rows: number): Promise<void> {
  await fixture.source(
    `insert into ${table} select i, 'new' from generate_series(1000, ${999 + rows}) as i
       on conflict (id) do update set v = ${table}.v || '!';
     update ${table} set v = v || '?' where id < 10; delete from ${table} where id = (select min(id) from ${table})`,
  );
  await fixture.sync();
}

function folder(table: string): string {
  return path.join(fixture.folder, 'lake', 'public', table);
}

async function manifest(table: string): Promise<Manifest> {
  const file = path.join(folder(table), 'latest.json');
  return decodeManifest(await readFile(file), file);
}

/** Data files of a table's folder, whether its manifest names them or not. */
async function dataFiles(table: string): Promise<string[]> {
  const names = await readdir(folder(table), { recursive: true });
  return names.filter((name) => name.endsWith('.parquet')).sort();
}

/** Tables as the lake has them, all columns. */
async function lakeRows(): Promise<Record<string, Cells[]>> {
  return fixture.read(async (duckdb) => ({
    items: await duckdb.rows('SELECT * FROM public.items ORDER BY id'),
    history: await duckdb.rows('SELECT * FROM public.items_cdc ORDER BY id, _ph_cdc_lsn, _ph_cdc_seq'),
    notes: await duckdb.rows('SELECT * FROM public.notes ORDER BY id'),
  }));
}

async function expectEqual(table: 'items' | 'notes'): Promise<void> {
  const rows = await fixture.source<{ id: string; v: string }>(`select id::text, v from ${table} order by ${table}.id`);
  const found = (await lakeRows())[table] ?? [];
  expect(found.map(([id, v]) => [id, v])).toEqual(rows.map(({ id, v }) => [id, v]));
}

test(
  'the daemon compacts what has outgrown its snapshot and removes what nobody needs',
  async () => {
    await change('notes', 5);
    await fixture.close();
    // An old generation, and one that was replaced a moment ago by a commit that the daemon will not make.
    await runToEnd(fixture, ['optimize', 'shop:public.notes']);
    const notes = await dataFiles('notes');
    expect(notes.length).toBeGreaterThan((await manifest('notes')).files.length);
    await change('items', MANY);
    const before = { ...(await lakeRows()), items_manifest: await manifest('items') };
    expect(before.items_manifest.changes).toHaveLength(1);
    await fixture.close();
    await sleep(2 * RETENTION_MS);

    const stop = new AbortController();
    const daemon = runCli(fixture, ['daemon'], { stop: stop.signal });
    let ended = false;
    daemon.then(
      () => (ended = true),
      () => (ended = true),
    );
    const isDone = async (): Promise<boolean> => {
      const [items, history] = [await manifest('items'), await manifest('items_cdc')];
      const swept = (await dataFiles('notes')).length === (await manifest('notes')).files.length;
      return (items.changes.length === 0 && history.changes.length === 0 && swept) || ended;
    };
    await eventually(isDone, 'the upkeep', DAEMON_MS);
    // The record comes last.
    await eventually(async () => (await statusText()).includes('maintained') || ended, 'the record', DAEMON_MS);
    const status = await statusText();
    stop.abort();
    const end = await daemon;
    expect({ code: end.code, output: end.output }).toEqual({ code: 0, output: end.output });
    for (const said of ['table optimized', 'table vacuumed', 'shop:public.items_cdc', 'shop:public.notes']) {
      expect(end.output).toContain(said);
    }
    expect(end.output).not.toContain('maintenance failed');
    expect(status).toMatch(/lake: 3 files, .* maintained /);

    const { items_manifest, ...rows } = before;
    expect(await lakeRows()).toEqual(rows);
    const after = await manifest('items');
    expect({ commit: after.commit, generation: after.snapshot.generation }).toEqual({
      commit: items_manifest.commit,
      generation: items_manifest.snapshot.generation + 1,
    });
    expect(await dataFiles('notes')).toEqual([...(await manifest('notes')).files].sort());
    await change('items', 3);
    await expectEqual('items');
    await change('notes', 3);
    await expectEqual('notes');
  },
  2 * DAEMON_MS,
);

async function statusText(): Promise<string> {
  return (await runToEnd(fixture, ['status'])).output;
}

test('optimize and vacuum by hand', async () => {
  await change('items', 5);
  await change('items', 6);
  const before = await lakeRows();
  await fixture.close();
  const optimized: unknown = JSON.parse((await runToEnd(fixture, ['optimize', '--format', 'json'])).output);
  expect(optimized).toMatchObject({
    ok: true,
    tables: [
      { address: 'shop:public.items', status: 'optimized', removed_files: 3, added_files: 1, health: { files: 1 } },
      { address: 'shop:public.items_cdc', status: 'optimized', removed_files: 3, added_files: 1 },
      { address: 'shop:public.notes', status: 'nothing', removed_files: 0, added_files: 0 },
    ],
  });
  expect(await lakeRows()).toEqual(before);
  await fixture.close();
  await sleep(2 * RETENTION_MS);

  const all = [await dataFiles('items'), await dataFiles('items_cdc')];
  const dry = (await runToEnd(fixture, ['vacuum', '--dry-run'])).output;
  expect(dry).toMatch(/6 files, .* would be deleted; nothing was/);
  expect(dry).toContain('public/items/changes/dt=');
  expect([await dataFiles('items'), await dataFiles('items_cdc')]).toEqual(all);

  const swept = (await runToEnd(fixture, ['vacuum'])).output;
  expect(swept).toMatch(/6 files, .* deleted/);
  for (const table of ['items', 'items_cdc', 'notes']) {
    expect(await dataFiles(table)).toEqual([...(await manifest(table)).files].sort());
  }
  expect(await lakeRows()).toEqual(before);
  await fixture.close();
  expect((await runToEnd(fixture, ['vacuum', '--dry-run'])).output).toMatch(/0 files, .* would be deleted/);
});
