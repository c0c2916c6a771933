import { stat } from 'node:fs/promises';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readDuckDb } from '../engine-fixture.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { expectSame, LIVE } from './comparison.js';
import { eventually, Workspace } from './workspace.js';

/** `publish`: a copy for people who keep the file open is swapped in while they do. */

let postgres: TestPostgres;
let workspace: Workspace;

beforeAll(async () => {
  postgres = await startPostgres({ major: 17 });
  await postgres.createDatabase('published');
  workspace = await Workspace.create(postgres, 'published');
  await workspace.source(`create table users (id bigint primary key, name text);
    insert into users select i, 'user ' || i from generate_series(1, 30) i`);
});

afterAll(async () => {
  await workspace.remove();
  await postgres.stop();
});

test('a reader keeps the copy that it opened, the next one gets the newer', async () => {
  const copy = workspace.file('readers.duckdb');
  await workspace.configure({
    tables: { 'public.users': {} },
    destination: { publish: { path: 'readers.duckdb', every: '1s' } },
  });
  await workspace.expect(0, 'apply', '--yes', '--sync');
  const countOf = (file: string) =>
    readDuckDb(file, async (duckdb) => (await duckdb.rows('SELECT count(*) FROM public.users'))[0]?.[0]);
  expect(await countOf(copy)).toBe('30');

  // A reader in this process, held open over what follows; it holds the copy, not the file that is written.
  const instance = await DuckDBInstance.create(copy, { access_mode: 'READ_ONLY' });
  const reader = await instance.connect();
  const readerSees = async () =>
    (await reader.runAndReadAll('SELECT count(*)::INTEGER FROM public.users')).getRowsJson()[0]?.[0];
  try {
    expect(await readerSees()).toBe(30);
    const before = (await stat(copy)).ino;
    await workspace.source("insert into users select i, 'more' from generate_series(31, 45) i");
    await eventually(async () => {
      await workspace.expect(0, 'sync', '--until-caught-up');
      return (await stat(copy)).ino !== before;
    }, 'a newer copy');
    expect(await readerSees(), 'the open reader sees what it saw').toBe(30);
    // In another process: two versions of one path in this one would be taken for the same file.
    const queried = await workspace.expect(0, 'query', 'select count(*) as n from public.users', '--format', 'csv');
    expect(queried.stdout).toContain('45');
  } finally {
    reader.closeSync();
    instance.closeSync();
  }
  expect(await countOf(copy)).toBe('45');
  await expectSame(workspace, { source: 'public.users', columns: ['id', 'name'], where: LIVE });
});

test('a place for the copy that cannot be written fails the sync and loses nothing', async () => {
  await workspace.configure({
    tables: { 'public.users': {} },
    destination: { publish: { path: 'sources.yaml/readers.duckdb', every: '1s' } },
  });
  await workspace.source("insert into users values (1000, 'later')");
  const run = await workspace.run(['sync', '--until-caught-up']);
  expect(run.code, run.output).toBe(69);
  expect(run.stderr).toContain('DESTINATION_FAILED');
  expect(run.stderr).toContain('sources.yaml/readers.duckdb');
  expect(run.stdout, 'what was synced is told').toContain('1 changes in 1 transactions');
  await expectSame(workspace, { source: 'public.users', columns: ['id', 'name'], where: LIVE });
});
