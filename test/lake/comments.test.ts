import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { describe, expect, test } from 'vitest';
import type { CommitInfoAction } from '../../src/destination/delta/action.js';
import { openTable, readCommitsBehind } from '../../src/destination/delta/log-reader.js';
import { columnComment, parseSchema } from '../../src/destination/delta/schema.js';
import { commitInfo, type DeltaSnapshot } from '../../src/destination/delta/snapshot.js';
import { openLake } from '../../src/destination/lake/open-lake.js';
import { systemDeps } from '../../src/destination/lake/store/system-deps.js';
import { METADATA_COMMENTS } from '../../src/destination/target-table.js';
import type { EngineFixture, TableSettings } from '../engine-fixture.js';
import { freshFixtures } from '../fresh-fixtures.js';

/** COMMENT ON in Postgres, as the destination's own readers find it. */

/** As Postgres allows them: everything but NUL. */
const HOSTILE = 'it\'s "quoted" \\n \n\r\t -- /* $$ 💥 \u202e {"a": [1]} \u0001 end';
const LARGE = 'ü'.repeat(5_000);
const TABLES: Readonly<Record<string, TableSettings>> = {
  'public.users': { output: 'both' },
  'public.polled': { method: 'incremental', cursor: 'at' },
};

const fresh = freshFixtures('comments');

async function start(destination: Readonly<Record<string, unknown>>, tables = TABLES): Promise<EngineFixture> {
  const sql = `create table users (id int primary key, "na""me" text, plain int);
    insert into users select i, 'user ' || i, i from generate_series(1, 10) as i;
    create table polled (id int primary key, at timestamptz not null default clock_timestamp());
    insert into polled select i from generate_series(1, 10) as i;
    comment on table users is ${text(HOSTILE)}; comment on column users.id is ${text(LARGE)};
    comment on column users."na""me" is ${text(HOSTILE)};
    comment on table polled is 'asked for'; comment on column polled.at is 'when'`;
  return fresh({ sql, tables, destination });
}

function text(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}

interface Found {
  readonly table: string | null;
  readonly columns: Readonly<Record<string, string | null>>;
}

const OWN = Object.fromEntries(
  ['_ph_cdc_op', '_ph_cdc_timestamp', '_ph_deleted', '_ph_deleted_at', '_ph_cdc_lsn', '_ph_cdc_seq'].map(
    (name, index) => [name, METADATA_COMMENTS[index]],
  ),
);
const FIRST = { id: LARGE, 'na"me': HOSTILE, plain: null };

describe('a Delta table', () => {
  const DELTA = { type: 'local', format: 'delta', path: 'lake' };

  /** What its log says, read by our own reader; and the commits behind a version, by their operation and actions. */
  async function read<T>(
    f: EngineFixture,
    name: string,
    look: (snapshot: DeltaSnapshot, behind: (version: number) => Promise<string[]>) => Promise<T> | T,
  ): Promise<T> {
    const lake = await openLake(await f.lakeSettings(), systemDeps('test'));
    const instance = await DuckDBInstance.create(':memory:');
    const connection = await instance.connect();
    try {
      const folder = `public/${name}`;
      const snapshot = await openTable(lake.store, folder, { connection, tempFolder: f.folder });
      if (snapshot === null) throw new Error(`no table ${name}`);
      return await look(snapshot, async (version) => {
        const commits = (await readCommitsBehind(lake.store, folder, version)) ?? [];
        return commits.map((commit) => {
          const info: CommitInfoAction | null = commitInfo(commit);
          return [info?.operation, ...commit.actions.flatMap(Object.keys).sort()].join(' ');
        });
      });
    } finally {
      connection.closeSync();
      instance.closeSync();
      await lake.store.close();
    }
  }

  function comments({ metadata }: DeltaSnapshot): Found {
    const { fields } = parseSchema(metadata.schemaString);
    return {
      table: metadata.description ?? null,
      columns: Object.fromEntries(fields.map((field) => [field.name, columnComment(field)])),
    };
  }

  async function serialOf(f: EngineFixture): Promise<unknown> {
    return JSON.parse(await readFile(path.join(f.place, '_sluice/sources/shop.json'), 'utf8')).serial;
  }

  const versionOf = (f: EngineFixture, name = 'users') => read(f, name, ({ version }) => version);

  test('and its history say what the source says, and what the columns are that Sluice adds', async () => {
    const f = await start(DELTA);
    expect(await read(f, 'users', comments)).toEqual({ table: HOSTILE, columns: { ...FIRST, ...OWN } });
    const valid = { valid_from: expect.any(String), valid_to: expect.any(String) };
    expect(await read(f, 'users_cdc', comments)).toEqual({ table: HOSTILE, columns: { ...FIRST, ...OWN, ...valid } });
    expect(await read(f, 'polled', comments)).toEqual({ table: 'asked for', columns: { id: null, at: 'when' } });
    // They came with the table itself.
    expect(await versionOf(f)).toBe(0);
  });

  test('gets a new comment with the next sync, by a commit of metadata alone, once', async () => {
    const f = await start(DELTA, { 'public.users': {}, 'public.polled': {} });
    const before = await versionOf(f);
    const ledger = () => serialOf(f);
    const quiet = await ledger();
    await f.sync();
    expect(await ledger()).toBe(quiet);

    await f.source(`comment on table users is null; comment on column users.id is 'the key';
      comment on column users.plain is 'new'; comment on column users."na""me" is null`);
    expect((await f.plan()).changes).toEqual([]);
    await f.sync();
    const columns = { id: 'the key', 'na"me': null, plain: 'new', ...OWN };
    expect(await read(f, 'users', comments)).toEqual({ table: null, columns });
    expect(await read(f, 'users', (_, behind) => behind(before))).toEqual(['COMMENT commitInfo metaData txn']);
    expect(await versionOf(f, 'polled')).toBe(0);
    expect((await f.plan()).changes).toEqual([]);

    const after = await ledger();
    await f.sync();
    expect(await ledger()).toBe(after);
    expect(await versionOf(f)).toBe(before + 1);
    const rows = await f.read((lake) => lake.rows('SELECT count(*), sum(plain) FROM public.users'));
    expect(rows).toEqual([['10', '55']]);

    // The comments are in the ledger, too: another machine's working file has nothing to bring.
    const { workFolder } = await f.lakeSettings();
    await f.close();
    await rm(workFolder, { recursive: true });
    await f.sync();
    expect(await ledger()).toBe(after);
    await f.source('update users set plain = 100 where id = 1');
    await f.sync();
    expect(await read(f, 'users', comments)).toEqual({ table: null, columns });
    expect(await read(f, 'users', (_, behind) => behind(before + 1))).toEqual([
      expect.stringMatching(/^MERGE (?!.*metaData)/),
    ]);
  });

  test('keeps them through columns that come, go and are renamed, backfills, reloads and retirement', async () => {
    const f = await start(DELTA);
    await f.configure({ ...TABLES, 'public.users': { output: 'both', on_add_columns: 'backfill' } });
    await f.source(`alter table users rename column plain to renamed; comment on column users.renamed is 'renamed';
      alter table users add column added text default 'x'; comment on column users.added is 'added';
      alter table users drop column "na""me"`);
    await f.sync();
    await f.apply();
    await f.sync();
    const columns = { id: LARGE, 'na"me': HOSTILE, renamed: 'renamed', ...OWN, added: 'added' };
    expect(await read(f, 'users', comments)).toEqual({ table: HOSTILE, columns });
    await f.resync('public.users');
    await f.sync();
    expect(await read(f, 'users', comments)).toEqual({ table: HOSTILE, columns });

    await f.configure({ 'public.polled': TABLES['public.polled'] ?? {} });
    await f.apply();
    const settings = await f.lakeSettings();
    const lake = await openLake(settings, systemDeps('test'));
    const retired: string[] = [];
    for await (const { key } of lake.store.list('-5fsluice_retired/')) {
      if (key.endsWith('00000000000000000000.json')) retired.push(await readFile(path.join(f.place, key), 'utf8'));
    }
    await lake.store.close();
    expect(retired).toHaveLength(2);
    for (const log of retired) expect(log).toContain('"description":"it\'s \\"quoted\\"');
  });

  test('that somebody else wrote to keeps others from nothing', async () => {
    const f = await start(DELTA);
    const log = path.join(f.place, 'public/users/_delta_log');
    const [first = ''] = (await readFile(path.join(log, '00000000000000000000.json'), 'utf8'))
      .split('\n')
      .filter((line) => line.includes('"metaData"'));
    await writeFile(path.join(log, '00000000000000000001.json'), `${first}\n`);
    await f.source("comment on table users is 'not now'; comment on table polled is 'now'");
    await f.sync();
    expect((await read(f, 'polled', comments)).table).toBe('now');
    expect((await read(f, 'users', comments)).table).toBe(HOSTILE);
    expect(f.events).toContainEqual(
      expect.objectContaining({
        kind: 'notice',
        address: 'shop:public.users',
        message: expect.stringContaining('comments cannot be written now'),
      }),
    );
    await f.resync('public.users');
    await f.sync();
    expect((await read(f, 'users', comments)).table).toBe('not now');
  });
});

test('a table of Parquet files has them in its manifest', async () => {
  const f = await start({ type: 'local', format: 'parquet', path: 'lake' });
  const manifest = async () => JSON.parse(await readFile(path.join(f.place, 'public/users/latest.json'), 'utf8'));
  const before = await manifest();
  expect(before.comment).toBe(HOSTILE);
  expect(before.columns).toMatchObject([
    { name: 'id', type: 'INTEGER', comment: LARGE },
    { name: 'na"me', comment: HOSTILE },
    { name: 'plain', type: 'INTEGER' },
    ...Object.entries(OWN).map(([name, comment]) => ({ name, comment })),
  ]);
  expect(before.columns[2]).not.toHaveProperty('comment');
  await f.source("comment on table users is null; comment on column users.plain is 'new'");
  await f.sync();
  const after = await manifest();
  expect(after).not.toHaveProperty('comment');
  expect(after.columns[2].comment).toBe('new');
  expect([after.commit, after.files]).toEqual([before.commit + 1, before.files]);
  await f.sync();
  expect(await manifest()).toEqual(after);
  await f.source('delete from users where id = 1');
  await f.sync();
  expect((await manifest()).columns).toEqual(after.columns);
});

test('a DuckDB file has them as its own comments', async () => {
  const f = await start({ type: 'duckdb', path: 'warehouse.duckdb' });
  const comments = async (name: string): Promise<Found> =>
    f.read(async (duckdb) => {
      const [table] = await duckdb.rows(`SELECT comment FROM duckdb_tables() WHERE table_name = '${name}'`);
      const columns = await duckdb.rows(
        `SELECT column_name, comment FROM duckdb_columns() WHERE table_name = '${name}' ORDER BY column_index`,
      );
      return {
        table: table?.[0] ?? null,
        columns: Object.fromEntries(columns.map(([column, comment]) => [column, comment ?? null])),
      };
    });
  expect(await comments('users')).toEqual({ table: HOSTILE, columns: { ...FIRST, ...OWN } });
  expect((await comments('users_cdc')).columns).toMatchObject({ ...FIRST, ...OWN, valid_to: expect.any(String) });
  await f.source(
    "comment on table users is null; comment on column users.plain is 'new'; delete from users where id = 1",
  );
  await f.sync();
  expect(await comments('users')).toEqual({ table: null, columns: { ...FIRST, plain: 'new', ...OWN } });
  await f.resync('public.users');
  await f.sync();
  expect(await comments('users')).toEqual({ table: null, columns: { ...FIRST, plain: 'new', ...OWN } });
  expect((await f.plan()).changes).toEqual([]);
});
