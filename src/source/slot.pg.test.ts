import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { hasPostgres } from '../../test/postgres/binaries.js';
import { startPostgres, type TestPostgres } from '../../test/postgres/server.js';
import { lsnFromBigInt, parseLsn } from '../pgoutput/lsn.js';
import { type ConnectTarget, connectSource, type SourceConnection } from './connect.js';
import { changePublication, dropPublication, readPublication, verifyPublication } from './publication.js';
import { addPublicationTablesSql, createPublicationSql, removePublicationTablesSql } from './publication-sql.js';
import { advanceSlot, createSlot, currentWalFlushLsn, dropSlot, explainSlotError, readSlot } from './slot.js';

const { signal } = new AbortController();

function targetOf(
  postgres: TestPostgres,
  user: string = postgres.user,
  password: string = postgres.password,
): ConnectTarget {
  return {
    name: 'shop_db',
    host: postgres.host,
    port: postgres.port,
    database: postgres.database,
    user,
    password,
    tls: { mode: 'disable', caFile: null, certFile: null, keyFile: null },
    tunnel: null,
    connectTimeoutMs: 10_000,
  };
}

async function hasProblem(work: Promise<unknown>): Promise<unknown> {
  return await work.then(
    () => 'none',
    (error: unknown) => error,
  );
}

describe.each(([13, 17] as const).filter(hasPostgres))('on Postgres %i', (major) => {
  let postgres: TestPostgres;
  let connection: SourceConnection;

  beforeAll(async () => {
    postgres = await startPostgres({ major, settings: { max_replication_slots: '3' } });
    await postgres.query(`create table users (id int primary key); create table orders (id int primary key);
      create role reader login password 'reader'`);
    connection = await connectSource(targetOf(postgres), { purpose: 'test', signal });
  });
  beforeEach(async () => {
    await postgres.query('select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active');
    await postgres.query('drop publication if exists sluice_pub');
  });
  afterAll(async () => {
    await connection?.end();
    await postgres?.stop('immediate');
  });

  describe('a slot', () => {
    test('is made, read, advanced and dropped', async () => {
      const start = await createSlot(connection, 'sluice_shop', signal);
      await postgres.query('insert into users select generate_series(1, 100)');
      const end = await currentWalFlushLsn(connection, signal);
      expect(end).toBeGreaterThan(start);
      expect(await advanceSlot(connection, 'sluice_shop', end, signal)).toBe(end);
      const slot = await readSlot(connection, 'sluice_shop', signal);
      expect(slot).toMatchObject({ plugin: 'pgoutput', database: 'postgres', active: false, walStatus: 'reserved' });
      expect(parseLsn(slot?.confirmedFlushLsn ?? '')).toBe(end);
      expect(await dropSlot(connection, 'sluice_shop', signal)).toBe('dropped');
      expect(await readSlot(connection, 'sluice_shop', signal)).toBeNull();
      await postgres.query('truncate users');
    });

    test('that is gone already needs no dropping', async () => {
      expect(await dropSlot(connection, 'sluice_gone', signal)).toBe('absent');
    });

    test('advanced to where it stands stays there', async () => {
      const start = await createSlot(connection, 'sluice_shop', signal);
      expect(await advanceSlot(connection, 'sluice_shop', start, signal)).toBe(start);
    });

    test('stands beyond what the destination holds', async () => {
      await createSlot(connection, 'sluice_shop', signal);
      await expect(advanceSlot(connection, 'sluice_shop', lsnFromBigInt(8n), signal)).rejects.toMatchObject({
        code: 'SLOT_AHEAD',
      });
    });

    test.each([
      {
        name: 'advance',
        act: () => advanceSlot(connection, 'sluice_gone', lsnFromBigInt(8n), signal),
        code: 'SLOT_MISSING',
      },
      {
        name: 'make it twice',
        act: () =>
          createSlot(connection, 'sluice_twice', signal).then(() => createSlot(connection, 'sluice_twice', signal)),
        code: 'SLOT_OCCUPIED',
      },
      {
        name: 'make more than there is room for',
        act: async () => {
          for (const name of ['a', 'b', 'c', 'd']) await createSlot(connection, name, signal);
        },
        code: 'SERVER_UNSUITABLE',
      },
    ])('cannot be: $name', async ({ act, code }) => expect(await hasProblem(act())).toMatchObject({ code }));

    test('held by another reader names its backend', async () => {
      const holder = await connectSource(targetOf(postgres), { purpose: 'holder', signal });
      const stop = new AbortController();
      // A slow reader: the function keeps the slot until it has returned.
      await createSlot(connection, 'sluice_shop', signal);
      await postgres.query('create publication sluice_pub for table users');
      await postgres.query('insert into users select generate_series(1, 400000)');
      const reading = holder.query(
        "select count(*) from pg_logical_slot_peek_binary_changes('sluice_shop', null, null, 'proto_version', '1', 'publication_names', 'sluice_pub')",
        [],
        stop.signal,
      );
      await expect
        .poll(async () => (await readSlot(connection, 'sluice_shop', signal))?.active, { interval: 5 })
        .toBe(true);
      const error = await hasProblem(dropSlot(connection, 'sluice_shop', signal));
      stop.abort();
      await hasProblem(reading);
      await holder.end();
      expect(error).toMatchObject({
        code: 'SLOT_IN_USE',
        message: `slot "sluice_shop" is held by backend ${holder.backendPid}`,
      });
      await postgres.query('truncate users');
    });

    test('whose making waits can be cancelled and leaves nothing', async () => {
      const client = await postgres.client();
      await client.query('begin; insert into users values (-1)');
      await expect(createSlot(connection, 'sluice_shop', AbortSignal.timeout(300))).rejects.toMatchObject({
        code: 'CANCELLED',
      });
      await client.query('rollback');
      await client.end();
      expect(await readSlot(connection, 'sluice_shop', signal)).toBeNull();
    });

    test('needs the right to make one', async () => {
      const reader = await connectSource(targetOf(postgres, 'reader', 'reader'), { purpose: 'test', signal });
      await expect(createSlot(reader, 'sluice_shop', signal)).rejects.toMatchObject({ code: 'PRIVILEGE_MISSING' });
      await reader.end();
    });
  });

  describe('a publication', () => {
    const users = { schema: 'public', name: 'users' };
    const orders = { schema: 'public', name: 'orders' };
    const make = async (tables: (typeof users)[], present = tables.map((table) => `public.${table.name}`)) => {
      const wanted = { publication: 'sluice_pub', present, absent: [] };
      await changePublication(connection, createPublicationSql('sluice_pub', tables), signal, wanted);
    };
    const names = async () =>
      (await readPublication(connection, 'sluice_pub', signal))?.tables.map((table) => table.name);

    test('is made, changed and dropped', async () => {
      await make([users]);
      expect(await readPublication(connection, 'sluice_pub', signal)).toMatchObject({
        name: 'sluice_pub',
        viaPartitionRoot: true,
        insert: true,
        update: true,
        delete: true,
        truncate: true,
        tables: [{ schema: 'public', name: 'users' }],
      });
      await changePublication(connection, addPublicationTablesSql('sluice_pub', [orders]), signal);
      expect(await names()).toEqual(['orders', 'users']);
      const wanted = { publication: 'sluice_pub', present: ['public.orders'], absent: ['public.users'] };
      await changePublication(connection, removePublicationTablesSql('sluice_pub', [users]), signal, wanted);
      expect(await names()).toEqual(['orders']);
      expect(await dropPublication(connection, 'sluice_pub', signal)).toBe('dropped');
      expect(await dropPublication(connection, 'sluice_pub', signal)).toBe('absent');
      expect(await readPublication(connection, 'sluice_pub', signal)).toBeNull();
    });

    test.each([
      { name: 'made twice', act: () => make([users]).then(() => make([users])), code: 'PUBLICATION_OCCUPIED' },
      {
        name: 'of a table that does not exist',
        act: () => make([{ schema: 'public', name: 'gone' }]),
        code: 'TABLE_MISSING',
      },
      {
        name: 'verified and not there',
        act: () => verifyPublication(connection, { publication: 'sluice_pub', present: [], absent: [] }, signal),
        code: 'PUBLICATION_MISSING',
      },
      {
        name: 'without a table it should have',
        act: () => make([users], ['public.users', 'public.orders']),
        code: 'PUBLICATION_INCOMPLETE',
      },
      {
        name: 'with a table it should not have',
        act: () =>
          make([users]).then(() =>
            verifyPublication(connection, { publication: 'sluice_pub', present: [], absent: ['public.users'] }, signal),
          ),
        code: 'PUBLICATION_INCOMPLETE',
      },
      {
        name: 'SQL that carries a second statement',
        act: () => changePublication(connection, 'drop table users; drop table orders', signal),
        code: 'SOURCE_SQL_FAILED',
      },
    ])('cannot be: $name', async ({ act, code }) => expect(await hasProblem(act())).toMatchObject({ code }));
  });

  test('a slot whose WAL the server removed is lost', async () => {
    await createSlot(connection, 'sluice_shop', signal);
    await postgres.query("alter system set max_slot_wal_keep_size = '1MB'");
    await postgres.query('select pg_reload_conf()');
    const walStatus = async () => {
      await postgres.query('select pg_switch_wal() from (select txid_current()) as t');
      await postgres.query('checkpoint');
      return (await readSlot(connection, 'sluice_shop', signal))?.walStatus;
    };
    await expect.poll(walStatus, { timeout: 30_000 }).toBe('lost');
    const peek = connection.query(
      "select count(*) from pg_logical_slot_peek_binary_changes('sluice_shop', null, 1, 'proto_version', '1', 'publication_names', 'x')",
    );
    const error = await explainSlotError(connection, 'sluice_shop', await hasProblem(peek), signal);
    expect(error).toMatchObject({ code: 'SLOT_LOST' });
    await expect(
      advanceSlot(connection, 'sluice_shop', await currentWalFlushLsn(connection, signal), signal),
    ).rejects.toMatchObject({ code: 'SLOT_LOST' });
  });
});

test('a server without logical decoding cannot make a slot', async () => {
  const postgres = await startPostgres({ major: 17, settings: { wal_level: 'replica' } });
  const connection = await connectSource(targetOf(postgres), { purpose: 'test', signal });
  await expect(createSlot(connection, 'sluice_shop', signal)).rejects.toMatchObject({ code: 'SERVER_UNSUITABLE' });
  await connection.end();
  await postgres.stop('immediate');
});
