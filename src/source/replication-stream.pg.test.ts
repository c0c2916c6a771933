import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { startPostgres, type TestPostgres } from '../../test/postgres/server.js';
import type { SluiceError } from '../error/sluice-error.js';
import { LSN_ZERO, type Lsn } from '../pgoutput/lsn.js';
import type { ConnectTarget } from './connect.js';
import { ReplicationStream, type ReplicationTiming } from './replication-stream.js';

const PATIENCE = { interval: 20, timeout: 60_000 } as const;
const never = new AbortController().signal;

let postgres: TestPostgres;

beforeAll(async () => {
  postgres = await startPostgres({
    major: 17,
    settings: { wal_sender_timeout: '1s', logical_decoding_work_mem: '64kB' },
  });
  await postgres.query(`create table t (id int, v text); create publication "a ""pub"", \\ of 'all'" for table t`);
});
afterAll(() => postgres?.stop());

const PUBLICATION = `a "pub", \\ of 'all'`;

interface Received {
  readonly messages: string[];
  bytes: number;
  position: Lsn;
  urgent: number;
  end: SluiceError | null;
}

let streams: ReplicationStream[] = [];
let slots = 0;

afterEach(async () => {
  for (const stream of streams) await stream.close();
  streams = [];
  await postgres.query('select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active');
});

function target(changes: Partial<ConnectTarget> = {}): ConnectTarget {
  return {
    name: 'db',
    host: postgres.host,
    port: postgres.port,
    database: postgres.database,
    user: postgres.user,
    password: postgres.password,
    tls: { mode: 'disable', caFile: null, certFile: null, keyFile: null },
    tunnel: null,
    connectTimeoutMs: 10_000,
    ...changes,
  };
}

async function createSlot(): Promise<string> {
  slots += 1;
  await postgres.query("select pg_create_logical_replication_slot($1, 'pgoutput')", [`slot_${slots}`]);
  return `slot_${slots}`;
}

async function open(
  slot: string,
  options: { to?: ConnectTarget; timing?: ReplicationTiming; publication?: string; onMessage?: () => void } = {},
) {
  const received: Received = { messages: [], bytes: 0, position: LSN_ZERO, urgent: 0, end: null };
  const stream = await ReplicationStream.open(
    options.to ?? target(),
    { slot, publication: options.publication ?? PUBLICATION, start: LSN_ZERO },
    {
      onMessage: (bytes, start, end) => {
        received.messages.push(String.fromCharCode(bytes[start] ?? 0));
        received.bytes += end - start;
        options.onMessage?.();
      },
      onPosition: (position, urgent) => {
        received.position = position;
        if (urgent) received.urgent += 1;
      },
      onEnd: (error) => {
        received.end = error;
      },
    },
    never,
    options.timing,
  );
  streams.push(stream);
  return { stream, received };
}

async function senderOf(slot: string): Promise<number | null> {
  const [row] = await postgres.query<{ pid: number | null }>(
    'select active_pid as pid from pg_replication_slots where slot_name = $1',
    [slot],
  );
  return row?.pid ?? null;
}

test('sends what is committed, and large transactions while they are open', async () => {
  const { stream, received } = await open(await createSlot());
  await postgres.query("insert into t values (1, 'a')");
  await expect.poll(() => received.messages.join(''), PATIENCE).toBe('BRIC');
  await postgres.query(`insert into t select i, repeat('x', 100) from generate_series(1, 5000) i`);
  await expect.poll(() => received.messages.at(-1), PATIENCE).toBe('c');
  expect(received.messages.filter((code) => code === 'S').length).toBeGreaterThan(1);
  // A message that is cut into many pieces by the network.
  await postgres.query(`insert into t values (3, repeat('long ', 2000000))`);
  await expect.poll(() => received.bytes, PATIENCE).toBeGreaterThan(10_000_000);
  await stream.close();
  expect(received.end).toBeNull();
});

test('the slot is free at once after the end', async () => {
  const slot = await createSlot();
  for (let round = 0; round < 3; round += 1) {
    const { stream } = await open(slot);
    expect(await senderOf(slot)).not.toBeNull();
    await stream.close();
    expect(await senderOf(slot)).toBeNull();
  }
});

test('the server hears of a receiver that takes nothing, and keeps it', async () => {
  const slot = await createSlot();
  const { stream, received } = await open(slot);
  const pid = await senderOf(slot);
  stream.pause();
  await postgres.query(`insert into t select i, repeat(md5(i::text), 300) from generate_series(1, 6000) i`);
  // Longer than twice the time after which the server hangs up on one that is silent.
  await postgres.query('select pg_sleep(2.5)');
  expect(received.messages.at(-1)).not.toBe('c');
  expect(await senderOf(slot)).toBe(pid);
  stream.resume();
  await expect.poll(() => received.messages.at(-1), PATIENCE).toBe('c');
  expect(received.end).toBeNull();
});

test('only what is confirmed is confirmed', async () => {
  const slot = await createSlot();
  const { stream, received } = await open(slot);
  const confirmed = async (): Promise<string | undefined> =>
    (
      await postgres.query<{ lsn: string }>(
        `select (confirmed_flush_lsn - '0/0')::text as lsn from pg_replication_slots where slot_name = $1`,
        [slot],
      )
    )[0]?.lsn;
  const before = await confirmed();
  await postgres.query("insert into t values (1, 'a')");
  await expect.poll(() => received.messages.at(-1), PATIENCE).toBe('C');
  const { position } = received;
  await expect.poll(() => received.position > position, PATIENCE).toBe(true);
  await postgres.query('select pg_sleep(1)');
  expect(await confirmed()).toBe(before);
  const reached = received.position;
  stream.confirm(reached);
  await expect.poll(confirmed, PATIENCE).toBe(String(reached));
  stream.confirm(LSN_ZERO);
  await postgres.query('select pg_sleep(0.5)');
  expect(await confirmed()).toBe(String(reached));
});

describe('how it ends', () => {
  test('by an administrator', async () => {
    const slot = await createSlot();
    const { received } = await open(slot);
    await postgres.query('select pg_terminate_backend($1)', [await senderOf(slot)]);
    await expect.poll(() => received.end?.code, PATIENCE).toBe('SOURCE_CONNECTION_LOST');
    expect(received.end?.message).toContain('57P01');
  });

  test('by what its receiver throws', async () => {
    const { received } = await open(await createSlot(), {
      onMessage: () => {
        throw new TypeError('a fault');
      },
    });
    await postgres.query("insert into t values (1, 'a')");
    await expect.poll(() => received.end?.code, PATIENCE).toBe('INTERNAL');
    expect(received.messages).toEqual(['B']);
  });

  test('a publication that is gone is named', async () => {
    const { received } = await open(await createSlot(), { publication: 'nowhere' });
    await postgres.query("insert into t values (1, 'a')");
    await expect.poll(() => received.end?.code, PATIENCE).toBe('PUBLICATION_MISSING');
    expect(received.end?.message).toContain('"nowhere"');
  });

  test('a slot that is not there, or read by another, is refused', async () => {
    await expect(open('no_such_slot')).rejects.toMatchObject({ code: 'SLOT_MISSING' });
    const slot = await createSlot();
    await open(slot);
    await expect(open(slot)).rejects.toMatchObject({ code: 'SLOT_IN_USE' });
  });

  test('a network that swallows everything is noticed', async () => {
    const proxy = await swallowingProxy(postgres.port);
    try {
      const { received } = await open(await createSlot(), {
        to: target({ port: proxy.port }),
        timing: { silenceMs: 2_000 },
      });
      // Answers to what it asks for keep it going in silence.
      await postgres.query('select pg_sleep(3)');
      expect(received.end).toBeNull();
      proxy.swallow();
      await expect.poll(() => received.end?.code, PATIENCE).toBe('SOURCE_CONNECTION_LOST');
      expect(received.end?.message).toContain('nothing came from');
    } finally {
      await proxy.close();
    }
  });
});

/** Passes bytes on until it is told to swallow them, with its connections left open: as a pulled cable does. */
async function swallowingProxy(port: number): Promise<{ port: number; swallow(): void; close(): Promise<void> }> {
  const sockets: Socket[] = [];
  let swallowing = false;
  const server: Server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    sockets.push(near, far);
    for (const socket of [near, far]) socket.on('error', () => undefined);
    near.on('data', (chunk) => swallowing || far.write(chunk));
    far.on('data', (chunk) => swallowing || near.write(chunk));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    swallow: () => {
      swallowing = true;
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
