import { spawn } from 'node:child_process';
import { lstat, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SluiceError } from '../error/sluice-error.js';
import { askFacts, askReload, LONGEST_SOCKET_PATH_BYTES } from './control-client.js';
import type { DaemonBlock } from './control-protocol.js';
import { type ControlRoutes, type ControlSocket, openControlSocket } from './control-socket.js';
import { removeDeadSocket } from './dead-socket.js';
import { LogRing } from './log-ring.js';
import type { ReloadOutcome } from './reload.js';

/** Real sockets in a folder of the test's own. */

const FACTS: DaemonBlock = {
  pid: 4711,
  version: '1.2.3',
  started_at: '2026-01-01T00:00:00.000Z',
  config: {
    file: '/srv/sources.yaml',
    hash: 'c0ffee',
    in_use_since: '2026-01-01T00:00:00.000Z',
    valid: false,
    error: { code: 'CONFIG_INVALID', message: 'two mistakes', hint: 'mend them' },
  },
  pending_plan: { since: '2026-01-01T00:00:01.000Z', changes: ['drop shop:public.users'] },
  plan_error: { code: 'SOURCE_UNREACHABLE', message: 'nothing answers' },
  held_sources: [
    { source: 'shop', error: { code: 'SLOT_LOST', message: 'the slot is lost' }, retry_at: null },
    { source: 'crm', error: { code: 'SOURCE_BUSY', message: 'full' }, retry_at: '2026-01-01T00:00:02.000Z' },
  ],
  held_tables: [
    {
      address: 'crm:public.deals',
      error: { code: 'SOURCE_SQL_FAILED', message: 'no permission' },
      attempts: 4,
      retry_at: '2026-01-01T00:00:08.000Z',
    },
  ],
  loads: [
    {
      address: 'shop:public.users',
      method: 'cdc',
      started_at: '2026-01-01T00:00:01.000Z',
      rows: 500,
      bytes: 64_000,
      estimated_rows: 2_000,
    },
  ],
};

const ROUTES: ControlRoutes = {
  facts: () => FACTS,
  status: async () => '{"format_version":1,"sources":[]}\n',
  reload: async () => ({ kind: 'unchanged', plan: null }),
  call: async () => null,
  log: new LogRing(),
};

const never = new AbortController().signal;
let folder: string;
let socket: string;
const open: ControlSocket[] = [];
const listeners: Server[] = [];

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sluice-ctl-'));
  socket = path.join(folder, 'control.sock');
});

afterEach(async () => {
  await Promise.all(open.splice(0).map((each) => each.close()));
  await Promise.all(listeners.splice(0).map((each) => new Promise((resolve) => each.close(resolve))));
  await rm(folder, { recursive: true, force: true });
});

async function listen(routes: Partial<ControlRoutes> = {}, at = socket): Promise<ControlSocket> {
  const control = await openControlSocket(at, { ...ROUTES, ...routes });
  open.push(control);
  return control;
}

async function isThere(file: string): Promise<boolean> {
  return lstat(file).then(
    () => true,
    () => false,
  );
}

/** A child that is killed leaves its socket behind. */
async function leaveDeadSocket(): Promise<void> {
  const script = `require('net').createServer().listen(${JSON.stringify(socket)}, () => process.stdout.write('up'))`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
  expect(await isThere(socket)).toBe(true);
}

/** A process that took the socket and answers as the test says. */
async function listenRaw(onConnection: (socket: import('node:net').Socket) => void): Promise<void> {
  const server = createServer((connection) => {
    // Unread it would never end.
    connection.resume();
    onConnection(connection);
  });
  listeners.push(server);
  await new Promise<void>((resolve) => server.listen(socket, resolve));
}

describe('the socket', () => {
  test('only its owner may use, in a folder that is made for it', async () => {
    const at = path.join(folder, 'state', 'control.sock');
    await listen({}, at);
    const found = await stat(at);
    expect(found.isSocket()).toBe(true);
    expect(found.mode & 0o777).toBe(0o600);
  });

  test('is removed at the stop', async () => {
    const control = await listen();
    await control.close();
    expect(await isThere(socket)).toBe(false);
    await expect(askFacts(socket, never)).rejects.toMatchObject({ code: 'DAEMON_NOT_RUNNING' });
  });

  test('of a dead daemon is replaced', async () => {
    await leaveDeadSocket();
    await expect(askFacts(socket, never)).rejects.toMatchObject({ code: 'DAEMON_NOT_RUNNING' });
    await listen();
    expect(await askFacts(socket, never)).toEqual(FACTS);
  });

  test('of a dead daemon is removed by whoever else finds it', async () => {
    await leaveDeadSocket();
    await removeDeadSocket(socket);
    expect(await isThere(socket)).toBe(false);
  });

  test('of a daemon that lives stays, and so does what is no socket', async () => {
    await listen();
    await removeDeadSocket(socket);
    expect(await askFacts(socket, never)).toEqual(FACTS);
    const file = path.join(folder, 'file');
    await writeFile(file, 'mine');
    await removeDeadSocket(file);
    await removeDeadSocket(path.join(file, 'below'));
    await removeDeadSocket(path.join(folder, 'missing'));
    expect(await readFile(file, 'utf8')).toBe('mine');
  });

  test('of a living daemon is not taken', async () => {
    await listen();
    await expect(openControlSocket(socket, ROUTES)).rejects.toMatchObject({
      code: 'DAEMON_RUNNING',
      exitCode: 75,
      message: expect.stringContaining('pid 4711'),
    });
    expect(await askFacts(socket, never)).toEqual(FACTS);
  });

  test('of another program is not taken', async () => {
    await listenRaw((connection) => connection.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi'));
    await expect(openControlSocket(socket, ROUTES)).rejects.toMatchObject({ code: 'DAEMON_RUNNING' });
    expect(await isThere(socket)).toBe(true);
  });

  test.each([
    { what: 'a file', make: () => writeFile(socket, 'precious') },
    { what: 'a folder', make: () => mkdir(socket) },
    { what: 'a dangling link', make: () => symlink(path.join(folder, 'nowhere'), socket) },
  ])('$what at its path stays', async ({ make }) => {
    await make();
    const before = await lstat(socket);
    await expect(openControlSocket(socket, ROUTES)).rejects.toMatchObject({
      code: 'LISTEN_FAILED',
      message: expect.stringContaining('is no socket'),
    });
    const after = await lstat(socket);
    expect(after.ino).toBe(before.ino);
    if (after.isFile()) expect(await readFile(socket, 'utf8')).toBe('precious');
  });

  test('at a path that is too long is refused with the limit and a way out', async () => {
    const longest = path.join(folder, 'x'.repeat(LONGEST_SOCKET_PATH_BYTES - folder.length - 1));
    expect(Buffer.byteLength(longest)).toBe(LONGEST_SOCKET_PATH_BYTES);
    await listen({}, longest);
    expect(await askFacts(longest, never)).toEqual(FACTS);
    await expect(openControlSocket(`${longest}x`, ROUTES)).rejects.toMatchObject({
      code: 'LISTEN_FAILED',
      message: expect.stringContaining(`${LONGEST_SOCKET_PATH_BYTES + 1} bytes`),
      hint: expect.stringContaining('daemon: { socket:'),
    });
    // Cut to the limit it would be the one that is open.
    await expect(askFacts(`${longest}x`, never)).rejects.toMatchObject({ code: 'DAEMON_NOT_RUNNING' });
  });

  test('below a file is refused with the way out', async () => {
    await writeFile(path.join(folder, 'file'), '');
    await expect(openControlSocket(path.join(folder, 'file', 'control.sock'), ROUTES)).rejects.toMatchObject({
      code: 'LISTEN_FAILED',
      hint: expect.stringContaining('daemon: { socket:'),
    });
  });
});

describe('reload', () => {
  const outcomes: readonly ReloadOutcome[] = [
    { kind: 'unchanged', plan: null },
    { kind: 'unchanged', plan: { kind: 'waiting', changes: ['drop shop:public.users'] } },
    { kind: 'applied', plan: { kind: 'nothing_to_do' } },
    { kind: 'applied', plan: { kind: 'applied', changes: ['add shop:public.users'] } },
    { kind: 'applied', plan: { kind: 'waiting', changes: ['drop shop:public.users'] } },
    { kind: 'applied', plan: { kind: 'failed', error: { code: 'SOURCE_BUSY', message: 'full', cause: 'why' } } },
    { kind: 'refused', error: { code: 'CONFIG_INVALID', message: 'two\nmistakes' } },
    { kind: 'failed', error: { code: 'LISTEN_FAILED', message: 'taken', hint: 'another port', address: 'shop' } },
  ];
  test.each(outcomes)('answers with $kind as it was', async (outcome) => {
    await listen({ reload: async () => outcome });
    expect(await askReload(socket, never)).toEqual(outcome);
  });

  test('is still answered when the daemon no longer listens', async () => {
    let answer: (outcome: ReloadOutcome) => void = () => undefined;
    const begun = new Promise<void>((resolve) => {
      void listen({
        reload: () =>
          new Promise((done) => {
            answer = done;
            resolve();
          }),
      }).then(() => {
        reply = askReload(socket, never);
      });
    });
    let reply: Promise<ReloadOutcome> = Promise.reject(new Error('not asked'));
    reply.catch(() => undefined);
    await begun;
    open[0]?.stopListening();
    expect(await isThere(socket)).toBe(false);
    answer({ kind: 'unchanged', plan: null });
    expect(await reply).toEqual({ kind: 'unchanged', plan: null });
  });

  test('that nobody answers ends with the stop of the daemon', async () => {
    const asked = new Promise<void>((resolve) => {
      void listen({
        reload: () => {
          resolve();
          return new Promise(() => undefined);
        },
      });
    });
    // The socket is there once listen() has gone on.
    while (open.length === 0) await new Promise((resolve) => setImmediate(resolve));
    const reply = askReload(socket, never);
    reply.catch(() => undefined);
    await asked;
    await open[0]?.close();
    await expect(reply).rejects.toMatchObject({
      code: 'DAEMON_UNREACHABLE',
      message: expect.stringContaining('broke off'),
    });
  });

  test('ends with the signal of whoever asks', async () => {
    await listen({ reload: () => new Promise(() => undefined) });
    const controller = new AbortController();
    const reply = askReload(socket, controller.signal);
    controller.abort(new SluiceError({ code: 'CANCELLED', message: 'stopped by SIGINT' }));
    await expect(reply).rejects.toMatchObject({ code: 'CANCELLED' });
  });
});

describe('answers', () => {
  test('a failure is the error that it was', async () => {
    await listen({
      reload: async () => {
        throw new SluiceError({ code: 'STATE_LOCKED', message: 'by another', hint: 'wait' });
      },
    });
    await expect(askReload(socket, never)).rejects.toMatchObject({
      code: 'STATE_LOCKED',
      message: 'by another',
      hint: 'wait',
    });
  });

  test.each([
    { what: 'no JSON', body: 'hello' },
    { what: 'another version', body: '{"format_version":99}' },
    { what: 'another document', body: '{"format_version":1,"daemon":{"pid":"many"}}' },
  ])('$what is told as such', async ({ body }) => {
    await listenRaw((connection) =>
      connection.end(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`),
    );
    await expect(askFacts(socket, never)).rejects.toMatchObject({ code: 'DAEMON_UNREACHABLE' });
  });
});
