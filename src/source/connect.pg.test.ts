import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeAuthority } from '../../test/postgres/certificates.js';
import { startPostgres, type TestPostgres } from '../../test/postgres/server.js';
import type { TlsConfig } from '../config/config.js';
import type { ErrorCode } from '../error/codes.js';
import { toPlain } from '../error/sluice-error.js';
import { type ConnectTarget, connectSource, type SourceConnection } from './connect.js';

const PLAIN: TlsConfig = { mode: 'disable', caFile: null, certFile: null, keyFile: null };
const SECRET = 'p4ss:w0rd/é';

let plain: TestPostgres;
let secure: TestPostgres;
let files: string;
const authority = makeAuthority();

function targetOf(server: TestPostgres, changes: Partial<ConnectTarget> = {}): ConnectTarget {
  return {
    name: 'shop_db',
    host: server.host,
    port: server.port,
    database: server.database,
    user: server.user,
    password: server.password,
    tls: PLAIN,
    tunnel: null,
    connectTimeoutMs: 10_000,
    ...changes,
  };
}

function tls(mode: TlsConfig['mode'], changes: Partial<TlsConfig> = {}): TlsConfig {
  return { mode, caFile: path.join(files, 'ca.pem'), certFile: null, keyFile: null, ...changes };
}

async function open(target: ConnectTarget, signal = new AbortController().signal): Promise<SourceConnection> {
  return await connectSource(target, { purpose: 'test', signal });
}

beforeAll(async () => {
  files = await mkdtemp(path.join(tmpdir(), 'sluice-tls-'));
  const server = authority.issue({ commonName: 'db', names: ['localhost', '127.0.0.1'] });
  await writeFile(path.join(files, 'ca.pem'), authority.cert);
  await writeFile(path.join(files, 'other-ca.pem'), makeAuthority('another CA').cert);
  await writeFile(path.join(files, 'no.pem'), '-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n');
  const client = authority.issue({ commonName: 'certified' });
  await writeFile(path.join(files, 'client.pem'), client.cert);
  await writeFile(path.join(files, 'client.key'), client.key);
  [plain, secure] = await Promise.all([
    startPostgres({ major: 17, settings: { listen_addresses: 'localhost,127.0.0.1' } }),
    startPostgres({
      major: 13,
      tls: { ...server, ca: authority.cert },
      hba: 'hostssl all certified 127.0.0.1/32 cert\nhost all all 127.0.0.1/32 scram-sha-256\nhost all all ::1/128 scram-sha-256\nlocal all all trust\n',
    }),
  ]);
  for (const server of [plain, secure]) {
    await server.query(`create role plain_user login password '${SECRET}'; create role certified login;
      create table hidden (id int); create table "Open" (id int); grant select on "Open" to public;`);
  }
});

afterAll(async () => {
  await Promise.all([plain?.stop('immediate'), secure?.stop('immediate')]);
  await rm(files, { recursive: true, force: true });
});

describe('a session', () => {
  test('is set up the same whatever server and role prescribe', async () => {
    for (const server of [plain, secure]) {
      await server.query(`alter role plain_user set datestyle = 'German'; alter role plain_user set intervalstyle = 'iso_8601';
        alter role plain_user set timezone = 'Asia/Kolkata'; alter role plain_user set extra_float_digits = -5;
        alter role plain_user set bytea_output = 'escape'; alter role plain_user set statement_timeout = '1h';
        alter role plain_user set search_path = 'pg_catalog, public'; alter role plain_user set client_encoding = 'LATIN1'`);
      const connection = await open(targetOf(server, { user: 'plain_user', password: SECRET }));
      const [row] =
        await connection.query(`select '2024-01-31'::date::text as date, '1 day 02:00'::interval::text as interval,
        '2024-01-31 12:00+00'::timestamptz::text as timestamptz, (0.1::float8 + 0.2)::text as float,
        '\\xdeadbeef'::bytea::text as bytea, 1234.5::numeric::money::text as money,
        pg_catalog.current_setting('search_path') as path, pg_catalog.current_setting('statement_timeout') as timeout,
        pg_catalog.current_setting('client_encoding') as encoding, pg_catalog.current_setting('application_name') as application`);
      expect(row).toEqual({
        date: '2024-01-31',
        interval: '1 day 02:00:00',
        timestamptz: '2024-01-31 12:00:00+00',
        float: '0.30000000000000004',
        bytea: '\\xdeadbeef',
        money: '$1,234.50',
        path: '',
        timeout: '0',
        encoding: 'UTF8',
        application: 'sluice test',
      });
      expect(connection.versionNum).toBeGreaterThanOrEqual(server.major * 10_000);
      await connection.end();
    }
  });

  test('is there after a statement was cancelled by its signal', async () => {
    const connection = await open(targetOf(plain));
    const began = performance.now();
    await expect(connection.query('select pg_sleep(60)', [], AbortSignal.timeout(200))).rejects.toMatchObject({
      code: 'CANCELLED',
    });
    expect(performance.now() - began).toBeLessThan(4_000);
    expect(await connection.query('select 1 as one')).toEqual([{ one: 1 }]);
    await connection.end();
  });

  test('takes one statement at a time, so that SQL cannot carry a second one', async () => {
    const connection = await open(targetOf(plain));
    await expect(connection.query('select 1; select 2')).rejects.toMatchObject({ code: 'SOURCE_SQL_FAILED' });
    await connection.end();
  });

  test('tells why it was lost, and goes on telling', async () => {
    const connection = await open(targetOf(plain));
    // A query that is written to the closing socket may make the kernel drop the server's last words, so none is under way.
    const ended = new Promise<void>((resolve) => connection.client.once('end', () => resolve()));
    await plain.query('select pg_terminate_backend($1)', [connection.backendPid]);
    await ended;
    const reason = await connection.query('select 1').then(
      () => 'alive',
      (error) => toPlain(error).message,
    );
    expect(reason).toMatch(/57P01/);
    await expect(connection.query('select 1')).rejects.toMatchObject({ code: 'SOURCE_CONNECTION_LOST' });
    await connection.end();
  });

  test('ends without waiting for a server that does not answer', async () => {
    const sockets = await muteProxy(plain.port);
    const connection = await open(targetOf(plain, { port: sockets.port }));
    sockets.mute();
    const began = performance.now();
    await connection.end();
    expect(performance.now() - began).toBeLessThan(4_000);
    await sockets.close();
  });

  test('a statement on a server that went silent is given up after the abort', async () => {
    const sockets = await muteProxy(plain.port);
    const connection = await connectSource(targetOf(plain, { port: sockets.port }), {
      purpose: 'test',
      signal: new AbortController().signal,
      sleep: (ms, signal) => sleep(Math.min(ms, 300), undefined, { signal }),
    });
    sockets.mute();
    await expect(connection.query('select 1', [], AbortSignal.timeout(100))).rejects.toMatchObject({
      code: 'CANCELLED',
    });
    connection.destroy();
    await sockets.close();
  });
});

describe('how it gets there', () => {
  test.each<{ name: string; target: () => ConnectTarget; encrypted: boolean }>([
    { name: 'IPv4 address', target: () => targetOf(plain), encrypted: false },
    { name: 'host name', target: () => targetOf(plain, { host: 'localhost' }), encrypted: false },
    { name: 'unix socket', target: () => targetOf(plain, { host: plain.dir }), encrypted: false },
    {
      name: 'unix socket, where TLS means nothing',
      target: () => targetOf(secure, { host: secure.dir, tls: tls('verify-full') }),
      encrypted: false,
    },
    {
      name: 'verify-full by name',
      target: () => targetOf(secure, { host: 'localhost', tls: tls('verify-full') }),
      encrypted: true,
    },
    { name: 'verify-full by IP address', target: () => targetOf(secure, { tls: tls('verify-full') }), encrypted: true },
    { name: 'verify-ca', target: () => targetOf(secure, { tls: tls('verify-ca') }), encrypted: true },
    {
      name: 'require verifies nothing without a CA',
      target: () => targetOf(secure, { tls: tls('require', { caFile: null }) }),
      encrypted: true,
    },
    { name: 'disable on a server with TLS', target: () => targetOf(secure), encrypted: false },
    {
      name: 'client certificate',
      target: () =>
        targetOf(secure, {
          user: 'certified',
          password: null,
          tls: tls('verify-full', {
            certFile: path.join(files, 'client.pem'),
            keyFile: path.join(files, 'client.key'),
          }),
        }),
      encrypted: true,
    },
  ])('$name', async ({ target, encrypted }) => {
    const connection = await open(target());
    const [row] = await connection.query(
      'select ssl from pg_catalog.pg_stat_ssl where pid = pg_catalog.pg_backend_pid()',
    );
    expect(row).toEqual({ ssl: encrypted });
    await expect(connection.query('select pg_sleep(60)', [], AbortSignal.timeout(100))).rejects.toMatchObject({
      code: 'CANCELLED',
    });
    await connection.end();
  });

  test.each([
    { name: 'plain', mode: 'disable' as const },
    { name: 'with TLS inside, checked against the real host', mode: 'verify-full' as const },
  ])('a stream that somebody else opened, $name', async ({ mode }) => {
    let opened = 0;
    const connection = await connectSource(targetOf(secure, { host: 'localhost', port: 1, tls: tls(mode) }), {
      purpose: 'test',
      signal: new AbortController().signal,
      openStream: () => {
        opened += 1;
        return connect(secure.port, '127.0.0.1');
      },
    });
    await expect(connection.query('select pg_sleep(60)', [], AbortSignal.timeout(100))).rejects.toMatchObject({
      code: 'CANCELLED',
    });
    expect(opened).toBe(2); // the session and the cancel request
    await connection.end();
  });
});

describe('the wire taken over', () => {
  const ways: { name: string; target: () => ConnectTarget }[] = [
    { name: 'plain TCP', target: () => targetOf(plain) },
    { name: 'unix socket', target: () => targetOf(plain, { host: plain.dir }) },
    { name: 'TLS', target: () => targetOf(secure, { tls: tls('verify-full') }) },
  ];

  test.each(ways)('$name: bytes of a COPY come raw, and pg goes on afterwards', async ({ target }) => {
    const connection = await open(target());
    await connection.query('select 1');
    for (let round = 0; round < 3; round++) {
      const received = await copyRaw(
        connection,
        "copy (select repeat('x', 1000) from generate_series(1, 5000)) to stdout",
      );
      expect(received.filter((message) => message === 'd')).toHaveLength(5_000);
      expect(received.slice(-3)).toEqual(['c', 'C', 'Z']);
      expect(await connection.query('select $1::text as text', ['after'])).toEqual([{ text: 'after' }]);
    }
    await connection.end();
  });

  test.each(ways)('$name: nothing comes while paused', async ({ target }) => {
    const connection = await open(target());
    let bytes = 0;
    const raw = connection.takeOver(
      (_buffer, length) => {
        bytes += length;
        raw.pause();
      },
      () => {},
    );
    raw.write(simpleQuery("copy (select repeat('x', 1000) from generate_series(1, 100000)) to stdout"));
    await expect.poll(() => bytes).toBeGreaterThan(0);
    await sleep(100);
    const first = bytes;
    await sleep(100);
    expect(bytes).toBe(first);
    raw.resume();
    await expect.poll(() => bytes).toBeGreaterThan(first);
    connection.destroy();
  });

  test('whoever holds it learns that it was lost', async () => {
    const connection = await open(targetOf(plain));
    const lost = new Promise((resolve) => connection.takeOver(() => {}, resolve));
    await plain.query('select pg_terminate_backend($1)', [connection.backendPid]);
    expect(await lost).toMatchObject({ code: 'SOURCE_CONNECTION_LOST' });
  });

  test('cannot be taken twice', async () => {
    const connection = await open(targetOf(plain));
    const raw = connection.takeOver(
      () => {},
      () => {},
    );
    expect(() =>
      connection.takeOver(
        () => {},
        () => {},
      ),
    ).toThrow(expect.objectContaining({ code: 'INTERNAL' }));
    raw.release();
    await connection.end();
  });
});

describe('errors', () => {
  test.each<{
    name: string;
    code: ErrorCode;
    message: RegExp;
    target?: () => Partial<ConnectTarget>;
    server?: () => TestPostgres;
    sql?: string;
  }>([
    {
      name: 'wrong password',
      code: 'SOURCE_LOGIN_REFUSED',
      message: /28P01/,
      target: () => ({ password: 'wrong-secret' }),
    },
    {
      name: 'password missing',
      code: 'SOURCE_LOGIN_REFUSED',
      message: /connections\.shop_db has none/,
      target: () => ({ password: null }),
    },
    { name: 'unknown role', code: 'SOURCE_LOGIN_REFUSED', message: /28P01/, target: () => ({ user: 'nobody_here' }) },
    {
      name: 'refused by pg_hba.conf',
      code: 'SOURCE_LOGIN_REFUSED',
      message: /28000/,
      server: () => secure,
      target: () => ({ user: 'certified', tls: tls('verify-full') }),
    },
    {
      name: 'unknown host',
      code: 'SOURCE_HOST_UNKNOWN',
      message: /"db\.invalid" does not resolve/,
      target: () => ({ host: 'db.invalid' }),
    },
    {
      name: 'refused connection',
      code: 'SOURCE_UNREACHABLE',
      message: /127\.0\.0\.1:1 refuses connections \(ECONNREFUSED\)/,
      target: () => ({ port: 1 }),
    },
    {
      name: 'refused on every address',
      code: 'SOURCE_UNREACHABLE',
      message: /localhost:1 /,
      target: () => ({ host: 'localhost', port: 1 }),
    },
    {
      name: 'no unix socket there',
      code: 'SOURCE_UNREACHABLE',
      message: /\/nowhere\/\.s\.PGSQL/,
      target: () => ({ host: '/nowhere' }),
    },
    {
      name: 'missing database',
      code: 'SOURCE_DATABASE_MISSING',
      message: /"gone" does not exist \(SQLSTATE 3D000\)/,
      target: () => ({ database: 'gone' }),
    },
    {
      name: 'TLS required but not offered',
      code: 'SOURCE_TLS_REFUSED',
      message: /offers no TLS/,
      target: () => ({ tls: tls('verify-full') }),
    },
    {
      name: 'a CA that did not sign',
      code: 'SOURCE_TLS_UNVERIFIED',
      message: /not from a CA that this machine trusts/,
      server: () => secure,
      target: () => ({ tls: tls('verify-ca', { caFile: path.join(files, 'other-ca.pem') }) }),
    },
    {
      name: 'require verifies the chain when a CA is given',
      code: 'SOURCE_TLS_UNVERIFIED',
      message: /not from a CA/,
      server: () => secure,
      target: () => ({ tls: tls('require', { caFile: path.join(files, 'other-ca.pem') }) }),
    },
    {
      name: 'the system does not know the CA',
      code: 'SOURCE_TLS_UNVERIFIED',
      message: /not from a CA/,
      server: () => secure,
      target: () => ({ tls: tls('verify-full', { caFile: null }) }),
    },
    {
      name: 'CA file missing',
      code: 'CONFIG_INVALID',
      message: /tls\.ca_file: "\/nowhere\/ca\.pem" cannot be read/,
      target: () => ({ tls: tls('verify-full', { caFile: '/nowhere/ca.pem' }) }),
    },
    {
      name: 'client certificate that is no PEM',
      code: 'CONFIG_INVALID',
      message: /no usable PEM/,
      server: () => secure,
      target: () => ({
        tls: tls('verify-full', { certFile: path.join(files, 'no.pem'), keyFile: path.join(files, 'client.key') }),
      }),
    },
    {
      name: 'no privilege',
      code: 'PRIVILEGE_MISSING',
      message: /hidden \(SQLSTATE 42501\)/,
      target: () => ({ user: 'plain_user', password: SECRET }),
      sql: 'select * from public.hidden',
    },
    { name: 'missing table', code: 'TABLE_MISSING', message: /42P01/, sql: 'select * from public.gone' },
    { name: 'missing column', code: 'COLUMN_MISSING', message: /42703/, sql: 'select gone from public."Open"' },
    { name: 'bad SQL', code: 'SOURCE_SQL_FAILED', message: /42601/, sql: 'selekt 1' },
  ])('$name', async ({ code, message, target, server, sql }) => {
    const wanted = targetOf((server ?? (() => plain))(), target?.());
    const attempt = async () => {
      const connection = await open(wanted);
      try {
        await connection.query(sql ?? 'select 1');
      } finally {
        await connection.end();
      }
    };
    const error = await attempt().then(() => null, toPlain);
    expect(error).toMatchObject({ code, message: expect.stringMatching(message), hint: expect.stringMatching(/./) });
    expect(JSON.stringify(error)).not.toContain(wanted.password ?? 'wrong-secret');
    expect(error?.message).not.toContain('\n');
  });

  test('a certificate for another name, and one that has expired', async () => {
    const expired = authority.issue({
      commonName: 'db',
      names: ['127.0.0.1'],
      validTo: new Date(Date.now() - 3_600_000),
    });
    const foreign = authority.issue({ commonName: '127.0.0.1', names: ['db.example.com'] });
    const servers = await Promise.all([expired, foreign].map((pair) => startPostgres({ major: 17, tls: pair })));
    const errors = await Promise.all(
      servers.map((server) => open(targetOf(server, { tls: tls('verify-full') })).then(() => null, toPlain)),
    );
    expect(errors.map((error) => error?.message)).toEqual([
      expect.stringContaining('is expired (CERT_HAS_EXPIRED)'),
      expect.stringContaining('is not for "127.0.0.1" (ERR_TLS_CERT_ALTNAME_INVALID)'),
    ]);
    expect(errors.map((error) => error?.code)).toEqual(['SOURCE_TLS_UNVERIFIED', 'SOURCE_TLS_UNVERIFIED']);
    const [, second] = servers;
    const connection = second && (await open(targetOf(second, { tls: tls('verify-ca') })));
    expect(connection?.tls).toBe(true);
    await connection?.end();
    await Promise.all(servers.map((server) => server.stop('immediate')));
  });

  test('a statement that ran out of time', async () => {
    const options = { purpose: 'test', signal: new AbortController().signal, statementTimeoutMs: 50 };
    const connection = await connectSource(targetOf(plain), options);
    await expect(connection.query('select pg_sleep(10)')).rejects.toMatchObject({ code: 'TIMEOUT' });
    await connection.end();
  });

  test('too many connections', async () => {
    const small = await startPostgres({
      major: 17,
      settings: { max_connections: '4', max_wal_senders: '1', superuser_reserved_connections: '0' },
    });
    const clients = await Promise.all([1, 2, 3, 4].map(() => small.client()));
    await expect(open(targetOf(small))).rejects.toMatchObject({ code: 'SOURCE_BUSY' });
    await Promise.all(clients.map((client) => client.end()));
    await small.stop('immediate');
  });

  test.each([
    { name: 'a server that never answers', abort: false, code: 'SOURCE_TIMEOUT', mode: 'disable' as const },
    {
      name: 'a server that never answers the request for TLS',
      abort: false,
      code: 'SOURCE_TIMEOUT',
      mode: 'require' as const,
    },
    { name: 'an abort while connecting', abort: true, code: 'CANCELLED', mode: 'disable' as const },
    { name: 'an abort while asking for TLS', abort: true, code: 'CANCELLED', mode: 'require' as const },
  ])('$name', async ({ abort, code, mode }) => {
    const silent = await listen(createServer(() => {}));
    const target = targetOf(plain, {
      port: silent.port,
      tls: tls(mode, { caFile: null }),
      connectTimeoutMs: abort ? 60_000 : 200,
    });
    const signal = abort ? AbortSignal.timeout(200) : new AbortController().signal;
    await expect(open(target, signal)).rejects.toMatchObject({ code });
    await silent.close();
  });

  test('a server that hangs up', async () => {
    const rude = await listen(createServer((socket) => socket.destroy()));
    await expect(open(targetOf(plain, { port: rude.port }))).rejects.toMatchObject({ code: 'SOURCE_CONNECTION_LOST' });
    await expect(open(targetOf(plain, { port: rude.port, tls: tls('require') }))).rejects.toMatchObject({
      code: 'SOURCE_CONNECTION_LOST',
    });
    await rude.close();
  });

  test('bytes put before the handshake by somebody in the middle', async () => {
    const middle = await listen(
      createServer((socket) => socket.on('error', () => {}).once('data', () => socket.write('SR\0\0\0\x08'))),
    );
    await expect(open(targetOf(plain, { port: middle.port, tls: tls('require') }))).rejects.toMatchObject({
      code: 'PROTOCOL_VIOLATION',
    });
    await middle.close();
  });
});

/** Runs one COPY by the simple protocol and returns the type bytes of all messages up to ReadyForQuery. */
async function copyRaw(connection: SourceConnection, sql: string): Promise<string[]> {
  const types: string[] = [];
  let rest = Buffer.alloc(0);
  await new Promise<void>((resolve, reject) => {
    const raw = connection.takeOver((buffer, length) => {
      rest = Buffer.concat([rest, buffer.subarray(0, length)]);
      let at = 0;
      while (at + 5 <= rest.length && at + 1 + rest.readInt32BE(at + 1) <= rest.length) {
        types.push(String.fromCharCode(rest[at] ?? 0));
        at += 1 + rest.readInt32BE(at + 1);
      }
      rest = rest.subarray(at);
      if (types.at(-1) === 'Z') {
        raw.release();
        resolve();
      }
    }, reject);
    raw.write(simpleQuery(sql));
  });
  return types;
}

function simpleQuery(sql: string): Buffer {
  const text = Buffer.from(`${sql}\0`);
  const message = Buffer.alloc(5 + text.length);
  message.write('Q');
  message.writeInt32BE(4 + text.length, 1);
  text.copy(message, 5);
  return message;
}

async function listen(server: Server): Promise<{ port: number; close: () => Promise<void> }> {
  const sockets = new Set<{ destroy(): unknown }>();
  server.on('connection', (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

/** Forwards to Postgres until mute() is called; after that the connections stay open and nothing comes through. */
async function muteProxy(port: number): Promise<{ port: number; mute: () => void; close: () => Promise<void> }> {
  let muted = false;
  const listening = await listen(
    createServer((near) => {
      const far = connect(port, '127.0.0.1');
      near.on('data', (chunk) => muted || far.write(chunk)).on('error', () => far.destroy());
      far.on('data', (chunk) => muted || near.write(chunk)).on('error', () => near.destroy());
      near.on('close', () => far.destroy());
    }),
  );
  return {
    ...listening,
    mute: () => {
      muted = true;
    },
  };
}
