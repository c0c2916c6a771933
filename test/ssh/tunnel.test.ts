import { execFile, spawn } from 'node:child_process';
import { createHmac, generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { TlsConfig } from '../../src/config/config.js';
import { toPlain } from '../../src/error/sluice-error.js';
import { type ConnectTarget, requestCancel, type SourceConnection } from '../../src/source/connect.js';
import type { SshHop } from '../../src/source/tunnel/target.js';
import type { TunnelTiming } from '../../src/source/tunnel/tunnel.js';
import { makeAuthority } from '../postgres/certificates.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { type KeyKind, makeKey, SshServer, type SshServerOptions } from './server.js';
import { behind, localHop, Sessions } from './sessions.js';

/** Sessions with a real Postgres through an SSH server in this process. */

const PASSWORD = 'open, sesame';
const never = new AbortController().signal;

let postgres: TestPostgres;
let files: string;
const authority = makeAuthority();
const servers: SshServer[] = [];
const sessions = new Sessions();

beforeAll(async () => {
  files = await mkdtemp(path.join(tmpdir(), 'sluice-ssh-'));
  await writeFile(path.join(files, 'ca.pem'), authority.cert);
  const tls = authority.issue({ commonName: 'db', names: ['db.internal'] });
  postgres = await startPostgres({ major: 17, tls });
});
afterEach(async () => {
  await sessions.end();
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});
afterAll(async () => {
  await postgres?.stop('immediate');
  await rm(files, { recursive: true, force: true });
});

async function server(options: SshServerOptions = { password: PASSWORD }, port = 0): Promise<SshServer> {
  const started = await SshServer.start(options, port);
  servers.push(started);
  return started;
}

function hop(to: Pick<SshServer, 'port' | 'hostKey'>, changes: Partial<SshHop> = {}): SshHop {
  return localHop(to.port, { password: PASSWORD, hostKey: to.hostKey, ...changes });
}

function target(hops: readonly SshHop[], changes: Partial<ConnectTarget> = {}): ConnectTarget {
  return { ...behind(hops, postgres), ...changes };
}

const open = (to: ConnectTarget, tunnelTiming: Partial<TunnelTiming> = {}, signal = never) =>
  sessions.open(to, { tunnelTiming, signal });
const failure = (to: ConnectTarget) => sessions.failure(to);

async function one(connection: SourceConnection): Promise<unknown> {
  const [row] = await connection.query<{ one: number }>('select 1 as one');
  return row?.one;
}

describe('logging in', () => {
  test('by password', async () => {
    const ssh = await server();
    expect(await one(await open(target([hop(ssh)])))).toBe(1);
  });

  test('by a password that PAM asks for', async () => {
    const ssh = await server({ password: PASSWORD, interactive: true });
    expect(await one(await open(target([hop(ssh)])))).toBe(1);
  });

  test.each<{ kind: KeyKind; passphrase: string | undefined }>([
    { kind: 'ed25519', passphrase: undefined },
    { kind: 'ed25519', passphrase: 'pass phrase' },
    { kind: 'ecdsa', passphrase: undefined },
    { kind: 'ecdsa', passphrase: 'pass phrase' },
    { kind: 'rsa', passphrase: undefined },
    { kind: 'rsa', passphrase: 'pass phrase' },
  ])('by a key of OpenSSH: $kind, passphrase $passphrase', async ({ kind, passphrase }) => {
    const key = makeKey(kind, passphrase);
    const ssh = await server({ authorizedKeys: [key.public] });
    const login = { password: null, privateKey: key.private, passphrase: passphrase ?? null };
    expect(await one(await open(target([hop(ssh, login)])))).toBe(1);
  });

  test.each<{ kind: 'ed25519' | 'ec' | 'rsa'; form: 'pkcs8' | 'pkcs1' | 'sec1'; passphrase: string | null }>([
    { kind: 'rsa', form: 'pkcs1', passphrase: null },
    { kind: 'rsa', form: 'pkcs1', passphrase: 'secret' },
    { kind: 'rsa', form: 'pkcs8', passphrase: null },
    { kind: 'rsa', form: 'pkcs8', passphrase: 'secret' },
    { kind: 'ec', form: 'sec1', passphrase: null },
    { kind: 'ec', form: 'sec1', passphrase: 'secret' },
    { kind: 'ec', form: 'pkcs8', passphrase: null },
    { kind: 'ec', form: 'pkcs8', passphrase: 'secret' },
    { kind: 'ed25519', form: 'pkcs8', passphrase: null },
    { kind: 'ed25519', form: 'pkcs8', passphrase: 'secret' },
  ])('by a PEM key: $kind in $form, passphrase $passphrase', async ({ kind, form, passphrase }) => {
    const file = path.join(files, 'pem');
    const text = pemKey(kind, form, passphrase);
    await writeFile(file, text, { mode: 0o600 });
    const login = { password: null, privateKey: text.trim(), passphrase };
    const ssh = await server({ authorizedKeys: [await publicLine(kind, text, passphrase)] });
    expect(await one(await open(target([hop(ssh, login)])))).toBe(1);
  });

  test('by a key and a password, where the server wants both', async () => {
    const key = makeKey('ed25519');
    const ssh = await server({ authorizedKeys: [key.public], password: PASSWORD, both: true });
    expect(await one(await open(target([hop(ssh, { privateKey: key.private })])))).toBe(1);
  });

  test('by a real agent', async ({ skip }) => {
    const agent = await startAgent();
    if (agent === null) return skip('no ssh-agent here');
    try {
      const key = makeKey('ed25519');
      const file = path.join(files, 'agent_key');
      await writeFile(file, key.private, { mode: 0o600 });
      await promisify(execFile)('ssh-add', [file], { env: { ...process.env, SSH_AUTH_SOCK: agent.socket } });
      const ssh = await server({ authorizedKeys: [makeKey('rsa').public, key.public] });
      const login = { password: null, agentSocket: agent.socket };
      expect(await one(await open(target([hop(ssh, login)])))).toBe(1);
      const other = await server({ authorizedKeys: [makeKey('rsa').public] });
      const error = await failure(target([hop(other, login)]));
      expect(error).toMatchObject({
        code: 'TUNNEL_LOGIN_REFUSED',
        message: expect.stringContaining("the agent's keys refused"),
      });
    } finally {
      agent.stop();
    }
  });

  test('through two hops, the second one only seen from the first', async () => {
    const inner = await server();
    const key = makeKey('ecdsa');
    const outer = await server({ authorizedKeys: [key.public] });
    outer.names.set('inner.internal', { host: '127.0.0.1', port: inner.port });
    const hops = [
      hop(outer, { password: null, privateKey: key.private, option: 'connections.shop_db.tunnel.through[0]' }),
      hop({ port: 2222, hostKey: inner.hostKey }, { host: 'inner.internal' }),
    ];
    const connection = await open(target(hops));
    expect(await one(connection)).toBe(1);
    expect(outer.asked).toEqual(['inner.internal:2222']);
    expect(inner.asked).toEqual([`127.0.0.1:${postgres.port}`]);
  });
});

describe('host keys', () => {
  const lineFor = (ssh: SshServer) => `[127.0.0.1]:${ssh.port} ${ssh.hostKeyLine}\n`;
  const known = async (text: string): Promise<Partial<SshHop>> => {
    const knownHosts = path.join(files, 'known_hosts');
    await writeFile(knownHosts, text);
    return { hostKey: null, knownHosts };
  };

  test('known by file, plainly and hashed', async () => {
    const ssh = await server();
    expect(await one(await open(target([hop(ssh, await known(lineFor(ssh)))])))).toBe(1);
    const salt = Buffer.alloc(20, 7);
    const hash = createHmac('sha1', salt).update(`[127.0.0.1]:${ssh.port}`).digest('base64');
    const text = `|1|${salt.toString('base64')}|${hash} ${ssh.hostKeyLine}\n`;
    expect(await one(await open(target([hop(ssh, await known(text))])))).toBe(1);
  });

  test('of several kinds that a server has, each may be the pinned or the known one', async () => {
    const keys = [makeKey('ed25519'), makeKey('ecdsa'), makeKey('rsa')];
    const ssh = await server({ password: PASSWORD, hostKeys: keys.map((key) => key.private) });
    for (const key of keys) {
      const blob = Buffer.from(key.public.split(' ')[1] ?? '', 'base64');
      const { fingerprint } = await import('./server.js');
      expect(await one(await open(target([hop(ssh, { hostKey: fingerprint(blob) })])))).toBe(1);
      const text = `[127.0.0.1]:${ssh.port} ${key.public}\n`;
      expect(await one(await open(target([hop(ssh, await known(text))])))).toBe(1);
    }
  });

  test('unknown: refused before the login, with what to paste', async () => {
    const ssh = await server();
    const error = await failure(target([hop(ssh, { hostKey: null })]));
    expect(error.code).toBe('TUNNEL_HOST_KEY_UNKNOWN');
    expect(error.message).toContain(`${ssh.hostKey} (ssh-ed25519)`);
    expect(error.hint).toContain(`add to connections.shop_db.tunnel: host_key: ${ssh.hostKey}`);
    const file = await failure(target([hop(ssh, await known('other ssh-ed25519 AAAA\n'))]));
    expect(file.code).toBe('TUNNEL_HOST_KEY_UNKNOWN');
    expect(file.hint).toContain(lineFor(ssh).trim());
    expect(ssh.asked).toEqual([]);
  });

  test('changed: refused with both', async () => {
    const ssh = await server();
    const pinned = `SHA256:${'A'.repeat(43)}`;
    const error = await failure(target([hop(ssh, { hostKey: pinned })]));
    expect(error.code).toBe('TUNNEL_HOST_KEY_CHANGED');
    expect(error.message).toContain(ssh.hostKey);
    expect(error.message).toContain(pinned);
    const other = await server();
    const text = `[127.0.0.1]:${ssh.port} ${other.hostKeyLine}\n`;
    const file = await failure(target([hop(ssh, await known(text))]));
    expect(file.code).toBe('TUNNEL_HOST_KEY_CHANGED');
    expect(file.message).toContain(ssh.hostKey);
    expect(file.message).toContain(other.hostKey);
  });

  test('revoked, although it is known', async () => {
    const ssh = await server();
    const text = `${lineFor(ssh)}@revoked * ${ssh.hostKeyLine}\n`;
    const error = await failure(target([hop(ssh, await known(text))]));
    expect(error).toMatchObject({ code: 'TUNNEL_HOST_KEY_CHANGED', message: expect.stringContaining('@revoked') });
  });

  test('a file that is not there', async () => {
    const ssh = await server();
    const error = await failure(target([hop(ssh, { hostKey: null, knownHosts: path.join(files, 'none') })]));
    expect(error).toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining('known_hosts') });
  });
});

describe('what goes wrong', () => {
  test.each<{ name: string; login: Partial<SshHop>; message: RegExp }>([
    {
      name: 'a wrong password',
      login: { password: 'no' },
      message: /the password refused; it takes publickey, password/,
    },
    { name: 'a wrong user', login: { user: 'root' }, message: /root@127.*the password refused/ },
    {
      name: 'a wrong key',
      login: { password: null, privateKey: makeKey('ecdsa').private },
      message: /the key \(ecdsa-sha2-nistp256\) refused/,
    },
  ])('$name', async ({ login, message }) => {
    const ssh = await server({ password: PASSWORD, authorizedKeys: [makeKey('ed25519').public] });
    const error = await failure(target([hop(ssh, login)]));
    expect(error).toMatchObject({ code: 'TUNNEL_LOGIN_REFUSED', message: expect.stringMatching(message) });
    expect(error.hint).toContain('connections.shop_db.tunnel');
    expect(JSON.stringify(error)).not.toContain(PASSWORD);
  });

  const locked = makeKey('ed25519', 'right');
  test.each<{ name: string; login: Partial<SshHop>; message: RegExp }>([
    {
      name: 'a wrong passphrase',
      login: { privateKey: locked.private, passphrase: 'wrong' },
      message: /the passphrase is wrong/,
    },
    { name: 'no passphrase', login: { privateKey: locked.private }, message: /is locked by a passphrase/ },
    {
      name: 'a wrong passphrase of PEM',
      login: { privateKey: pemKey('ec', 'sec1', 'x'), passphrase: 'y' },
      message: /the passphrase is wrong/,
    },
    {
      name: 'a wrong passphrase of PKCS #8',
      login: { privateKey: pemKey('rsa', 'pkcs8', 'x'), passphrase: 'y' },
      message: /the passphrase is wrong/,
    },
    { name: 'a public key', login: { privateKey: locked.public }, message: /is no private key/ },
    { name: 'something else', login: { privateKey: 'hello' }, message: /is no private key/ },
  ])('$name', async ({ login, message }) => {
    const ssh = await server();
    const error = await failure(target([hop(ssh, login)]));
    expect(error).toMatchObject({ code: 'TUNNEL_KEY_UNUSABLE', message: expect.stringMatching(message) });
    expect(error.hint).toBeDefined();
    expect(ssh.connections).toBe(0);
  });

  test('nothing listens, a name that leads nowhere, and no SSH server', async () => {
    const gone = await server();
    await gone.stop();
    expect(await failure(target([hop(gone)]))).toMatchObject({
      code: 'TUNNEL_UNREACHABLE',
      message: expect.stringContaining('ECONNREFUSED'),
    });
    const nameless = target([hop(gone, { host: 'no-such-host.invalid' })]);
    expect(await failure(nameless)).toMatchObject({
      code: 'TUNNEL_UNREACHABLE',
      message: expect.stringContaining('does not resolve'),
    });
    const odd = hop({ port: postgres.port, hostKey: gone.hostKey });
    expect(await failure(target([odd], { connectTimeoutMs: 1_000 }))).toMatchObject({ code: 'TUNNEL_UNREACHABLE' });
  });

  test('a server that says nothing', async () => {
    const silent = createServer(() => {}).listen(0, '127.0.0.1');
    try {
      await new Promise((resolve) => silent.once('listening', resolve));
      const address = silent.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      const error = await failure(target([hop({ port, hostKey: 'SHA256:x' })], { connectTimeoutMs: 300 }));
      expect(error).toMatchObject({ code: 'TUNNEL_UNREACHABLE', message: expect.stringContaining('in time') });
    } finally {
      silent.close();
    }
  });

  test('forwarding refused', async () => {
    const ssh = await server();
    ssh.forward = 'refuse';
    const error = await failure(target([hop(ssh)]));
    expect(error).toMatchObject({
      code: 'TUNNEL_FORWARD_REFUSED',
      message: expect.stringContaining(`127.0.0.1:${postgres.port}`),
    });
    expect(error.hint).toContain('AllowTcpForwarding');
  });

  test('the database down behind a healthy tunnel', async () => {
    const ssh = await server();
    const error = await failure(target([hop(ssh)], { port: 1 }));
    expect(error).toMatchObject({ code: 'SOURCE_UNREACHABLE', message: expect.stringContaining('the tunnel stands') });
    expect(error.message).toContain('Connection refused');
    expect(error.hint).toContain('connections.shop_db.host');
  });

  test('the database silent behind a healthy tunnel', async () => {
    const ssh = await server();
    ssh.forward = 'hang';
    const error = await failure(target([hop(ssh)], { connectTimeoutMs: 500 }));
    expect(error).toMatchObject({
      code: 'SOURCE_TIMEOUT',
      message: expect.stringContaining('behind the SSH host tunnel@127.0.0.1'),
    });
  });

  test('the second hop down behind the first', async () => {
    const outer = await server();
    const inner = hop({ port: 1, hostKey: outer.hostKey }, { host: '127.0.0.1' });
    const error = await failure(target([hop(outer), inner]));
    expect(error).toMatchObject({
      code: 'TUNNEL_UNREACHABLE',
      message: expect.stringContaining('cannot reach the next one'),
    });
  });

  test('the server killed in the middle, and the next session goes through a new tunnel', async () => {
    const ssh = await server();
    const connection = await open(target([hop(ssh)]));
    const sleeping = connection.query('select pg_sleep(60)').catch((error: unknown) => toPlain(error));
    await expect.poll(() => running('select pg_sleep(60)')).toBe(1);
    ssh.kill();
    expect(await sleeping).toMatchObject({ code: 'TUNNEL_LOST', message: expect.stringContaining('tunnel@127.0.0.1') });
    expect(await one(await open(target([hop(ssh)])))).toBe(1);
    expect(ssh.connections).toBe(2);
  });

  test('a server that stops answering is noticed', async () => {
    const ssh = await server();
    const connection = await open(target([hop(ssh)]), { keepaliveMs: 100 });
    expect(await one(connection)).toBe(1);
    ssh.freeze();
    const error = await connection.query('select 1').catch((thrown: unknown) => toPlain(thrown));
    expect(error).toMatchObject({
      code: 'TUNNEL_LOST',
      message: expect.stringContaining('nothing has come through it'),
    });
  });

  test('a quiet tunnel that answers is left alone', async () => {
    const ssh = await server();
    const connection = await open(target([hop(ssh)]), { keepaliveMs: 50 });
    await connection.query('select pg_sleep(1)');
    expect(await one(connection)).toBe(1);
    expect(ssh.connections).toBe(1);
  });
});

describe('sessions', () => {
  test('share one SSH connection, which ends when they do', async () => {
    const ssh = await server();
    const to = target([hop(ssh)]);
    const connections = await Promise.all([1, 2, 3].map(() => open(to, { idleMs: 50 })));
    expect(await Promise.all(connections.map(one))).toEqual([1, 1, 1]);
    expect([ssh.connections, ssh.forwarded]).toEqual([1, 3]);
    await connections[0]?.end();
    await connections[1]?.end();
    expect(await one(connections[2] ?? connections[0] ?? (await open(to)))).toBe(1);
    await connections[2]?.end();
    await expect.poll(() => ssh.open).toBe(0);
    expect(await one(await open(to, { idleMs: 50 }))).toBe(1);
    expect(ssh.connections).toBe(2);
  });

  test('carry much, in both directions', async () => {
    const ssh = await server();
    const connection = await open(target([hop(ssh)]));
    const text = 'x'.repeat(20_000_000);
    const [row] = await connection.query<{ same: boolean; back: string }>('select $1::text as back', [text]);
    expect(row?.back.length).toBe(text.length);
  });

  test('end when the server ends them', async () => {
    const ssh = await server();
    const connection = await open(target([hop(ssh)]));
    await postgres.query('select pg_terminate_backend($1)', [connection.backendPid]);
    await expect(connection.query('select 1')).rejects.toMatchObject({ code: 'SOURCE_CONNECTION_LOST' });
  });

  test('are cancelled through the tunnel', async () => {
    const ssh = await server();
    const to = target([hop(ssh)]);
    const connection = await open(to);
    const stop = new AbortController();
    const sleeping = connection.query('select pg_sleep(61)', [], stop.signal);
    await expect.poll(() => running('select pg_sleep(61)')).toBe(1);
    stop.abort();
    await expect(sleeping).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(await one(connection)).toBe(1);
    const again = connection.query('select pg_sleep(62)').catch((error: unknown) => toPlain(error));
    await expect.poll(() => running('select pg_sleep(62)')).toBe(1);
    await requestCancel(to, connection.cancelRequest ?? new Uint8Array());
    expect(await again).toMatchObject({ code: 'TIMEOUT' });
    expect(ssh.asked).toEqual([1, 2, 3].map(() => `127.0.0.1:${postgres.port}`));
  });

  test('an abort while the tunnel opens leaves nothing behind', async () => {
    const ssh = await server();
    const stop = new AbortController();
    const opening = open(target([hop(ssh)]), {}, stop.signal);
    stop.abort();
    await expect(opening).rejects.toMatchObject({ code: 'CANCELLED' });
    await expect.poll(() => ssh.open).toBe(0);
  });

  test('TLS inside of the tunnel verifies the name of the database, not of the SSH host', async () => {
    const ssh = await server();
    ssh.names.set('db.internal', { host: '127.0.0.1', port: postgres.port });
    ssh.names.set('other.internal', { host: '127.0.0.1', port: postgres.port });
    const tls: TlsConfig = { mode: 'verify-full', caFile: path.join(files, 'ca.pem'), certFile: null, keyFile: null };
    const connection = await open(target([hop(ssh)], { host: 'db.internal', tls }));
    const [row] = await connection.query<{ ssl: boolean }>('select ssl from pg_stat_ssl where pid = pg_backend_pid()');
    expect([connection.tls, row?.ssl]).toEqual([true, true]);
    for (const host of ['other.internal', '127.0.0.1']) {
      expect(await failure(target([hop(ssh)], { host, tls }))).toMatchObject({ code: 'SOURCE_TLS_UNVERIFIED' });
    }
  });
});

async function running(sql: string): Promise<number> {
  const rows = await postgres.query("select 1 from pg_stat_activity where wait_event = 'PgSleep' and query = $1", [
    sql,
  ]);
  return rows.length;
}

function pemKey(kind: 'ed25519' | 'ec' | 'rsa', form: 'pkcs8' | 'pkcs1' | 'sec1', passphrase: string | null): string {
  const { privateKey } =
    kind === 'ec'
      ? generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
      : kind === 'rsa'
        ? generateKeyPairSync('rsa', { modulusLength: 2048 })
        : generateKeyPairSync('ed25519');
  const lock = passphrase === null ? {} : { cipher: 'aes-256-cbc', passphrase };
  return privateKey.export({ type: form, format: 'pem', ...lock }).toString();
}

/** By OpenSSH's rules (RFC 4253, 5656, 8709), apart from what is tested. */
async function publicLine(kind: 'ed25519' | 'ec' | 'rsa', pem: string, passphrase: string | null): Promise<string> {
  const { createPrivateKey, createPublicKey } = await import('node:crypto');
  const key = createPublicKey(createPrivateKey({ key: pem, ...(passphrase === null ? {} : { passphrase }) }));
  const jwk = key.export({ format: 'jwk' });
  const bytes = (value: string | undefined) => Buffer.from(value ?? '', 'base64url');
  const field = (value: Buffer | string) => {
    const content = Buffer.from(value);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(content.length);
    return Buffer.concat([length, content]);
  };
  const positive = (value: Buffer) => ((value[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), value]) : value);
  switch (kind) {
    case 'ed25519':
      return `ssh-ed25519 ${Buffer.concat([field('ssh-ed25519'), field(bytes(jwk.x))]).toString('base64')}`;
    case 'ec': {
      const point = Buffer.concat([Buffer.of(4), bytes(jwk.x), bytes(jwk.y)]);
      const blob = Buffer.concat([field('ecdsa-sha2-nistp256'), field('nistp256'), field(point)]);
      return `ecdsa-sha2-nistp256 ${blob.toString('base64')}`;
    }
    case 'rsa': {
      const blob = Buffer.concat([field('ssh-rsa'), field(positive(bytes(jwk.e))), field(positive(bytes(jwk.n)))]);
      return `ssh-rsa ${blob.toString('base64')}`;
    }
  }
}

async function startAgent(): Promise<{ readonly socket: string; stop(): void } | null> {
  const socket = path.join(files, 'agent.sock');
  const child = spawn('ssh-agent', ['-D', '-a', socket], { stdio: ['ignore', 'pipe', 'ignore'] });
  const started = await new Promise<boolean>((resolve) => {
    child.once('error', () => resolve(false));
    child.stdout.once('data', () => resolve(true));
  });
  return started ? { socket, stop: () => child.kill() } : null;
}
