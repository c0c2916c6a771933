import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { EngineEvent } from '../../src/executor/engine.js';
import { EngineFixture, SOURCE } from '../engine-fixture.js';
import type { PostgresMajor } from '../postgres/binaries.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { fieldOf, publicationNames, readSlotAs, slotNames, until, Webhook, writeWal } from './guard-fixture.js';

/** The guard on a real server: what it does to slots that hold back too much, and what it leaves alone. */

const never = new AbortController().signal;
const LAG = { warning_mb: 2, critical_mb: 6 };

describe.each<{ major: PostgresMajor }>([{ major: 13 }, { major: 17 }])('on $major', ({ major }) => {
  let postgres: TestPostgres;
  let webhook: Webhook;
  let fixture: EngineFixture;
  let guard: { stop(): Promise<void> } | null = null;
  let databases = 0;
  let database = '';

  beforeAll(async () => {
    postgres = await startPostgres({ major });
  });
  afterAll(() => postgres.stop());

  beforeEach(async () => {
    databases += 1;
    database = `guard${databases}`;
    await postgres.createDatabase(database);
    await postgres.query(
      `create table users (id bigint primary key, name text);
       insert into users select i, 'user ' || i from generate_series(1, 30) i`,
      [],
      database,
    );
    webhook = await Webhook.start();
  });

  afterEach(async () => {
    await guard?.stop();
    guard = null;
    await fixture.remove();
    await webhook.stop();
  });

  /** A source that is loaded and in step. */
  async function ready(
    cdc: Readonly<Record<string, unknown>>,
    connection: Readonly<Record<string, unknown>> = {},
  ): Promise<void> {
    fixture = await EngineFixture.create({
      postgres,
      database,
      tables: { 'public.users': {} },
      cdc: { slot: `slot_${database}`, publication: `pub_${database}`, lag: LAG, ...cdc },
      connection,
      more: { alerts: [{ type: 'webhook', url: webhook.url }] },
    });
    await fixture.apply();
    await fixture.sync();
  }

  async function startGuard(): Promise<void> {
    const stop = new AbortController();
    const engine = await fixture.engine();
    const watching = engine.guard({ everyMs: 50 }, stop.signal);
    guard = {
      stop: async () => {
        stop.abort();
        await watching;
      },
    };
  }

  const eventsOf = <Kind extends EngineEvent['kind']>(kind: Kind): Extract<EngineEvent, { kind: Kind }>[] =>
    fixture.events.filter((event): event is Extract<EngineEvent, { kind: Kind }> => event.kind === kind);
  const lastLevel = () => eventsOf('wal_lag').at(-1)?.lag.level;
  const sourceStatus = async () => (await (await fixture.engine()).status(never)).sources[0];
  const planned = async () => (await fixture.plan()).changes.map(({ action, address }) => `${action} ${address}`);

  async function expectInStep(): Promise<void> {
    const rows = await fixture.source<{ id: string; name: string }>(
      'select id::text, name from users order by users.id',
    );
    const copied = await fixture.read((duckdb) =>
      duckdb.rows('SELECT id, name FROM public.users WHERE NOT _ph_deleted ORDER BY id::BIGINT'),
    );
    expect(copied).toEqual(rows.map(({ id, name }) => [id, name]));
  }

  test('drops slot and publication, halts the source; plan, apply and sync bring it back', async () => {
    await ready({});
    await startGuard();
    await writeWal(postgres, 3, database);
    await until('the warning', () => lastLevel() === 'warning');
    expect(await slotNames(postgres)).toEqual([fixture.slot]);
    const warned = await sourceStatus();
    expect(warned?.slot?.lag).toMatchObject({ level: 'warning', warningBytes: 2 * 1024 ** 2 });
    expect(warned?.errored).toBeNull();

    await writeWal(postgres, 5, database);
    await until('the drop', () => eventsOf('guard_dropped').length === 2);
    expect(eventsOf('guard_dropped').map(({ address }) => address)).toEqual(['shop:slot', 'shop:publication']);
    expect(await slotNames(postgres)).toEqual([]);
    expect(await publicationNames(postgres, database)).toEqual([]);
    await until('the alerts', () => webhook.received.length === 3);
    expect(webhook.kinds).toEqual(['lag_warning', 'lag_critical', 'slot_dropped']);
    expect(webhook.received[2]?.body).toMatchObject({
      format_version: 1,
      source: SOURCE,
      slot: fixture.slot,
      hint: expect.stringContaining('sluice apply'),
      lag: { level: 'critical', thresholds: { warning_bytes: 2 * 1024 ** 2, critical_bytes: 6 * 1024 ** 2 } },
    });

    await fixture.source("insert into users values (100, 'while it was halted')");
    const refused = await fixture.trySync();
    expect(refused.sources[0]?.error).toMatchObject({
      code: 'WAL_LAG_CRITICAL',
      hint: expect.stringContaining('sluice apply'),
    });
    const halted = await sourceStatus();
    expect(halted?.errored?.code).toBe('WAL_LAG_CRITICAL');
    expect(halted?.slot?.exists).toBe(false);
    expect([...(await (await fixture.engine()).halts()).keys()]).toEqual([SOURCE]);

    const plan = await fixture.plan();
    expect(plan.changes.map(({ action, address }) => `${action} ${address}`)).toEqual([
      'create_publication shop:publication',
      'create_slot shop:slot',
      'resync_table shop:public.users',
    ]);
    expect(plan.changes.find(({ action }) => action === 'resync_table')).toMatchObject({ destructive: true });
    await fixture.apply();
    await fixture.sync();
    await expectInStep();
    expect(await planned()).toEqual([]);
    expect((await sourceStatus())?.errored).toBeNull();
    expect(await slotNames(postgres), 'the guard leaves the new one alone').toEqual([fixture.slot]);
  });

  test('a sync without a daemon looks, too, and says what it saw', async () => {
    await ready({});
    expect((await fixture.sync()).sources[0]?.lag?.level).toBe('ok');
    await writeWal(postgres, 3, database);
    expect((await fixture.trySync()).sources[0]?.lag?.level).toBe('warning');
    await writeWal(postgres, 8, database);
    const report = await fixture.trySync();
    expect(report.ok).toBe(false);
    expect(report.sources[0]).toMatchObject({ error: { code: 'WAL_LAG_CRITICAL' }, lag: { level: 'critical' } });
    expect(await slotNames(postgres)).toEqual([]);
    expect(await publicationNames(postgres, database)).toEqual([]);
  });

  test('does not make the slot anew by itself where the file consents to that for lost slots', async () => {
    await ready({ on_slot_lost: 'resync' });
    await writeWal(postgres, 8, database);
    await fixture.trySync();
    expect(await slotNames(postgres)).toEqual([]);
    const plan = await fixture.plan();
    expect(plan.changes.find(({ action }) => action === 'resync_table')).toMatchObject({ destructive: true });
  });

  test.each<{ name: string; cdc: Readonly<Record<string, unknown>> }>([
    { name: 'on_critical: alert', cdc: { lag: { ...LAG, on_critical: 'alert' } } },
    { name: 'self_managed', cdc: { management: 'self_managed' } },
  ])('$name drops nothing, and a sync frees the WAL', async ({ cdc }) => {
    await postgres.query(`create publication pub_${database} for table users`, [], database);
    if (cdc['management'] === undefined) await postgres.query(`drop publication pub_${database}`, [], database);
    await ready(cdc);
    await startGuard();
    await writeWal(postgres, 8, database);
    await until('the critical level', () => lastLevel() === 'critical');
    const looks = eventsOf('wal_lag').length;
    await until('more looks', () => eventsOf('wal_lag').length > looks + 3);
    expect(eventsOf('guard_dropped')).toEqual([]);
    expect(await slotNames(postgres)).toEqual([fixture.slot]);
    expect(await publicationNames(postgres, database)).toEqual([`pub_${database}`]);
    expect((await sourceStatus())?.errored).toMatchObject({ code: 'WAL_LAG_CRITICAL' });
    await until('the alert', () => webhook.kinds.includes('lag_critical'));

    await fixture.source("insert into users values (100, 'goes on')");
    await until('the WAL is free', async () => {
      // restart_lsn follows the snapshots that checkpoints write.
      await postgres.query('checkpoint');
      await fixture.sync();
      return lastLevel() === 'ok';
    });
    await expectInStep();
    await until('the all-clear', () => webhook.kinds.at(-1) === 'lag_cleared');
    expect((await sourceStatus())?.errored).toBeNull();
    expect(await planned()).toEqual([]);
  });

  test('a slot that a stranger reads from is not dropped until he is gone', async () => {
    await ready({});
    const place = { database, slot: fixture.slot, publication: `pub_${database}` };
    const stranger = await readSlotAs(postgres, 'stranger', place);
    await writeWal(postgres, 8, database);
    await startGuard();
    await until('failed drops', () => eventsOf('guard_failed').length >= 3);
    expect(eventsOf('guard_failed')[0]).toMatchObject({ address: 'shop:slot', error: { code: 'SLOT_IN_USE' } });
    expect(await slotNames(postgres)).toEqual([fixture.slot]);
    expect((await sourceStatus())?.errored).toMatchObject({
      code: 'WAL_LAG_CRITICAL',
      cause: expect.stringContaining('reads from it'),
    });
    await until('the alert', () => webhook.kinds.includes('slot_drop_failed'));
    await stranger.end();
    await until('the drop', () => eventsOf('guard_dropped').length === 2);
    expect(await slotNames(postgres)).toEqual([]);
    await until('the alert', () => webhook.kinds.includes('slot_dropped'));
    expect(
      webhook.kinds.filter((kind) => kind === 'slot_drop_failed'),
      'told once',
    ).toHaveLength(1);
  });

  test('a reader of ours is ended', async () => {
    await ready({});
    const place = { database, slot: fixture.slot, publication: `pub_${database}` };
    const ours = await readSlotAs(postgres, 'sluice read', place);
    await writeWal(postgres, 8, database);
    await startGuard();
    await ours.ended;
    await until('the drop', () => eventsOf('guard_dropped').length === 2);
    expect(eventsOf('guard_failed')).toEqual([]);
    expect(await slotNames(postgres)).toEqual([]);
  });

  describe('a role of its own', () => {
    const role = () => `role_${database}`;

    beforeEach(async () => {
      await postgres.query(`create role ${role()} login replication password 'sluice-test'`, [], database);
      await postgres.query(`alter table users owner to ${role()}`, [], database);
      await postgres.query(`grant all on database ${database} to ${role()}`, [], database);
    });

    test('that may not drop any more: reported, and tried again until it may', async () => {
      await ready({}, { user: role() });
      await postgres.query(`alter role ${role()} noreplication`);
      await postgres.query(`alter publication pub_${database} owner to postgres`, [], database);
      await writeWal(postgres, 8, database);
      await startGuard();
      await until('failed drops', () => eventsOf('guard_failed').length >= 2);
      expect(eventsOf('guard_failed')[0]).toMatchObject({ address: 'shop:slot', error: { code: 'PRIVILEGE_MISSING' } });
      expect(await slotNames(postgres)).toEqual([fixture.slot]);

      await postgres.query(`alter role ${role()} replication`);
      await until('the slot', async () => (await slotNames(postgres)).length === 0);
      await until('the publication is refused', () =>
        eventsOf('guard_failed').some(({ address }) => address === 'shop:publication'),
      );
      expect(await publicationNames(postgres, database)).toEqual([`pub_${database}`]);

      await postgres.query(`alter publication pub_${database} owner to ${role()}`, [], database);
      await until('the publication', async () => (await publicationNames(postgres, database)).length === 0);
    });

    test('that may not log in any more: the guard is blind, and says so', async () => {
      await ready({}, { user: role() });
      await startGuard();
      await until('a look', () => eventsOf('wal_lag').length > 0);
      await postgres.query(`alter role ${role()} nologin`);
      await postgres.query('select pg_terminate_backend(pid) from pg_stat_activity where usename = $1', [role()]);
      await until('the alert', () => webhook.kinds.includes('guard_blind'));
      expect(eventsOf('wal_lag_unknown').length).toBeGreaterThanOrEqual(3);
      await postgres.query(`alter role ${role()} login`);
      await until('the alert', () => webhook.kinds.includes('guard_recovered'));
      expect(fieldOf(webhook.received.at(-1)?.body, 'source')).toBe(SOURCE);
    });
  });

  test('a publication that holds the tables of others stays', async () => {
    await ready({});
    await postgres.query('create table theirs (id int primary key)', [], database);
    await postgres.query(`alter publication pub_${database} add table theirs`, [], database);
    await writeWal(postgres, 8, database);
    await fixture.trySync();
    expect(await slotNames(postgres)).toEqual([]);
    expect(await publicationNames(postgres, database)).toEqual([`pub_${database}`]);
  });

  test('another cluster under the same address: nothing there is ours to drop', async () => {
    await ready({});
    const state = await readFile(fixture.stateFile, 'utf8');
    await writeFile(fixture.stateFile, state.replace(/"system_identifier": "\d+"/, '"system_identifier": "42"'));
    await writeWal(postgres, 8, database);
    await startGuard();
    await until('a refusal', () => eventsOf('guard_failed').length > 0);
    expect(eventsOf('guard_failed')[0]).toMatchObject({ error: { code: 'SYSTEM_CHANGED' } });
    expect(await slotNames(postgres)).toEqual([fixture.slot]);
  });
});
