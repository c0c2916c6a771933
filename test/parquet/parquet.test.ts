import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { DuckDBInstance } from '@duckdb/node-api';
import { beforeEach, describe, expect, test } from 'vitest';
import { decodeManifest, type Manifest } from '../../src/destination/parquet/manifest.js';
import type { Failpoint } from '../../src/thread/failpoint.js';
import type { EngineFixture } from '../engine-fixture.js';
import { freshFixtures } from '../fresh-fixtures.js';
import { runCli, runToEnd } from '../kill/killed-cli.js';

/** Tables as plain Parquet, from Postgres to a reader that knows nothing but docs/parquet.md. */

/** It syncs seven tables some ten times over. */
const LONG_MS = 300_000;
const DOCS = fileURLToPath(new URL('../../docs/parquet.md', import.meta.url));

const TABLES = {
  'public.full_t': { method: 'full_table' },
  'public.inc_t': { method: 'incremental', cursor: 'stamp' },
  'public.app_t': { method: 'append', cursor: 'id' },
  'public.soft_t': { method: 'cdc' },
  'public.hard_t': { method: 'cdc', deletes: 'hard' },
  'public.both_t': { method: 'cdc', output: 'both', deletes: 'hard' },
  'public.hist_t': { method: 'cdc', output: 'history' },
};
const NAMES = Object.keys(TABLES).map((key) => key.slice('public.'.length));
/** The rows of a table that are there, by name. */
const LIVE: Readonly<Record<string, string>> = {
  ...Object.fromEntries(NAMES.map((name) => [name, `public.${name}`])),
  soft_t: 'public.soft_t WHERE NOT _ph_deleted',
  hist_t: 'public.hist_t_cdc WHERE valid_to IS NULL AND NOT _ph_deleted',
};

const fresh = freshFixtures('parquet');
let fixture: EngineFixture;

beforeEach(async () => {
  const tables = NAMES.map(
    (name) =>
      `create table ${name} (id bigint primary key, name text, stamp timestamptz default clock_timestamp());
       insert into ${name} select i, 'row ' || i from generate_series(1, 5) as i`,
  );
  const destination = { type: 'local', path: 'lake', format: 'parquet' };
  fixture = await fresh({ sql: tables.join(';\n'), tables: TABLES, destination });
});

/** Runs a statement on each of the tables. */
async function each(sql: (name: string) => string, names: readonly string[] = NAMES): Promise<void> {
  await fixture.source(names.map(sql).join(';\n'));
}

async function sourceRows(columns: string): Promise<Record<string, unknown[]>> {
  const found: Record<string, unknown[]> = {};
  for (const name of NAMES) {
    const cells = columns.split(', ').map((column) => `${column}::text as ${column}`);
    const rows = await fixture.source(`select ${cells.join(', ')} from ${name} order by ${name}.id`);
    found[name] = rows.map((row) => Object.values(row));
  }
  return found;
}

async function lakeRows(columns: string): Promise<Record<string, unknown[]>> {
  return fixture.read(async (duckdb) => {
    const found: Record<string, unknown[]> = {};
    for (const name of NAMES) found[name] = await duckdb.rows(`SELECT ${columns} FROM ${LIVE[name]} ORDER BY id`);
    return found;
  });
}

function manifestFile(name: string): string {
  return path.join(fixture.folder, 'lake', 'public', name, 'latest.json');
}

async function manifest(name: string): Promise<Manifest> {
  const file = manifestFile(name);
  return decodeManifest(await readFile(file), file);
}

/** Deletes and moved keys reach neither incremental nor append tables, and updates no append ones. */
async function change(): Promise<void> {
  const updated = NAMES.filter((name) => name !== 'app_t');
  const deleted = updated.filter((name) => name !== 'inc_t');
  await each((name) => `update ${name} set name = 'changed', stamp = clock_timestamp() where id = 2`, updated);
  await each((name) => `insert into ${name} values (6, 'came'), (7, null)`);
  await each((name) => `delete from ${name} where id = 3`, deleted);
  await each((name) => `update ${name} set id = 9 where id = 4`, deleted);
}

describe('the tables of a lake of Parquet files', () => {
  test(
    'are those of Postgres, whatever happens to them',
    async () => {
      expect(await lakeRows('id, name')).toEqual(await sourceRows('id, name'));

      await change();
      await fixture.sync();
      expect(await lakeRows('id, name')).toEqual(await sourceRows('id, name'));
      expect((await manifest('soft_t')).changes).toHaveLength(1);
      expect((await manifest('full_t')).snapshot.generation).toBe(2);

      // Added columns come with later files; a rename and another type take a new snapshot.
      await each((name) => `alter table ${name} add column extra int`);
      await fixture.apply();
      await each((name) => `insert into ${name} values (20, 'later', clock_timestamp(), 5)`);
      await fixture.sync();
      expect(await lakeRows('id, name, extra')).toEqual(await sourceRows('id, name, extra'));
      await each((name) => `alter table ${name} rename column name to title`);
      await fixture.apply();
      await each((name) => `insert into ${name} values (21, 'renamed', clock_timestamp(), 6)`);
      await fixture.sync();
      expect(await lakeRows('id, title, extra')).toEqual(await sourceRows('id, title, extra'));
      await each((name) => `alter table ${name} alter column extra type bigint`);
      await each((name) => `insert into ${name} values (22, 'wide', clock_timestamp(), 5000000000)`);
      await fixture.sync();
      await fixture.apply();
      await fixture.sync();
      expect(await lakeRows('id, title, extra')).toEqual(await sourceRows('id, title, extra'));

      const cdc = NAMES.filter((name) => !['inc_t', 'app_t'].includes(name));
      await each((name) => `truncate ${name}`, cdc);
      await each((name) => `insert into ${name} values (30, 'after', clock_timestamp(), 1)`, cdc);
      await fixture.sync();
      await fixture.sync();
      expect(await lakeRows('id, title, extra')).toEqual(await sourceRows('id, title, extra'));
    },
    LONG_MS,
  );

  test('keep a deleted row as their settings say, and every version in a history', async () => {
    await change();
    await fixture.sync();
    const read = (sql: string): Promise<unknown> => fixture.read((duckdb) => duckdb.rows(sql));
    expect(await read('SELECT id, name, _ph_cdc_op FROM public.soft_t WHERE _ph_deleted ORDER BY id')).toEqual([
      ['3', 'row 3', 'D'],
      ['4', 'row 4', 'D'],
    ]);
    expect(await read('SELECT count(*) FROM public.hard_t WHERE id IN (3, 4)')).toEqual([['0']]);
    const versions = `SELECT id, name, _ph_cdc_op, valid_to IS NULL AS open FROM $ WHERE id IN (2, 3, 6)
      ORDER BY id, _ph_cdc_lsn, _ph_cdc_seq`;
    const expected = [
      ['2', 'row 2', 'I', 'false'],
      ['2', 'changed', 'U', 'true'],
      ['3', 'row 3', 'I', 'false'],
      ['3', 'row 3', 'D', 'true'],
      ['6', 'came', 'I', 'true'],
    ];
    expect(await read(versions.replace('$', 'public.hist_t_cdc'))).toEqual(expected);
    expect(await read(versions.replace('$', 'public.both_t_cdc'))).toEqual(expected);
  });

  test('are what the query of docs/parquet.md says', async () => {
    await change();
    await fixture.sync();
    const documented = /<!-- tested: .* -->\n```sql\n([\s\S]*?)```/.exec(await readFile(DOCS, 'utf8'))?.[1] ?? '';
    expect(documented).toContain('QUALIFY');
    const instance = await DuckDBInstance.create(':memory:');
    const connection = await instance.connect();
    try {
      for (const name of ['inc_t', 'soft_t', 'hard_t', 'both_t', 'both_t_cdc', 'hist_t_cdc']) {
        const folder = path.join(fixture.folder, 'lake', 'public', name);
        const { identity } = await manifest(name);
        const [setFolder = '', setFiles = '', query = ''] = documented
          .replace('lake/public/users', folder)
          .replace('PARTITION BY id', `PARTITION BY ${identity.join(', ')}`)
          .split(';');
        await connection.run(setFolder);
        await connection.run(setFiles);
        const rows = await connection.runAndReadAll(`SELECT COLUMNS(*)::VARCHAR FROM (${query}) ORDER BY ALL`);
        const view = await fixture.read((duckdb) => duckdb.rows(`SELECT * FROM public.${name} ORDER BY ALL`));
        expect([...rows.getRowsJson()].map(String).sort()).toEqual(view.map(String).sort());
        expect(view.length).toBeGreaterThan(4);
      }
    } finally {
      connection.closeSync();
      instance.closeSync();
    }
  });
});

test('what somebody else writes stops its table alone, and a resync goes over it', async () => {
  const harmed = ['soft_t', 'hard_t', 'both_t', 'hist_t'];
  for (const name of ['soft_t', 'hard_t', 'both_t', 'both_t_cdc', 'hist_t_cdc']) {
    const theirs = { ...(await manifest(name)), application: 'another', commit: 40 };
    await writeFile(manifestFile(name), JSON.stringify(theirs));
  }
  await change();
  const report = await fixture.trySync();
  const failed = report.sources.flatMap(({ tables }) => tables.filter(({ error }) => error !== null));
  expect([...new Set(failed.map(({ address, error }) => `${address} ${error?.code}`))].sort()).toEqual(
    harmed.map((name) => `shop:public.${name} PARQUET_FOREIGN_WRITE`).sort(),
  );
  const only = (rows: Record<string, unknown[]>) => NAMES.filter((name) => !harmed.includes(name)).map((n) => rows[n]);
  expect(only(await lakeRows('id, name'))).toEqual(only(await sourceRows('id, name')));

  await fixture.resync(...harmed.map((name) => `public.${name}`));
  await fixture.sync();
  expect(await lakeRows('id, name')).toEqual(await sourceRows('id, name'));
  await expectOneVersion('both_t_cdc');
  await expectOneVersion('hist_t_cdc');

  // One whose manifest is gone is made anew.
  for (const name of ['soft_t', 'both_t_cdc', 'hist_t_cdc']) await rm(manifestFile(name));
  await each((name) => `insert into ${name} values (40, 'later')`);
  expect((await fixture.trySync()).ok).toBe(false);
  await fixture.resync('public.soft_t', 'public.both_t', 'public.hist_t');
  await fixture.sync();
  await each((name) => `insert into ${name} values (41, 'last')`);
  await fixture.sync();
  expect(await lakeRows('id, name')).toEqual(await sourceRows('id, name'));
});

/** No key has two versions at once. */
async function expectOneVersion(history: string): Promise<void> {
  const twice = `SELECT id FROM public.${history} WHERE valid_to IS NULL GROUP BY id HAVING count(*) > 1`;
  expect(await fixture.read((duckdb) => duckdb.rows(twice))).toEqual([]);
}

describe('a sync that dies', () => {
  const points: readonly (Failpoint | `${Failpoint}@${number}`)[] = [
    'after_lake_upload',
    'after_ledger',
    'after_table_commit',
    'after_table_commit@3',
    'after_ledger@3',
  ];

  test.each(points)('%s: what it did is there once', async (failpoint) => {
    await fixture.close();
    await change();
    const end = await runCli(fixture, ['sync', '--force'], { failpoint });
    expect({ signal: end.signal, output: end.output }).toEqual({ signal: 'SIGKILL', output: end.output });
    await runToEnd(fixture, ['sync', '--force', '--until-caught-up']);
    expect(await lakeRows('id, name')).toEqual(await sourceRows('id, name'));
    const versions = await fixture.read((duckdb) =>
      duckdb.rows('SELECT count(*), count(DISTINCT (id, _ph_cdc_lsn, _ph_cdc_seq)) FROM public.hist_t_cdc'),
    );
    // Five seeds, an update, two inserts, a delete, and a delete and an insert for the key that moved.
    expect(versions).toEqual([['11', '11']]);
    const again = await manifest('app_t');
    expect(again.changes.map(({ rows }) => rows)).toEqual([2]);
  });
});
