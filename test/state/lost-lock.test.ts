import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { realClock } from '../../src/cli/real-clock.js';
import type { Config } from '../../src/config/config.js';
import { createEngine } from '../../src/executor/create-engine.js';
import type { Clock, Engine } from '../../src/executor/engine.js';
import { type OpenState, openState } from '../../src/executor/open-state.js';
import type { Change } from '../../src/planner/change.js';
import { sampleState } from '../../src/state/sample-state.js';
import type { StateDocument } from '../../src/state/state.js';
import { stateText } from '../../src/state/stored-state.js';
import { FAKE_HOST, fakeConfig, fakePlan } from '../fake/engine.js';
import { systemStoreDeps } from '../lake/store-deps.js';
import { type MemoryS3, startMemoryS3 } from '../s3/memory-s3.js';
import { S3_KEYS, s3State } from './backends.js';
import { Gate } from './gate.js';

/**
 * What changes the state under a lock that is lost meanwhile: it has read the state when somebody takes the lock away, and
 * must not write then. The state is in a bucket, whose lease is renewed every 30 seconds; here time passes quickly.
 */

const KEY = 'team/state.json';
const OTHER_KEY = 'other/state.json';
const never = new AbortController().signal;
const hurried: Clock = { ...realClock, sleep: (ms, signal) => realClock.sleep(Math.min(ms, 20), signal) };

let s3: MemoryS3;
let stored: StateDocument;
const opened: { close(): Promise<void> }[] = [];

beforeEach(async () => {
  s3 = await startMemoryS3({ bucket: 'states', ...S3_KEYS });
  stored = await open(KEY).store.write({ ...sampleState(), serial: 0 }, null);
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((each) => each.close()));
  await s3.stop();
});

function configOf(key: string): Config {
  return { ...fakeConfig(), state: s3State(s3, key) };
}

/** Another process's view of a place. */
function open(key: string): OpenState {
  const secrets = { env: {}, homeDir: '/', readFile: async () => '' };
  const state = openState(configOf(key), { lock: { ...systemStoreDeps, newToken: () => randomUUID() }, secrets });
  opened.push(state);
  return state;
}

function engineOf(key: string): Engine {
  const host = { ...FAKE_HOST, pid: process.pid };
  const engine = createEngine({ config: configOf(key), clock: hurried, host, onEvent: () => undefined });
  opened.push(engine);
  return engine;
}

/** Runs `work`, whose first read of the state takes until the lock of the place `locked` was taken away. */
async function whileLosing<Result>(locked: string, work: () => Promise<Result>): Promise<Result> {
  const gate = new Gate();
  const fault = s3.fault({ on: ({ method, key }) => method === 'GET' && key === KEY, does: { until: gate.opened } });
  const result = work();
  result.catch(() => undefined);
  await expect.poll(() => fault.struck, { timeout: 10_000 }).toBe(1);
  const rival = open(locked).lock;
  await rival.unlock(true);
  const taken = await rival.acquire(0, never);
  const looks = () => s3.requests.filter(({ method, key }) => method === 'GET' && key === `${locked}.lock`).length;
  const before = looks();
  // The holder's next renewal is refused, and it looks whose the lock is now.
  await expect.poll(looks, { timeout: 10_000 }).toBeGreaterThan(before);
  await pause(100);
  gate.open();
  try {
    return await result;
  } finally {
    await taken.release();
  }
}

const LOST = { code: 'STATE_LOCKED', message: expect.stringMatching(/was lost: it was (taken over|removed)/) };

describe('nothing is written', () => {
  test.each<{ name: string; work: (engine: Engine) => Promise<unknown> }>([
    { name: 'resync', work: (engine) => engine.resync(['shop'], 'asked for', never) },
    { name: 'state forget', work: (engine) => engine.state.forget('shop', never) },
    {
      name: 'state import',
      work: (engine) => engine.state.import(stateText({ ...stored, sources: {} }), 'kept.json', false, never),
    },
    {
      name: 'state import --force',
      work: (engine) => engine.state.import(stateText({ ...stored, sources: {} }), 'kept.json', true, never),
    },
  ])('$name', async ({ work }) => {
    const engine = engineOf(KEY);
    await expect(whileLosing(KEY, () => work(engine))).rejects.toMatchObject(LOST);
    expect(await open(KEY).store.read()).toEqual(stored);
  });

  test.each([
    { name: 'the old place', locked: KEY },
    { name: 'the new place', locked: OTHER_KEY },
  ])('state migrate, where the lock of $name is lost', async ({ locked }) => {
    const engine = engineOf(OTHER_KEY);
    const moving = whileLosing(locked, () => engine.state.migrateFrom(configOf(KEY), never));
    await expect(moving).rejects.toMatchObject(LOST);
    expect(await open(KEY).store.read()).toEqual(stored);
    expect(await open(OTHER_KEY).store.read()).toBeNull();
  });

  test('apply, whose changes say why they were not made', async () => {
    const engine = engineOf(KEY);
    const change: Change = {
      action: 'disable_table',
      address: 'shop:public.users',
      destructive: false,
      reason: 'enabled: false',
      cost: { rows: 0, bytes: 0, seconds: 0, wal_bytes: 0, basis: 'none' },
      details: {},
    };
    const { lineage, serial } = stored;
    const plan = { ...fakePlan([change]), config_hash: engine.config.hash, state: { lineage, serial } };
    const results = await whileLosing(KEY, () => engine.apply(plan, never));
    expect(results).toEqual([{ change, status: 'not_attempted', because: LOST.message }]);
    expect(await open(KEY).store.read()).toEqual(stored);
  });
});
