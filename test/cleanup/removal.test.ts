import { readFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { expectNoChanges, expectSame, LIVE } from '../cli/comparison.js';
import { at, items } from '../cli/reported-error.js';
import { eventually, exists, type Run, type ShopConfig, Workspace } from '../cli/workspace.js';
import { freePort } from '../free-port.js';
import { holdDuckDb, readSlotAs } from '../guard/guard-fixture.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { Wire } from './wire.js';

/**
 * A source leaves the file while something keeps parts of it from being cleaned up. After every step what the state tells
 * to be left is compared with what is left, and in the end nothing is.
 */

const TABLES = { 'public.users': {}, 'public.orders': { output: 'both' } };

let postgres: TestPostgres;
let wire: Wire;
let workspace: Workspace;
let databases = 0;
const undo: (() => Promise<void>)[] = [];

beforeAll(async () => {
  postgres = await startPostgres({ major: 17 });
  wire = await Wire.to(postgres);
});
afterAll(async () => {
  await wire.cut();
  await postgres.stop();
});

beforeEach(async () => {
  databases += 1;
  const database = `removal${databases}`;
  await postgres.createDatabase(database);
  workspace = await Workspace.create(postgres, database);
  await workspace.source(`
    create table users (id bigint primary key, name text);
    create table orders (id bigint primary key, name text);
    insert into users select i, 'user ' || i from generate_series(1, 30) i;
    insert into orders select i, 'order ' || i from generate_series(1, 30) i;`);
});
afterEach(async () => {
  for (const each of undo.splice(0).reverse()) await each();
  await workspace.remove();
});

const present = (): ShopConfig => ({ tables: TABLES, connection: { port: wire.port } });
const absent = (): ShopConfig => ({ ...present(), top: { sources: {} } });

async function setUp(config: ShopConfig = present()): Promise<void> {
  await workspace.configure(config);
  await workspace.expect(0, 'apply', '--yes', '--sync');
}

const ALL = ['shop:slot', 'shop:publication', 'shop:public.orders', 'shop:public.users'];

interface Left {
  readonly address: string;
  readonly code: string | null;
}

/** What `status` tells to be left; null where no source is being removed. */
async function told(): Promise<readonly Left[] | null> {
  const [source] = items(at(await workspace.json('status'), 'sources'));
  const cleanup = source === undefined ? null : at(source, 'cleanup');
  if (cleanup === null) return null;
  return items(at(cleanup, 'left')).map((thing) => {
    const failure = at(thing, 'failure');
    return { address: String(at(thing, 'address')), code: failure === null ? null : String(at(failure, 'code')) };
  });
}

/** What is left on the server and in the destination, by the addresses that it would be told with. */
async function found(): Promise<readonly string[]> {
  const { slots, publications } = await workspace.onServer();
  const tables = await workspace.read((duckdb) =>
    duckdb.rows(
      "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'public' AND table_name NOT LIKE '%_cdc' ORDER BY 1",
    ),
  );
  return [
    ...(slots.includes(workspace.slot) ? ['shop:slot'] : []),
    ...(publications.includes(workspace.publication) ? ['shop:publication'] : []),
    ...tables.map(([name]) => `shop:public.${name}`),
  ];
}

/** @param left addresses that are left, each with the code of what kept it from being cleaned up */
async function expectLeft(left: readonly Left[]): Promise<void> {
  expect(await told()).toEqual(left);
  expect(await found()).toEqual(left.map(({ address }) => address));
}

async function expectClean(): Promise<void> {
  expect(await found()).toEqual([]);
  expect(at(await workspace.readState(), 'sources')).toEqual({});
  await expectNoChanges(workspace);
}

function applyRemoval(code: number): Promise<Run> {
  return workspace.expect(code, 'apply', '--yes');
}

/** Actions of the plan as it is now, with what each comes from. */
async function planned(): Promise<readonly string[]> {
  const changes = items(at(await workspace.json('plan'), 'changes'));
  return changes.map((change) => `${String(at(change, 'action'))} ${String(at(change, 'origin'))}`);
}

describe('what keeps parts of it from being cleaned up', () => {
  test('the server is down, and comes back', async () => {
    await setUp();
    await workspace.configure(absent());
    await wire.cut();
    undo.push(() => wire.mend().catch(() => undefined));
    const plan = await workspace.expect(0, 'plan');
    expect(plan.stdout).toContain(`SELECT pg_drop_replication_slot('${workspace.slot}');`);
    await applyRemoval(1);
    const left = [
      { address: 'shop:slot', code: 'SOURCE_UNREACHABLE' },
      { address: 'shop:publication', code: null },
    ];
    await expectLeft(left);
    const serial = at(await workspace.readState(), 'serial');
    await applyRemoval(1);
    await expectLeft(left);
    expect(at(await workspace.readState(), 'serial'), 'nothing new is recorded').toBe(serial);
    expect(await planned()).toEqual(['drop_slot cleanup', 'drop_publication cleanup', 'remove_source cleanup']);
    const shown = await workspace.expect(0, 'plan');
    expect(shown.stdout).toContain('Pending clean-up of sources that left the file');
    const status = await workspace.expect(0, 'status');
    expect(status.stdout).toContain(`by hand: select pg_drop_replication_slot('${workspace.slot}');`);
    await wire.mend();
    undo.length = 0;
    await applyRemoval(0);
    await expectClean();
  });

  test('somebody reads from the slot', async () => {
    await setUp();
    const reader = await readSlotAs(postgres, 'other', {
      database: workspace.database,
      slot: workspace.slot,
      publication: workspace.publication,
    });
    undo.push(() => reader.end());
    await workspace.configure(absent());
    await applyRemoval(1);
    // The publication stays as well: whoever reads would fail without it.
    await expectLeft([
      { address: 'shop:slot', code: 'SLOT_IN_USE' },
      { address: 'shop:publication', code: null },
    ]);
    await reader.end();
    await eventually(
      async () => (await workspace.source('select from pg_replication_slots where active')).length === 0,
      'the slot is free',
    );
    await applyRemoval(0);
    await expectClean();
  });

  test('the publication belongs to another role', async () => {
    await postgres.query(`create role mover${databases} login replication password '${postgres.password}'`);
    await workspace.source(`grant create on database ${workspace.database} to mover${databases};
      alter table users owner to mover${databases}; alter table orders owner to mover${databases};
      grant usage, create on schema public to mover${databases}`);
    const user = { port: wire.port, user: `mover${databases}` };
    await setUp({ ...present(), connection: user });
    await workspace.source(`alter publication ${workspace.publication} owner to postgres`);
    await workspace.configure({ ...absent(), connection: user });
    await applyRemoval(1);
    await expectLeft([{ address: 'shop:publication', code: 'PRIVILEGE_MISSING' }]);
    await workspace.source(`alter publication ${workspace.publication} owner to mover${databases}`);
    await applyRemoval(0);
    await expectClean();
  });

  test('others publish by the publication as well: only our tables leave it', async () => {
    await setUp();
    await workspace.source(`create table theirs (id int primary key);
      alter publication ${workspace.publication} add table theirs`);
    await workspace.configure(absent());
    await applyRemoval(0);
    expect(await workspace.onServer()).toEqual({
      slots: [],
      publications: [workspace.publication],
      members: ['public.theirs'],
    });
    await expectNoChanges(workspace);
  });

  test('somebody holds the destination: the slot goes all the same', async () => {
    await setUp();
    const holder = await holdDuckDb(workspace.duckdbFile);
    undo.push(() => holder.release());
    await workspace.configure(absent());
    const run = await applyRemoval(1);
    expect(run.output).toContain('DESTINATION_BUSY');
    expect(await told()).toEqual([
      { address: 'shop:public.orders', code: 'DESTINATION_BUSY' },
      { address: 'shop:public.users', code: null },
    ]);
    expect(await workspace.onServer()).toEqual({ slots: [], publications: [], members: [] });
    await holder.release();
    undo.length = 0;
    expect(await found()).toEqual(['shop:public.orders', 'shop:public.users']);
    await applyRemoval(0);
    await expectClean();
  });

  test('the secret is gone', async () => {
    await setUp();
    await workspace.configure(absent());
    const run = await workspace.run(['apply', '--yes'], { env: { SHOP_PASSWORD: undefined } });
    expect(run.code, run.output).toBe(1);
    await expectLeft([
      { address: 'shop:slot', code: 'SECRET_MISSING' },
      { address: 'shop:publication', code: null },
    ]);
    await applyRemoval(0);
    await expectClean();
  });

  test('its connection left the file together with it', async () => {
    await setUp();
    await workspace.configure({ ...absent(), top: { sources: {}, connections: {} } });
    const run = await applyRemoval(1);
    expect(run.output).toContain('put its connection back into the file');
    await expectLeft([
      { address: 'shop:slot', code: 'ADDRESS_UNKNOWN' },
      { address: 'shop:publication', code: null },
    ]);
    await workspace.configure(absent());
    await applyRemoval(0);
    await expectClean();
  });

  test('a slot of the same name that another system made is not ours to drop, and is given up by name', async () => {
    await setUp();
    await workspace.source(`select pg_drop_replication_slot('${workspace.slot}');
      insert into users values (1000, 'written in between')`);
    await workspace.source(`select pg_create_logical_replication_slot('${workspace.slot}', 'pgoutput')`);
    await workspace.configure(absent());
    await applyRemoval(1);
    await expectLeft([
      { address: 'shop:slot', code: 'SLOT_OCCUPIED' },
      { address: 'shop:publication', code: null },
    ]);
    const forgotten = await workspace.expect(0, 'state', 'forget', 'shop', '--yes');
    expect(forgotten.stdout).toContain(`select pg_drop_replication_slot('${workspace.slot}');`);
    expect(forgotten.stdout).toContain(`drop publication "${workspace.publication}";`);
    expect(await found(), 'nothing was dropped').toEqual(['shop:slot', 'shop:publication']);
    expect(await told()).toBeNull();
    await expectNoChanges(workspace);
  });
});

test('a source that comes back is kept: what is left of it is gone on with', async () => {
  await setUp();
  await workspace.configure(absent());
  await wire.cut();
  undo.push(() => wire.mend().catch(() => undefined));
  await applyRemoval(1);
  await wire.mend();
  undo.length = 0;
  await workspace.configure(present());
  await workspace.expect(0, 'apply', '--yes', '--sync');
  await expectNoChanges(workspace);
  expect(await told()).toBeNull();
  await workspace.source(`insert into users values (2000, 'late')`);
  await workspace.expect(0, 'sync', '--until-caught-up');
  await expectSame(workspace, { source: 'public.users', columns: ['id', 'name'], where: LIVE });
  // Its next removal has to be consented to anew.
  expect(at(at(at(await workspace.readState(), 'sources'), 'shop'), 'cleanup')).toBeNull();
});

describe('a daemon finishes by itself what an apply was allowed to remove', () => {
  test.each(['before_state_write', 'after_state_write'] as const)('killed %s, at every step', async (point) => {
    for (let times = 1; ; times += 1) {
      await setUp();
      expect(await found()).toEqual(ALL);
      await workspace.configure(absent());
      const killed = await workspace.run(['apply', '--yes'], { env: { SLUICE_FAILPOINT: `${point}@${times}` } });
      if (killed.signal === null) {
        expect(times, 'it was killed at all').toBeGreaterThan(4);
        break;
      }
      const daemon = workspace.start(['daemon']);
      await eventually(async () => (await sourcesInState()) === 0, `the state is empty, killed ${point}@${times}`);
      daemon.kill('SIGTERM');
      await daemon.ended;
      await expectClean();
    }
  });

  test('and shows what is left meanwhile, without consent for anything else', async () => {
    await setUp();
    const listen = `127.0.0.1:${await freePort()}`;
    await workspace.configure({ ...absent(), top: { sources: {}, daemon: { http: { listen }, auto_apply: 'none' } } });
    await wire.cut();
    undo.push(() => wire.mend().catch(() => undefined));
    await applyRemoval(1);
    const daemon = workspace.start(['daemon']);
    await daemon.until((output) => output.includes('is not cleaned up yet'), 'the clean-up is told of');
    const metrics = async () => (await fetch(`http://${listen}/metrics`)).text();
    expect(await metrics()).toContain('sluice_cleanup_pending{source="shop"} 2');
    await wire.mend();
    undo.length = 0;
    await daemon.until((output) => output.includes('everything is cleaned up'), 'the clean-up is through', 90_000);
    expect(await metrics()).not.toContain('sluice_cleanup_pending{source="shop"}');
    daemon.kill('SIGTERM');
    await daemon.ended;
    await expectClean();
  });

  test('a removal that nobody consented to waits', async () => {
    await setUp();
    await workspace.configure(absent());
    const daemon = workspace.start(['daemon']);
    await daemon.until((output) => output.includes('changes wait for sluice apply'), 'the plan is made');
    daemon.kill('SIGTERM');
    await daemon.ended;
    expect(await found()).toEqual(ALL);
    expect(await told()).toBeNull();
  });
});

async function sourcesInState(): Promise<number> {
  if (!(await exists(workspace.stateFile))) return 0;
  return Object.keys(Object(at(JSON.parse(await readFile(workspace.stateFile, 'utf8')), 'sources'))).length;
}
