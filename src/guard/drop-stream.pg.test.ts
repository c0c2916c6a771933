import { afterAll, beforeAll, expect, test } from 'vitest';
import { writeWal } from '../../test/guard/guard-fixture.js';
import { startPostgres, type TestPostgres } from '../../test/postgres/server.js';
import { realClock } from '../cli/real-clock.js';
import { connectSource, type SourceConnection } from '../source/connect.js';
import { dropOverdueSlot } from './drop-stream.js';
import { readWalLag } from './read-wal-lag.js';

/** What the statement that drops a slot looks at itself, as others may have been at work since the guard looked. */

const MIB = 1024 ** 2;
const never = new AbortController().signal;
let postgres: TestPostgres;
let connection: SourceConnection;

beforeAll(async () => {
  postgres = await startPostgres({ major: 17, settings: { max_slot_wal_keep_size: '512MB' } });
  connection = await connectSource(
    {
      name: 'db',
      host: postgres.host,
      port: postgres.port,
      database: postgres.database,
      user: postgres.user,
      password: postgres.password,
      tls: { mode: 'disable', caFile: null, certFile: null, keyFile: null },
      tunnel: null,
      connectTimeoutMs: 10_000,
    },
    { purpose: 'test', signal: never },
  );
  await postgres.createDatabase('other');
});
afterAll(async () => {
  await connection.end();
  await postgres.stop();
});

const make = (name: string, plugin = 'pgoutput', database = 'postgres') =>
  postgres.query('select pg_create_logical_replication_slot($1, $2)', [name, plugin], database);
const writeLag = () => writeWal(postgres, 3, 'postgres');
const drop = (slot: string, atLeastBytes: number, systemIdentifier: string | null = null) =>
  dropOverdueSlot(connection, slot, { systemIdentifier, atLeastBytes }, realClock, never);
const exists = async (slot: string): Promise<boolean> =>
  (await postgres.query('select from pg_replication_slots where slot_name = $1', [slot])).length > 0;

test('reads what a slot holds back, and what the server keeps', async () => {
  await make('reading');
  const before = await readWalLag(connection, 'reading', 'now', never);
  expect(before).toMatchObject({ at: 'now', exists: true, walStatus: 'reserved', keepSizeBytes: 512 * MIB });
  expect(before.retainedBytes).toBeLessThan(MIB);
  await writeLag();
  const after = await readWalLag(connection, 'reading', 'later', never);
  expect(after.retainedBytes).toBeGreaterThan(3 * MIB);
  expect(after.unconfirmedBytes).toBeGreaterThan(3 * MIB);
  expect(after.safeWalSizeBytes).toBeLessThan(before.safeWalSizeBytes ?? 0);
  expect(await readWalLag(connection, 'none', 'now', never)).toEqual({
    at: 'now',
    exists: false,
    retainedBytes: null,
    unconfirmedBytes: null,
    walStatus: null,
    safeWalSizeBytes: null,
    keepSizeBytes: 512 * MIB,
  });
});

test('drops what holds back as much', async () => {
  await make('overdue');
  await writeLag();
  expect(await drop('overdue', 2 * MIB)).toBe('dropped');
  expect(await exists('overdue')).toBe(false);
  expect(await drop('overdue', 2 * MIB), 'there is none any more').toBe('kept');
});

test('keeps one that was made anew meanwhile', async () => {
  await make('kept');
  expect(await drop('kept', 2 * MIB)).toBe('kept');
  expect(await exists('kept')).toBe(true);
});

test.each<{ name: string; plugin?: string; database?: string }>([
  { name: 'one of another plugin', plugin: 'test_decoding' },
  { name: 'one of another database', database: 'other' },
])('refuses $name', async ({ plugin, database }) => {
  await make('foreign', plugin, database);
  await writeLag();
  await expect(drop('foreign', 2 * MIB)).rejects.toMatchObject({ code: 'SLOT_OCCUPIED' });
  expect(await exists('foreign')).toBe(true);
  await postgres.query("select pg_drop_replication_slot('foreign')");
});

test('refuses another cluster', async () => {
  await make('elsewhere');
  await writeLag();
  await expect(drop('elsewhere', 2 * MIB, '42')).rejects.toMatchObject({ code: 'SYSTEM_CHANGED' });
  expect(await exists('elsewhere')).toBe(true);
});
