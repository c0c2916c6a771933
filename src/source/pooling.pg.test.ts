import { afterAll, beforeAll, expect, test } from 'vitest';
import { type PoolerOptions, startPooler } from '../../test/postgres/pooler.js';
import { startPostgres, type TestPostgres } from '../../test/postgres/server.js';
import { type ConnectTarget, connectSource } from './connect.js';
import { readPooling } from './pooling.js';
import type { Pooling } from './readiness-model.js';

let postgres: TestPostgres;
const { signal } = new AbortController();

beforeAll(async () => {
  postgres = await startPostgres({ major: 17, hba: 'host all pooled all trust\nhost all all all scram-sha-256\n' });
  await postgres.query('create role pooled login');
});
afterAll(() => postgres?.stop('immediate'));

async function look(port: number, places = 2): Promise<{ pooling: Pooling; opened: number }> {
  const target: ConnectTarget = {
    name: 'db',
    host: '127.0.0.1',
    port,
    database: postgres.database,
    user: 'pooled',
    password: null,
    tls: { mode: 'disable', caFile: null, certFile: null, keyFile: null },
    tunnel: null,
    connectTimeoutMs: 30_000,
  };
  let opened = 0;
  const open = async () => {
    opened += 1;
    if (opened > places) throw new Error('the pool is full');
    return connectSource(target, { purpose: 'doctor', signal });
  };
  const connection = await open();
  try {
    return { pooling: await readPooling(connection, open, signal), opened };
  } finally {
    await connection.end();
  }
}

test('straight to the server there is none, and no second session is needed to know', async () => {
  expect(await look(postgres.port)).toEqual({ pooling: 'none', opened: 1 });
});

test.each<{ name: string; options: Omit<PoolerOptions, 'user'>; pooling: Pooling }>([
  {
    name: 'one client always gets the backend that it just used',
    options: { mode: 'transaction', order: 'stack', backends: 3 },
    pooling: 'transaction',
  },
  {
    name: 'one backend for all, which nobody may keep',
    options: { mode: 'transaction', order: 'stack', backends: 1 },
    pooling: 'transaction',
  },
  {
    name: 'backends take turns',
    options: { mode: 'transaction', order: 'queue', backends: 2 },
    pooling: 'transaction',
  },
  {
    name: 'a backend for the whole session',
    options: { mode: 'session', order: 'stack', backends: 2 },
    pooling: 'session',
  },
])('a pooler: $name', async ({ options, pooling }) => {
  const pooler = await startPooler(postgres, { ...options, user: 'pooled' });
  try {
    expect((await look(pooler.port)).pooling).toBe(pooling);
  } finally {
    await pooler.stop();
  }
});

test('a pooler without a place for a second session is one all the same', async () => {
  const pooler = await startPooler(postgres, { mode: 'session', order: 'stack', backends: 1, user: 'pooled' });
  try {
    expect((await look(pooler.port, 1)).pooling).toBe('unclear');
  } finally {
    await pooler.stop();
  }
});
