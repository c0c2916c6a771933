import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { expectNoChanges, expectSame, LIVE } from './comparison.js';
import { reportedInText } from './reported-error.js';
import { type Settings, Workspace } from './workspace.js';

/** A role that owns nothing: what it needs is printed as SQL, run by somebody who may, and then it works. */

const COLUMNS = ['id', 'name'];
let postgres: TestPostgres;
let workspace: Workspace;

beforeAll(async () => {
  postgres = await startPostgres({ major: 17 });
  await postgres.createDatabase('managed');
  workspace = await Workspace.create(postgres, 'managed');
  await workspace.source(`
    create role limited login password '${postgres.password}';
    revoke create on schema public from public;
    create schema billing;
    create table users (id bigint primary key, name text);
    create table billing.bills (id bigint primary key, name text);
    create table billing.lines (id bigint primary key, name text);
    insert into users select i, 'user ' || i from generate_series(1, 30) i;
    insert into billing.bills select i, 'bill ' || i from generate_series(1, 30) i;
    insert into billing.lines select i, 'line ' || i from generate_series(1, 30) i;`);
});

afterAll(async () => {
  await workspace.remove();
  await postgres.stop();
});

function configure(tables: Readonly<Record<string, Settings>>): Promise<void> {
  return workspace.configure({
    tables,
    connection: { user: 'limited' },
    cdc: { management: 'self_managed' },
  });
}

/** What `cdc setup-sql` prints, run as psql would by the superuser. */
async function runSetupSql(): Promise<string> {
  const printed = await workspace.expect(0, 'cdc', 'setup-sql', 'shop');
  await workspace.source(printed.stdout);
  return printed.stdout;
}

test('set up by the printed SQL, then planned, applied and synced as a role that owns nothing', async () => {
  await configure({ 'public.users': {}, 'billing.bills': {} });
  const refused = await workspace.expect(1, 'plan');
  expect(reportedInText(refused)?.code).toMatch(/^(PRIVILEGE_MISSING|PUBLICATION_MISSING)$/);
  expect((await workspace.expect(1, 'doctor')).stdout).toContain('limited');

  const sql = await runSetupSql();
  expect(sql).toContain('limited');
  await workspace.expect(0, 'doctor');
  await workspace.expect(0, 'apply', '--yes');
  await workspace.expect(0, 'sync');
  await expectSame(workspace, { source: 'public.users', columns: COLUMNS, where: LIVE });
  await expectSame(workspace, { source: 'billing.bills', columns: COLUMNS, where: LIVE });
  await expectNoChanges(workspace);

  await workspace.source("update users set name = 'changed' where id < 5; delete from billing.bills where id = 7");
  await workspace.expect(0, 'sync', '--until-caught-up');
  await expectSame(workspace, { source: 'public.users', columns: COLUMNS, where: LIVE });
  await expectSame(workspace, { source: 'billing.bills', columns: COLUMNS, where: LIVE });
});

test('a table that is added has its SQL in the plan, and again in setup-sql', async () => {
  await configure({ 'public.users': {}, 'billing.bills': {}, 'billing.lines': {} });
  await workspace.source('grant select on billing.lines to limited');
  const refused = await workspace.expect(1, 'plan');
  const reported = reportedInText(refused);
  expect(reported).toMatchObject({ code: 'PUBLICATION_INCOMPLETE', message: expect.stringContaining('billing.lines') });
  expect(reported?.hint).toMatch(/alter publication .* add table .*lines/i);
  await workspace.source(reported?.hint ?? '');
  await runSetupSql();
  await workspace.expect(0, 'apply', '--yes');
  await workspace.source("insert into billing.lines values (1000, 'new')");
  await workspace.expect(0, 'sync', '--until-caught-up');
  await expectSame(workspace, { source: 'billing.lines', columns: COLUMNS, where: LIVE });
  await expectNoChanges(workspace);
});

test("a source that leaves takes its slot along and leaves the owner's publication", async () => {
  await workspace.configure({
    tables: {},
    connection: { user: 'limited' },
    top: { sources: {} },
  });
  await workspace.expect(0, 'apply', '--yes');
  expect(await workspace.onServer()).toEqual({
    slots: [],
    publications: [workspace.publication],
    members: ['billing.bills', 'billing.lines', 'public.users'],
  });
  await expectNoChanges(workspace);
});
