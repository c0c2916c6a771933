import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPooler } from '../postgres/pooler.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { reportedInText } from './reported-error.js';
import { Workspace } from './workspace.js';

/** A plan is told what doctor knows, and refuses to apply what cannot work. */

let postgres: TestPostgres;
let workspace: Workspace;

beforeAll(async () => {
  postgres = await startPostgres({ major: 17, hba: 'host all owner all trust\nhost all all all scram-sha-256\n' });
  await postgres.createDatabase('preflight');
  workspace = await Workspace.create(postgres, 'preflight');
  await workspace.source(`
    create role owner login replication;
    grant create on database preflight to owner;
    create table users (id bigint primary key, name text);
    alter table users owner to owner;
    insert into users select i, 'user ' || i from generate_series(1, 30) i;`);
});

afterAll(async () => {
  await workspace.remove();
  await postgres.stop();
});

const TABLES = { 'public.users': {} };

test('a pooler in transaction mode blocks plan, apply and doctor, and leaves nothing behind', async () => {
  const pooler = await startPooler(postgres, {
    mode: 'transaction',
    order: 'stack',
    backends: 3,
    user: 'owner',
    database: 'preflight',
  });
  try {
    await workspace.configure({ tables: TABLES, connection: { user: 'owner', port: pooler.port } });
    const planned = await workspace.expect(1, 'plan');
    expect(planned.stdout).toContain('transaction mode');
    expect(planned.stdout.match(/transaction mode/g)).toHaveLength(1);
    const refused = await workspace.expect(1, 'apply', '--yes');
    expect(reportedInText(refused)?.code).toBe('SERVER_UNSUITABLE');
    expect((await workspace.expect(1, 'doctor')).stdout).toContain('error POOLER');
    expect(await workspace.onServer()).toMatchObject({ slots: [], publications: [] });
  } finally {
    await pooler.stop();
  }
});

test('a read-only role blocks what has to be written; mended, the same plan is applied', async () => {
  await workspace.configure({ tables: TABLES, connection: { user: 'owner' } });
  await workspace.source('alter role owner set default_transaction_read_only = on');
  const planned = await workspace.expect(1, 'plan');
  expect(planned.stdout).toContain('default_transaction_read_only');
  const refused = await workspace.expect(1, 'apply', '--yes');
  expect(reportedInText(refused)?.code).toBe('PRIVILEGE_MISSING');

  await workspace.source('alter role "owner" set default_transaction_read_only = off');
  await workspace.expect(0, 'apply', '--yes');
  await workspace.expect(0, 'sync');

  // Nothing is to be made any more, and reading a slot is no writing.
  await workspace.source('alter role owner set default_transaction_read_only = on');
  await workspace.expect(0, 'plan');
  await workspace.source('insert into users values (31)');
  await workspace.expect(0, 'sync', '--until-caught-up');
  await workspace.source('alter role owner reset default_transaction_read_only');
});

test('doctor in JSON for CI: a format version, counts and findings in snake_case', async () => {
  await workspace.configure({ tables: { ...TABLES, 'public.gone': {} }, connection: { user: 'owner' } });
  const run = await workspace.expect(1, 'doctor', '--format', 'json');
  expect(JSON.parse(run.stdout)).toMatchObject({
    format_version: 1,
    errors: 1,
    findings: expect.arrayContaining([
      expect.objectContaining({ level: 'error', code: 'TABLE_MISSING', address: 'shop:public.gone', fix_sql: null }),
    ]),
  });
});
