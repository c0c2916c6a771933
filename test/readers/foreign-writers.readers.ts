import { execFile } from 'node:child_process';
import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EngineFixture, SOURCE } from '../engine-fixture.js';
import { runCli } from '../kill/killed-cli.js';
import { makeShop, SHOP_TABLES, shopProblems, work } from '../lake/shop.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { readerEnvironment } from './environment.js';

/** Somebody else writes to tables that Sluice keeps, by delta-rs: maintenance is worked around, everything else is refused. */

const run = promisify(execFile);
const FOREIGN = path.join(import.meta.dirname, 'foreign.py');
const TIMEOUT_MS = 300_000;

describe.each(['dv', 'cow'] as const)('beside another writer (%s)', (deletes) => {
  let postgres: TestPostgres;
  let fixture: EngineFixture;
  let python: string;
  let round = 0;

  beforeAll(async () => {
    ({ python } = await readerEnvironment());
    postgres = await startPostgres({ major: 17 });
    const database = `foreign_${deletes}`;
    await makeShop(postgres, database);
    fixture = await EngineFixture.create({
      postgres,
      database,
      tables: SHOP_TABLES,
      cdc: { slot: database, publication: database },
      destination: { type: 'local', path: 'lake', format: 'delta', deletes },
    });
    await fixture.apply();
    await fixture.sync();
    await moreRounds(3);
  }, TIMEOUT_MS);
  afterAll(async () => {
    await fixture?.remove();
    await postgres?.stop();
  });

  async function moreRounds(count: number): Promise<void> {
    for (let i = 0; i < count; i += 1) {
      round += 1;
      await work(fixture, round);
      await fixture.sync();
    }
  }

  async function die(failpoint: string): Promise<void> {
    await fixture.close();
    const end = await runCli(fixture, ['sync', '--force'], { failpoint });
    expect({ signal: end.signal, output: end.output }).toEqual({ signal: 'SIGKILL', output: end.output });
  }

  const folderOf = (table: string): string => path.join(fixture.folder, 'lake', 'public', table);

  async function foreign(verb: string, table: string, argument = ''): Promise<unknown> {
    const { stdout } = await run(python, [FOREIGN, verb, folderOf(table), argument]);
    return JSON.parse(stdout);
  }

  async function commitsOf(table: string): Promise<string[]> {
    const files = await readdir(path.join(folderOf(table), '_delta_log'));
    return files.filter((file) => /^\d+\.json$/.test(file)).sort();
  }

  /** @returns how many files it took out */
  async function compactAll(): Promise<number> {
    let removed = 0;
    for (const table of ['users', 'users_cdc', 'orders', 'clicks']) {
      const metrics = await foreign('compact', table);
      if (typeof metrics === 'object' && metrics !== null && 'numFilesRemoved' in metrics) {
        removed += Number(metrics.numFilesRemoved);
      }
    }
    return removed;
  }

  async function failures(): Promise<(readonly [string, string | undefined])[]> {
    const report = await fixture.trySync();
    expect(report.sources.map(({ source, error }) => ({ source, error }))).toEqual([{ source: SOURCE, error: null }]);
    return report.sources.flatMap(({ tables }) =>
      tables.filter(({ status }) => status === 'failed').map(({ address, error }) => [address, error?.code] as const),
    );
  }

  test(
    'OPTIMIZE between two commits',
    async () => {
      expect(await compactAll()).toBeGreaterThan(0);
      await moreRounds(1);
      expect(await shopProblems(fixture)).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test.each(['after_ledger', 'after_table_commit'])(
    'OPTIMIZE in the middle of a commit (%s)',
    async (failpoint) => {
      await moreRounds(2);
      round += 1;
      await work(fixture, round);
      await die(failpoint);
      expect(await compactAll()).toBeGreaterThan(0);
      await fixture.sync();
      expect(await shopProblems(fixture)).toEqual([]);
      await moreRounds(1);
      expect(await shopProblems(fixture)).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    'a checkpoint, and a clean-up of the log behind it',
    async () => {
      for (const table of ['users', 'users_cdc', 'orders', 'clicks']) {
        const version = Number(await foreign('checkpoint', table));
        for (const file of await commitsOf(table)) {
          if (Number(file.slice(0, 20)) < version) await rm(path.join(folderOf(table), '_delta_log', file));
        }
      }
      await moreRounds(2);
      expect(await shopProblems(fixture)).toEqual([]);
    },
    TIMEOUT_MS,
  );

  const writes = [
    { table: 'orders', verb: 'append', argument: '{"id": 77777, "_ph_cdc_op": "I"}' },
    { table: 'clicks', verb: 'append', argument: '{"id": 77777}' },
    ...(deletes === 'cow' ? [{ table: 'users', verb: 'delete', argument: 'id > 150' }] : []),
  ];

  test.each(writes)(
    '$verb to $table stops that table alone, until it is loaded anew',
    async ({ table, verb, argument }) => {
      await foreign(verb, table, argument);
      const commits = await commitsOf(table);
      const address = `${SOURCE}:public.${table}`;
      for (let again = 0; again < 2; again += 1) {
        round += 1;
        await work(fixture, round);
        expect(await failures()).toEqual([[address, 'DELTA_FOREIGN_WRITE']]);
        expect(await commitsOf(table)).toEqual(commits);
        const problems = await shopProblems(fixture);
        expect(problems.filter((problem) => !problem.startsWith(table))).toEqual([]);
      }
      await fixture.resync(`public.${table}`);
      await fixture.sync();
      expect(await shopProblems(fixture)).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    'rows that somebody added in the middle of a commit stay, until the table is loaded anew',
    async () => {
      round += 1;
      await work(fixture, round);
      await die('after_ledger');
      await foreign('append', 'orders', '{"id": 88888, "_ph_cdc_op": "I"}');
      const commits = await commitsOf('orders');
      expect(await failures()).toEqual([[`${SOURCE}:public.orders`, 'DELTA_FOREIGN_WRITE']]);
      expect(await commitsOf('orders')).toEqual(commits);
      const problems = await shopProblems(fixture);
      expect(problems.filter((problem) => !problem.startsWith('orders'))).toEqual([]);
      await fixture.resync('public.orders');
      await fixture.sync();
      expect(await shopProblems(fixture)).toEqual([]);
    },
    TIMEOUT_MS,
  );
});
