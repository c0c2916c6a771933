import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FakeClock } from '../../test/fake/clock.js';
import { FAKE_HOST, FakeEngine, fakeChange, fakeConfig, fakePlan } from '../../test/fake/engine.js';
import { SluiceError } from '../error/sluice-error.js';
import type { EngineEvent } from '../executor/engine.js';
import { callDaemon } from './call-client.js';
import { type AskedCall, callDocument } from './call-protocol.js';
import type { CallHandler } from './call-route.js';
import { type ControlSocket, openControlSocket } from './control-socket.js';
import { DaemonEngine } from './daemon-engine.js';
import { openAnswer, refusalOf } from './line-stream.js';
import { LogRing } from './log-ring.js';

/** Work that is asked for over a real socket; what works at its end is the test. */

const SYNC: AskedCall = {
  configHash: 'c0ffee',
  call: { call: 'sync', request: { address: null, untilCaughtUp: false, force: false } },
};
const never = new AbortController().signal;

let folder: string;
let socket: string;
let control: ControlSocket | null = null;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sluice-call-'));
  socket = path.join(folder, 'control.sock');
});

afterEach(async () => {
  await control?.close();
  control = null;
  await rm(folder, { recursive: true, force: true });
});

async function listen(call: CallHandler): Promise<void> {
  control = await openControlSocket(socket, {
    facts: () => {
      throw new Error('not asked');
    },
    status: async () => '{}',
    reload: async () => ({ kind: 'unchanged', plan: null }),
    call,
    log: new LogRing(),
  });
}

/** Resolves with the reason once the work's signal aborts. */
function untilAborted(signal: AbortSignal): Promise<unknown> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(signal.reason), { once: true }));
}

function engineBeside(events: EngineEvent[], aparts: string[]): { engine: DaemonEngine; local: FakeEngine } {
  const config = fakeConfig({}, { daemon: { http: null, socket, autoApply: 'additive' } });
  const deps = { config, clock: new FakeClock(), host: FAKE_HOST, onEvent: () => undefined };
  const local = new FakeEngine(deps, {});
  const onEvent = (event: EngineEvent): void => void events.push(event);
  return { engine: new DaemonEngine({ local, onEvent, onApart: (why) => aparts.push(why) }), local };
}

test('an engine beside a daemon lets it work, and hears of it', async () => {
  const change = fakeChange();
  const plan = fakePlan([change]);
  await listen(async ({ call, configHash }, tell) => {
    expect(configHash).toBe('c0ffee');
    if (call.call === 'sync') tell({ kind: 'notice', address: 'shop', message: 'by the daemon' });
    switch (call.call) {
      case 'sync':
        return { sources: [], ok: true };
      case 'apply':
        for (const each of call.plan.changes) tell({ kind: 'change_started', change: each });
        return [{ status: 'applied', durationMs: 5 }];
      case 'resync':
        return call.addresses;
      case 'pause':
        return [{ address: 'shop', already: false, heldSlot: 's', missesChanges: false }];
      case 'resume':
        return [{ address: 'shop', already: false, load: null, stillPaused: [] }];
    }
  });
  const events: EngineEvent[] = [];
  const { engine, local } = engineBeside(events, []);
  expect(await engine.sync({ address: null, untilCaughtUp: false, force: false }, never)).toEqual({
    sources: [],
    ok: true,
  });
  expect(await engine.apply(plan, never)).toEqual([{ change, status: 'applied', durationMs: 5 }]);
  expect(await engine.resync(['shop'], 'why', never)).toEqual(['shop']);
  expect(await engine.pause(['shop'], never)).toMatchObject([{ heldSlot: 's' }]);
  expect(await engine.resume(['shop'], never)).toMatchObject([{ load: null }]);
  expect(events).toEqual([
    { kind: 'notice', address: 'shop', message: 'by the daemon' },
    { kind: 'change_started', change },
  ]);
  expect(local.calls).toEqual([]);
});

test('where the daemon has gone, or knows no calls, the work is done here', async () => {
  const aparts: string[] = [];
  const { engine, local } = engineBeside([], aparts);
  await engine.resync(['shop'], 'why', never);
  expect({ calls: local.calls, aparts }).toEqual({ calls: ['resync shop'], aparts: [] });
  await listen(async () => null);
  const body = JSON.stringify({ format_version: 1, config_hash: 'c0ffee', call: 'of_tomorrow' });
  const { response } = await openAnswer(socket, { method: 'POST', path: '/calls', body }, never);
  expect(response.statusCode).toBe(503);
  expect(await refusalOf(response)).toMatchObject({ code: 'DAEMON_UNREACHABLE' });
});

test('an error comes over whole', async () => {
  const error = { code: 'SLOT_LOST', message: 'gone', hint: 'resync', cause: 'why', address: 'shop:slot' } as const;
  await listen(async () => {
    throw new SluiceError({ ...error, cause: new Error('why') });
  });
  await expect(callDaemon(socket, SYNC, () => undefined, never)).rejects.toMatchObject(error);
});

test('cancelling ends the work, and what it comes to is still told', async () => {
  const controller = new AbortController();
  await listen(async (_asked, tell, signal) => {
    tell({ kind: 'notice', address: 'shop', message: 'begun' });
    await untilAborted(signal);
    return 'as far as it came';
  });
  const end = callDaemon(socket, SYNC, () => controller.abort(), controller.signal);
  expect(await end).toEqual({ kind: 'result', result: 'as far as it came' });
});

test('whoever goes away takes the work along', async () => {
  let reason: Promise<unknown> = Promise.resolve(null);
  let began: () => void = () => undefined;
  const begun = new Promise<void>((resolve) => {
    began = resolve;
  });
  await listen(async (_asked, _tell, signal) => {
    reason = untilAborted(signal);
    began();
    await reason;
  });
  const headers = { 'content-type': 'application/json' };
  const asking = request({ socketPath: socket, method: 'POST', path: '/calls', headers, agent: false });
  asking.on('error', () => undefined);
  asking.end(callDocument(SYNC));
  await begun;
  asking.destroy();
  expect(await reason).toMatchObject({ code: 'CANCELLED', message: 'whoever asked for it has gone' });
});

test('a daemon that closes its door in the middle is told as lost', async () => {
  await listen(async (_asked, tell, signal) => {
    tell({ kind: 'notice', address: 'shop', message: 'begun' });
    await untilAborted(signal);
    return new Promise(() => undefined);
  });
  const end = callDaemon(socket, SYNC, () => void control?.close(), never);
  await expect(end).rejects.toMatchObject({ code: 'DAEMON_LOST', exitCode: 69 });
});

test('a reader that has stopped holds up nobody, and its work ends', async () => {
  let reason: unknown = null;
  const events = 200_000;
  const done = new Promise<void>((resolve, reject) => {
    listen(async (_asked, tell, signal) => {
      for (let n = 0; n < events; n += 1) tell({ kind: 'notice', address: 'shop', message: 'x'.repeat(100) });
      reason = signal.aborted ? signal.reason : await untilAborted(signal);
      resolve();
    }).catch(reject);
  });
  while (control === null) await new Promise((resolve) => setImmediate(resolve));
  const headers = { 'content-type': 'application/json' };
  const asking = request({ socketPath: socket, method: 'POST', path: '/calls', headers, agent: false }, (response) =>
    response.pause(),
  );
  asking.on('error', () => undefined);
  asking.end(callDocument(SYNC));
  await done;
  expect(reason).toMatchObject({ code: 'CANCELLED' });
  asking.destroy();
});
