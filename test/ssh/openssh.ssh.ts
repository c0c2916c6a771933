import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { ConnectTarget } from '../../src/source/connect.js';
import type { SshHop } from '../../src/source/tunnel/target.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { type KeyKind, keygen, keygenFingerprint, OpensshAgent, OpensshServer } from './openssh-server.js';
import { behind, localHop, Sessions } from './sessions.js';

/** Sessions with a real Postgres through OpenSSH's sshd, with keys that ssh-keygen made. */

const KINDS: readonly KeyKind[] = ['ed25519', 'ecdsa', 'rsa'];
const TYPES = { ed25519: 'ssh-ed25519', ecdsa: 'ecdsa-sha2-nistp256', rsa: 'ssh-rsa' } as const;

let postgres: TestPostgres;
let files: string;
/** Takes the key `own`, and forwards everywhere. */
let sshd: OpensshServer;
const started: OpensshServer[] = [];
const sessions = new Sessions();

beforeAll(async () => {
  files = await mkdtemp(path.join(tmpdir(), 'sluice-openssh-'));
  await keygen(path.join(files, 'own'), 'ed25519');
  [postgres, sshd] = await Promise.all([startPostgres({ major: 17 }), OpensshServer.start()]);
});
afterEach(async () => {
  await sessions.end();
  await Promise.all(started.splice(0).map((server) => server.stop()));
});
afterAll(async () => {
  await sshd?.stop();
  await postgres?.stop('immediate');
  await rm(files, { recursive: true, force: true });
});

/** One more server, which takes the key `own`. */
async function server(...config: string[]): Promise<OpensshServer> {
  const another = await OpensshServer.start({ config });
  started.push(another);
  await another.authorize(await publicKey('own'));
  return another;
}

function text(name: string): Promise<string> {
  return readFile(path.join(files, name), 'utf8');
}

async function publicKey(name: string): Promise<string> {
  return (await text(`${name}.pub`)).trim();
}

async function hop(to: OpensshServer, changes: Partial<SshHop> = {}): Promise<SshHop> {
  const [privateKey, hostKey] = await Promise.all([text('own'), to.hostFingerprint('ed25519')]);
  return localHop(to.port, { user: to.user, privateKey, hostKey, ...changes });
}

function target(hops: readonly SshHop[], changes: Partial<ConnectTarget> = {}): ConnectTarget {
  return { ...behind(hops, postgres), ...changes };
}

const open = (to: ConnectTarget) => sessions.open(to);
const failure = (to: ConnectTarget) => sessions.failure(to);

async function answers(to: ConnectTarget): Promise<void> {
  expect(await (await open(to)).query('select 1 as one')).toEqual([{ one: 1 }]);
}

describe('logging in', () => {
  const forms = [undefined, 'PEM', 'PKCS8'] as const;
  const keys = KINDS.flatMap((kind) =>
    ['', 'pass phrase'].flatMap((passphrase) =>
      // ssh-keygen has no other format than its own for ed25519.
      (kind === 'ed25519' ? [undefined] : forms).map((format) => ({ kind, passphrase, format })),
    ),
  );

  test.each(keys)('by a key: $kind, passphrase "$passphrase", format $format', async ({ kind, passphrase, format }) => {
    const name = `${kind}-${passphrase.length}-${format}`;
    await keygen(path.join(files, name), kind, { passphrase, ...(format === undefined ? {} : { format }) });
    await sshd.authorize(await publicKey(name));
    const login = { privateKey: await text(name), passphrase: passphrase === '' ? null : passphrase };
    await answers(target([await hop(sshd, login)]));
  });

  test.each(KINDS)('by an agent that holds several keys, of which one is right: %s', async (kind) => {
    const agent = await OpensshAgent.start(path.join(files, `${kind}.sock`));
    try {
      const login = { privateKey: null, agentSocket: agent.socket };
      for (const name of ['wrong', kind]) {
        const file = path.join(files, `agent-${kind}-${name}`);
        await keygen(file, kind);
        await agent.add(file);
      }
      await sshd.authorize(await publicKey(`agent-${kind}-${kind}`));
      await answers(target([await hop(sshd, login)]));
      await sessions.end();
      await sshd.authorize(await publicKey('own'));
      expect(await failure(target([await hop(sshd, login)]))).toMatchObject({
        code: 'TUNNEL_LOGIN_REFUSED',
        message: expect.stringContaining("the agent's keys refused; it takes publickey"),
      });
    } finally {
      await agent.stop();
    }
  });

  test('by an agent without a key, and one that is gone', async () => {
    const agent = await OpensshAgent.start(path.join(files, 'empty.sock'));
    const to = target([await hop(sshd, { privateKey: null, agentSocket: agent.socket })]);
    const refused = { code: 'TUNNEL_LOGIN_REFUSED', message: expect.stringContaining("the agent's keys refused") };
    expect(await failure(to)).toMatchObject(refused);
    await agent.stop();
    expect(await failure(to)).toMatchObject(refused);
  });

  test('by more keys of an agent than the server has patience for', async () => {
    const patient = await server('MaxAuthTries 2');
    const agent = await OpensshAgent.start(path.join(files, 'many.sock'));
    try {
      for (const index of [1, 2, 3, 4]) {
        const file = path.join(files, `many-${index}`);
        await keygen(file, 'ed25519');
        await agent.add(file);
      }
      const login = { privateKey: null, agentSocket: agent.socket };
      expect(await failure(target([await hop(patient, login)]))).toMatchObject({
        code: 'TUNNEL_LOGIN_REFUSED',
        message: expect.stringContaining('Too many authentication failures'),
      });
    } finally {
      await agent.stop();
    }
  });

  test('by a key that is not authorised, a user who may not, and a password where none is taken', async () => {
    const other = path.join(files, 'other');
    await keygen(other, 'ecdsa');
    await sshd.authorize(await publicKey('other'));
    expect(await failure(target([await hop(sshd)]))).toMatchObject({
      code: 'TUNNEL_LOGIN_REFUSED',
      message: expect.stringMatching(
        /@127\.0\.0\.1:\d+ refuses the login \(the key \(ssh-ed25519\) refused; it takes publickey\)$/,
      ),
      hint: expect.stringContaining('authorized_keys'),
    });
    await sshd.authorize(await publicKey('own'));
    const stranger = await failure(target([await hop(sshd, { user: 'no-such-user' })]));
    expect(stranger).toMatchObject({ code: 'TUNNEL_LOGIN_REFUSED', message: expect.stringContaining('no-such-user@') });
    const byPassword = await failure(target([await hop(sshd, { privateKey: null, password: 'open, sesame' })]));
    expect(byPassword).toMatchObject({
      code: 'TUNNEL_LOGIN_REFUSED',
      message: expect.stringContaining('nothing that is given is asked for; it takes publickey'),
    });
  });
});

describe('host keys', () => {
  beforeAll(async () => sshd.authorize(await publicKey('own')));

  const known = async (...lines: string[]): Promise<Partial<SshHop>> => {
    const knownHosts = path.join(files, 'known_hosts');
    await writeFile(knownHosts, `${lines.join('\n')}\n`);
    return { hostKey: null, knownHosts };
  };
  const lineOf = async (kind: KeyKind) => `[127.0.0.1]:${sshd.port} ${await sshd.hostKeyLine(kind)}`;

  test.each(KINDS)('pinned as ssh-keygen prints it, known, and hashed by ssh-keygen: %s', async (kind) => {
    await answers(target([await hop(sshd, { hostKey: await sshd.hostFingerprint(kind) })]));
    await sessions.end();
    const plain = await known(await lineOf(kind));
    await answers(target([await hop(sshd, plain)]));
    await sessions.end();
    await promisify(execFile)('ssh-keygen', ['-H', '-f', path.join(files, 'known_hosts')]);
    expect(await text('known_hosts')).toMatch(/^\|1\|/);
    await answers(target([await hop(sshd, plain)]));
  });

  test('unknown: refused with the fingerprint that ssh-keygen prints', async () => {
    const fingerprint = await sshd.hostFingerprint('ed25519');
    expect(await failure(target([await hop(sshd, { hostKey: null })]))).toMatchObject({
      code: 'TUNNEL_HOST_KEY_UNKNOWN',
      message: expect.stringContaining(`shows the key ${fingerprint} (ssh-ed25519)`),
      hint: expect.stringMatching(new RegExp(`host_key: ${fingerprint.replaceAll(/[+/]/g, '\\$&')}$`)),
    });
    const file = await failure(target([await hop(sshd, await known('elsewhere ssh-ed25519 AAAA'))]));
    expect(file).toMatchObject({
      code: 'TUNNEL_HOST_KEY_UNKNOWN',
      hint: expect.stringContaining(await lineOf('ed25519')),
    });
  });

  test('wrong: refused with both', async () => {
    const wrong = await keygenFingerprint(path.join(files, 'own.pub'));
    const pinned = await failure(target([await hop(sshd, { hostKey: wrong })]));
    expect(pinned).toMatchObject({ code: 'TUNNEL_HOST_KEY_CHANGED', message: expect.stringContaining(wrong) });
    for (const kind of KINDS) {
      expect(pinned.message).toContain(`${await sshd.hostFingerprint(kind)} (${TYPES[kind]})`);
    }
    const line = `[127.0.0.1]:${sshd.port} ${await publicKey('own')}`;
    const file = await failure(target([await hop(sshd, await known(line))]));
    expect(file).toMatchObject({ code: 'TUNNEL_HOST_KEY_CHANGED', message: expect.stringContaining(wrong) });
    expect(file.message).toContain(await sshd.hostFingerprint('ed25519'));
  });
});

describe('forwarding', () => {
  test.each(['AllowTcpForwarding no', 'AllowTcpForwarding remote', 'DisableForwarding yes', 'PermitOpen 127.0.0.1:1'])(
    'is refused by %s',
    async (line) => {
      expect(await failure(target([await hop(await server(line))]))).toMatchObject({
        code: 'TUNNEL_FORWARD_REFUSED',
        message: expect.stringContaining(`does not forward to 127.0.0.1:${postgres.port}`),
        hint: expect.stringContaining('PermitOpen'),
      });
    },
  );

  test('is what the options of a key allow', async () => {
    const key = await publicKey('own');
    for (const options of ['restrict', 'restrict,port-forwarding,permitopen="127.0.0.1:1"']) {
      await sshd.authorize(`${options} ${key}`);
      expect(await failure(target([await hop(sshd)]))).toMatchObject({ code: 'TUNNEL_FORWARD_REFUSED' });
      await sessions.end();
    }
    await sshd.authorize(`restrict,port-forwarding,permitopen="127.0.0.1:${postgres.port}" ${key}`);
    await answers(target([await hop(sshd)]));
    await sshd.authorize(key);
  });

  test('finds no database', async () => {
    await sshd.authorize(await publicKey('own'));
    expect(await failure(target([await hop(sshd)], { port: 1 }))).toMatchObject({
      code: 'SOURCE_UNREACHABLE',
      message: expect.stringMatching(
        /^the tunnel stands, but the SSH host .* cannot reach 127\.0\.0\.1:1 \(.*refused.*\)$/,
      ),
    });
    expect(await failure(target([await hop(sshd)], { host: 'no-such-host.invalid' }))).toMatchObject({
      code: 'SOURCE_UNREACHABLE',
      message: expect.stringContaining('cannot reach no-such-host.invalid'),
    });
  });

  test('to a unix socket on the SSH host, and where that is refused', async () => {
    await sshd.authorize(await publicKey('own'));
    await answers(target([await hop(sshd)], { host: postgres.dir }));
    // sshd says the same of both.
    const strict = await server('AllowStreamLocalForwarding no');
    for (const to of [
      target([await hop(strict)], { host: postgres.dir }),
      target([await hop(sshd)], { host: '/nowhere' }),
    ]) {
      expect(await failure(to)).toMatchObject({
        code: 'SOURCE_UNREACHABLE',
        message: expect.stringMatching(/cannot reach .*\/\.s\.PGSQL\.\d+ /),
        hint: expect.stringContaining('AllowStreamLocalForwarding'),
      });
    }
  });

  test('goes through two servers', async () => {
    const [edge, inner] = [await server(), await server()];
    await edge.authorize(`restrict,port-forwarding,permitopen="127.0.0.1:${inner.port}" ${await publicKey('own')}`);
    const through = await hop(edge, { option: 'connections.shop_db.tunnel.through[0]' });
    await answers(target([through, await hop(inner)]));
    expect(await failure(target([await hop(inner), await hop(edge)]))).toMatchObject({
      code: 'TUNNEL_FORWARD_REFUSED',
    });
    await sessions.end();
    await inner.kill();
    expect(await failure(target([through, await hop(inner)]))).toMatchObject({
      code: 'TUNNEL_UNREACHABLE',
      message: expect.stringMatching(/cannot reach the next one/),
    });
  });
});

describe('limits of the server', () => {
  test('MaxSessions counts no forwarded connections', async () => {
    const limited = await server('MaxSessions 1');
    const to = target([await hop(limited)]);
    const connections = await Promise.all([1, 2, 3, 4].map(() => open(to)));
    for (const connection of connections) expect(await connection.query('select 1 as one')).toEqual([{ one: 1 }]);
  });

  test('MaxStartups: told as a lack of room, and gone when there is room again', async () => {
    const limited = await server('MaxStartups 1');
    const waiting = await greeted(limited.port);
    const to = target([await hop(limited)]);
    expect(await failure(to)).toMatchObject({
      code: 'TUNNEL_UNREACHABLE',
      hint: expect.stringContaining('MaxStartups'),
    });
    waiting.destroy();
    await expect
      .poll(() => open(to).then((connection) => connection.query('select 1 as one')), { timeout: 20_000 })
      .toEqual([{ one: 1 }]);
  });

  test('a server that asks for a sign of life gets it', async () => {
    const asking = await server('ClientAliveInterval 1', 'ClientAliveCountMax 1');
    const connection = await open(target([await hop(asking)]));
    expect(await connection.query('select pg_sleep(5)::text as slept')).toEqual([{ slept: '' }]);
  });

  test('much in both directions, with new keys every megabyte', async () => {
    const rekeying = await server('RekeyLimit 1M');
    const connection = await open(target([await hop(rekeying)]));
    const sent = 'x'.repeat(20_000_000);
    const [row] = await connection.query<{ back: string }>('select $1::text as back', [sent]);
    expect(row?.back === sent).toBe(true);
  });
});

/** A connection that says nothing after the server's greeting: it is not logged in, and takes its place. */
function greeted(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('error', reject);
    socket.once('data', () => resolve(socket));
  });
}
