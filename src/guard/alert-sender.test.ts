import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Webhook } from '../../test/guard/guard-fixture.js';
import { ALERT_KINDS, type AlertHook } from '../config/config.js';
import type { SluiceError } from '../error/sluice-error.js';
import type { Clock } from '../executor/engine.js';
import { type AlertEvent, alertEvent } from './alert.js';
import { AlertSender } from './alert-sender.js';

const EVENT = alertEvent(
  { kind: 'lag_warning', source: 'shop', slot: 'sluice_shop', message: 'much', hint: null, error: null, lag: null },
  { at: '2026-03-02T12:00:00.000Z', host: 'machine' },
);

/** Pauses between attempts pass at once; deadlines only where the test says so. */
function clock(deadlines: 'pass' | 'never'): Clock {
  return {
    now: () => new Date(0),
    monotonicMs: () => 0,
    sleep: (ms, signal) =>
      ms < 10_000 || deadlines === 'pass'
        ? Promise.resolve()
        : new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  };
}

let folder: string;
let failures: { hook: string; event: AlertEvent; error: SluiceError }[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-alert-'));
  failures = [];
});
afterEach(() => rm(folder, { recursive: true }));

async function send(
  alerts: readonly AlertHook[],
  options: { readonly env?: Record<string, string>; readonly deadlines?: 'pass' | 'never' } = {},
): Promise<void> {
  const sender = new AlertSender({
    config: { alerts, file: join(folder, 'sources.yaml') },
    clock: clock(options.deadlines ?? 'never'),
    secrets: {
      env: { PATH: process.env['PATH'], ...options.env },
      homeDir: folder,
      readFile: (p) => readFile(p, 'utf8'),
    },
    onFailure: (hook, event, error) => failures.push({ hook, event, error }),
  });
  sender.send(EVENT);
  // What is under way is waited for; only the deadline of that passes with the clock above.
  await sender.settled();
}

const webhookAt = (url: string, fields: Partial<Extract<AlertHook, { type: 'webhook' }>> = {}): AlertHook => ({
  type: 'webhook',
  url: { kind: 'inline', value: url },
  headers: {},
  timeoutMs: 10_000,
  on: ALERT_KINDS,
  ...fields,
});

const run = (script: string, ...args: readonly string[]): AlertHook => ({
  type: 'command',
  command: [process.execPath, '-e', script, ...args],
  timeoutMs: 10_000,
  on: ALERT_KINDS,
});

describe('webhook', () => {
  test.each<{ name: string; answers: readonly number[]; requests: number; failure: string | null }>([
    { name: 'taken', answers: [200], requests: 1, failure: null },
    { name: 'tried again after a server error', answers: [503, 500, 202], requests: 3, failure: null },
    { name: 'tried again when there are too many', answers: [429], requests: 2, failure: null },
    { name: 'given up after three', answers: [500, 500, 500], requests: 3, failure: 'HTTP 500' },
    { name: 'not tried again where it is refused', answers: [404], requests: 1, failure: 'HTTP 404' },
    { name: 'no redirect is followed', answers: [307], requests: 1, failure: 'HTTP 307' },
  ])('$name', async (c) => {
    const hook = await Webhook.start(c.answers);
    try {
      await send([webhookAt(hook.url)]);
      expect(hook.received.map(({ body }) => body)).toEqual(Array.from({ length: c.requests }, () => EVENT));
      expect(hook.received[0]?.headers['content-type']).toBe('application/json');
      expect(failures.map(({ error }) => error.message)).toEqual(
        c.failure === null ? [] : [expect.stringContaining(c.failure)],
      );
    } finally {
      await hook.stop();
    }
  });

  test('address and headers come from secrets, and no error shows them', async () => {
    const hook = await Webhook.start([400]);
    try {
      const secret = `${hook.url}?token=hunter2`;
      const alert = webhookAt('', {
        url: { kind: 'env', name: 'URL' },
        headers: { Authorization: { kind: 'env', name: 'TOKEN' } },
      });
      await send([alert], { env: { URL: secret, TOKEN: 'Bearer hunter3' } });
      expect(hook.received[0]?.headers.authorization).toBe('Bearer hunter3');
      await send([webhookAt('http://127.0.0.1:1/hunter2')]);
      await send([alert], { env: { URL: 'hunter2 is no address', TOKEN: 'x' } });
      await send([alert], { env: { URL: secret, TOKEN: 'hunter3\nX: y' } });
      await send([alert]);
      expect(failures.map(({ error }) => error.code)).toEqual([
        'ALERT_FAILED',
        'ALERT_FAILED',
        'ALERT_FAILED',
        'ALERT_FAILED',
        'SECRET_MISSING',
      ]);
      expect(JSON.stringify(failures.map(({ error }) => [error.message, error.hint, String(error.cause)]))).not.toMatch(
        /hunter/,
      );
    } finally {
      await hook.stop();
    }
  });

  test('one that never answers is given up', async () => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const address = silent.address();
    const port = typeof address === 'object' ? address?.port : 0;
    await send([webhookAt(`http://127.0.0.1:${port}/`)], { deadlines: 'pass' });
    expect(failures.map(({ error }) => error.message)).toEqual([expect.stringContaining('no answer within 10 s')]);
    silent.closeAllConnections();
    await new Promise((resolve) => silent.close(resolve));
  });
});

describe('command', () => {
  const WRITE = `require('node:fs').writeFileSync(process.argv[1], process.env.SLUICE_ALERT + '\\n' + require('node:fs').readFileSync(0))`;

  test('gets the event on standard input and in the environment', async () => {
    await send([run(WRITE, join(folder, 'got'))]);
    expect(await readFile(join(folder, 'got'), 'utf8')).toBe(`${JSON.stringify(EVENT)}\n${JSON.stringify(EVENT)}`);
    expect(failures).toEqual([]);
  });

  test.each<{ name: string; hook: AlertHook; deadlines?: 'pass'; failure: string }>([
    { name: 'an exit code', hook: run('process.exit(3)'), failure: 'exit code 3' },
    { name: 'killed', hook: run('process.kill(process.pid)'), failure: 'SIGTERM' },
    {
      name: 'too slow',
      hook: run('setInterval(() => {}, 1000)'),
      deadlines: 'pass',
      failure: 'did not end within 10 s',
    },
    {
      name: 'no such program, beside the file',
      hook: { type: 'command', command: ['./nope'], timeoutMs: 10_000, on: ALERT_KINDS },
      failure: 'could not be started (ENOENT)',
    },
  ])('$name', async (c) => {
    await send([c.hook], { deadlines: c.deadlines ?? 'never' });
    expect(failures.map(({ error }) => error.message)).toEqual([expect.stringContaining(c.failure)]);
  });
});

test('a hook that fails keeps no other from its event, and one that did not ask gets none', async () => {
  const hook = await Webhook.start();
  try {
    await send([
      run('process.exit(1)'),
      webhookAt(hook.url, { on: ['slot_dropped'] }),
      webhookAt(hook.url, { on: ['lag_warning'] }),
    ]);
    expect(hook.received).toHaveLength(1);
    expect(failures.map((failure) => failure.hook)).toEqual(['alerts[0] (command)']);
  } finally {
    await hook.stop();
  }
});

test('closing gives up on what does not end', async () => {
  const sender = new AlertSender({
    config: { alerts: [run('setInterval(() => {}, 1000)')], file: join(folder, 'sources.yaml') },
    clock: clock('never'),
    secrets: { env: { PATH: process.env['PATH'] }, homeDir: folder, readFile: (p) => readFile(p, 'utf8') },
    onFailure: (hook, event, error) => failures.push({ hook, event, error }),
  });
  sender.send(EVENT);
  await sender.close();
  expect(failures).toHaveLength(1);
});
