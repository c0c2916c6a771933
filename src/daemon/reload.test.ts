import { describe, expect, test } from 'vitest';
import { SAMPLE_ACCESS } from '../../test/config/sample-lake.js';
import { FakeClock } from '../../test/fake/clock.js';
import { FAKE_HOST, type FakeAnswers, FakeEngine, fakeChange, fakeConfig, fakePlan } from '../../test/fake/engine.js';
import type { Config, Schedule } from '../config/config.js';
import { type PlainError, SluiceError } from '../error/sluice-error.js';
import { emptyRun } from '../executor/empty-run.js';
import type { SyncReport } from '../executor/engine.js';
import type { AskedCall } from './call-protocol.js';
import type { ControlRoutes } from './control-socket.js';
import { runDaemon } from './daemon.js';
import type { Log } from './log.js';
import type { ReloadOutcome } from './reload.js';

const TEN_SECONDS: Schedule = { kind: 'every', everyMs: 10_000 };
const FIRST = fakeConfig({ shop: [TEN_SECONDS] });
const SECOND = fakeConfig({ shop: [TEN_SECONDS], crm: [TEN_SECONDS] }, { hash: 'other' });
/** How long work under way may go on before another config. */
const PATIENCE_MS = 60_000;

/** Patience lasts until a test loses it; all other sleeps end at once. */
class PatientClock extends FakeClock {
  losePatience: () => void = () => undefined;

  override async sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (ms !== PATIENCE_MS) return super.sleep(ms, signal);
    signal.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      this.losePatience = resolve;
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
  }
}

/** A daemon whose file a test changes. */
class Changing {
  readonly clock = new PatientClock();
  readonly lines: string[] = [];
  /** Calls of all engines in order, each with its number. */
  readonly calls: string[] = [];
  file: Config | SluiceError = FIRST;
  /** What the daemon has watched beside its file. */
  beside: readonly string[] = [];
  onChange: (file?: string) => void = () => undefined;
  hangUp: () => void = () => undefined;
  control: ControlRoutes | null = null;
  readonly #controller = new AbortController();
  readonly #ended: Promise<void>;

  constructor(answers: (engine: number) => FakeAnswers = () => ({}), first: Config = FIRST) {
    this.file = first;
    const noted =
      (level: string) =>
      (_fields: object, message: string): void =>
        void this.lines.push(`${level} ${message}`);
    const log: Log = { debug: () => undefined, info: noted('info'), warn: noted('warn'), error: noted('error') };
    let engines = 0;
    this.#ended = runDaemon(
      {
        config: first,
        loadConfig: async () => {
          if (this.file instanceof SluiceError) throw this.file;
          return this.file;
        },
        watchConfig: async (onChange) => {
          this.onChange = (file = FIRST.file) => onChange(new Set([file]));
          const beside = async (files: readonly string[]): Promise<void> => {
            this.beside = files;
          };
          return { beside, close: async () => undefined };
        },
        onHangup: (listener) => {
          this.hangUp = listener;
          return () => undefined;
        },
        clock: this.clock,
        host: FAKE_HOST,
        log,
        version: '1.2.3',
        statusDocument: () => '{}\n',
        openControl: async (path, routes) => {
          this.control = routes;
          return { path, stopListening: () => undefined, close: async () => undefined };
        },
        createEngine: async (deps) => {
          engines += 1;
          const number = engines;
          if (deps.config.hash === 'impossible') throw new SluiceError({ code: 'INTERNAL', message: 'cannot be made' });
          const engine = new FakeEngine(deps, answers(number));
          const { calls } = this;
          engine.calls.push = (...items: string[]) => calls.push(...items.map((item) => `${number} ${item}`));
          return engine;
        },
      },
      this.#controller.signal,
    );
    this.#ended.catch(() => undefined);
  }

  async until(what: () => boolean): Promise<void> {
    const deadline = performance.now() + 10_000;
    while (!what()) {
      if (performance.now() > deadline)
        throw new Error(`not reached: ${what}\n${[...this.calls, ...this.lines].join('\n')}`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  reload(): Promise<ReloadOutcome> {
    if (this.control === null) throw new Error('the daemon has not opened its door');
    return this.control.reload();
  }

  said(message: string): number {
    return this.lines.filter((line) => line.endsWith(message)).length;
  }

  async stop(): Promise<void> {
    this.#controller.abort();
    await this.#ended;
  }
}

test('a changed config gets an engine of its own, once the one before is closed, and is planned', async () => {
  const daemon = new Changing((engine) => (engine === 2 ? { plan: () => fakePlan([fakeChange()]) } : {}));
  await daemon.until(() => daemon.calls.includes('1 sync shop'));
  daemon.file = SECOND;
  daemon.onChange();
  await daemon.until(() => daemon.calls.includes('2 sync shop'));
  await daemon.stop();
  const closed = daemon.calls.indexOf('1 close');
  expect(daemon.calls.slice(closed, closed + 4)).toEqual(['1 close', '2 plan', '2 apply plan-1', '2 sync shop']);
  expect(daemon.calls.slice(closed + 1).every((call) => call.startsWith('2 '))).toBe(true);
  expect(daemon.calls.at(-1)).toBe('2 close');
});

test('destructive changes of a changed config wait', async () => {
  const daemon = new Changing((engine) =>
    engine === 2 ? { plan: () => fakePlan([fakeChange({ destructive: true })]) } : {},
  );
  await daemon.until(() => daemon.calls.includes('1 sync shop'));
  daemon.file = SECOND;
  daemon.hangUp();
  await daemon.until(() => daemon.said('changes wait for sluice apply') > 0);
  await daemon.stop();
  expect(daemon.calls).not.toContain('2 apply plan-1');
});

test('work under way ends before another config takes over', async () => {
  let finish: () => void = () => undefined;
  const daemon = new Changing((engine) =>
    engine === 1
      ? {
          sync: () =>
            new Promise((resolve) => {
              finish = () => resolve({ sources: [], ok: true });
            }),
        }
      : {},
  );
  await daemon.until(() => daemon.calls.includes('1 sync shop'));
  daemon.file = SECOND;
  daemon.onChange();
  await daemon.until(() => daemon.said('going over to the changed config') > 0);
  expect(daemon.calls.filter((call) => call === '1 close')).toEqual([]);
  finish();
  await daemon.until(() => daemon.calls.includes('2 sync shop'));
  await daemon.stop();
  // The sync ended by itself, and none came after it.
  expect(daemon.calls.slice(0, 4)).toEqual(['1 plan', '1 sync shop', '1 close', '2 plan']);
});

test('work that does not end is broken off', async () => {
  const daemon = new Changing((engine) =>
    engine === 1
      ? {
          sync: (_request, signal) =>
            new Promise((_resolve, reject) => {
              signal.addEventListener('abort', () => reject(signal.reason), { once: true });
            }),
        }
      : {},
  );
  await daemon.until(() => daemon.calls.includes('1 sync shop'));
  daemon.file = SECOND;
  daemon.onChange();
  await daemon.until(() => daemon.said('going over to the changed config') > 0);
  await new Promise((resolve) => setImmediate(resolve));
  daemon.clock.losePatience();
  await daemon.until(() => daemon.calls.includes('2 sync shop'));
  await daemon.stop();
  expect(daemon.said('breaking off the work under way for another config')).toBe(1);
});

test('a broken file is told once, the last good config goes on, and a mended one is told', async () => {
  const daemon = new Changing();
  const syncs = (): number => daemon.calls.filter((call) => call === '1 sync shop').length;
  await daemon.until(() => syncs() > 0);
  daemon.file = new SluiceError({ code: 'CONFIG_INVALID', message: 'two mistakes' });
  daemon.onChange();
  await daemon.until(() => daemon.said('the changed config is not used; the last good one goes on') > 0);
  daemon.onChange();
  daemon.hangUp();
  const before = syncs();
  await daemon.until(() => syncs() > before + 3);
  expect(daemon.said('the changed config is not used; the last good one goes on')).toBe(1);
  daemon.file = { ...FIRST };
  daemon.onChange();
  await daemon.until(() => daemon.said('the config is right again, as it is in use') > 0);
  await daemon.stop();
  expect(daemon.calls.every((call) => call.startsWith('1 '))).toBe(true);
});

test('a config whose engine cannot be made leaves the old one at work', async () => {
  const daemon = new Changing();
  const syncs = (): number => daemon.calls.filter((call) => call === '1 sync shop').length;
  await daemon.until(() => syncs() > 0);
  daemon.file = { ...SECOND, hash: 'impossible' };
  daemon.onChange();
  await daemon.until(() => daemon.said('the changed config is not used; the last good one goes on') > 0);
  const before = syncs();
  await daemon.until(() => syncs() > before + 2);
  daemon.file = SECOND;
  daemon.onChange();
  await daemon.until(() => daemon.calls.includes('3 sync shop'));
  await daemon.stop();
});

test('several changes in a row end with the last one', async () => {
  const daemon = new Changing();
  await daemon.until(() => daemon.calls.includes('1 sync shop'));
  for (const hash of ['a', 'b', 'c']) {
    daemon.file = { ...SECOND, hash };
    daemon.onChange();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const engines = () => new Set(daemon.calls.map((call) => call.split(' ')[0]));
  const settled = () => daemon.said('going over to the changed config') + daemon.said('the config says what is in use');
  await daemon.until(() => settled() === 3 && daemon.calls.includes(`${engines().size} sync shop`));
  await daemon.stop();
  expect(daemon.calls.filter((call) => call.endsWith(' close')).sort()).toEqual(
    [...engines()].map((engine) => `${engine} close`),
  );
});

test('a reload that is asked for is answered with what became of it', async () => {
  const daemon = new Changing((engine) => (engine === 2 ? { plan: () => fakePlan([fakeChange()]) } : {}));
  await daemon.until(() => daemon.calls.includes('1 sync shop'));
  expect(await daemon.reload()).toEqual({ kind: 'unchanged', plan: { kind: 'nothing_to_do' } });
  daemon.file = new SluiceError({ code: 'CONFIG_INVALID', message: 'two mistakes' });
  expect(await daemon.reload()).toEqual({
    kind: 'refused',
    error: { code: 'CONFIG_INVALID', message: 'two mistakes' },
  });
  expect(daemon.control?.facts().config).toMatchObject({ valid: false, hash: FIRST.hash });
  daemon.file = SECOND;
  expect(await daemon.reload()).toMatchObject({ kind: 'applied', plan: { kind: 'applied' } });
  expect(daemon.control?.facts().config).toMatchObject({ valid: true, hash: SECOND.hash, error: null });
  await daemon.stop();
  daemon.file = FIRST;
  expect(await daemon.reload()).toMatchObject({ kind: 'failed', error: { code: 'CANCELLED' } });
});

test('what waits for a person is told until another config takes over', async () => {
  const daemon = new Changing((engine) =>
    engine === 2 ? { plan: () => fakePlan([fakeChange({ destructive: true })]) } : {},
  );
  await daemon.until(() => daemon.calls.includes('1 sync shop'));
  daemon.file = SECOND;
  expect(await daemon.reload()).toMatchObject({ kind: 'applied', plan: { kind: 'waiting' } });
  // As when the watch was faster.
  expect(await daemon.reload()).toMatchObject({ kind: 'unchanged', plan: { kind: 'waiting' } });
  expect(daemon.control?.facts().pending_plan?.changes).toHaveLength(1);
  daemon.file = FIRST;
  expect(await daemon.reload()).toMatchObject({ kind: 'applied', plan: { kind: 'nothing_to_do' } });
  expect(daemon.control?.facts().pending_plan).toBeNull();
  await daemon.stop();
});

test('a stop in the middle of a swap answers whoever waits for the reload, and closes every engine', async () => {
  const daemon = new Changing((engine) =>
    engine === 1
      ? {
          sync: (_request, signal) =>
            new Promise((_resolve, reject) => {
              signal.addEventListener('abort', () => reject(signal.reason), { once: true });
            }),
        }
      : {},
  );
  await daemon.until(() => daemon.calls.includes('1 sync shop'));
  daemon.file = SECOND;
  const reload = daemon.reload();
  await daemon.until(() => daemon.said('going over to the changed config') > 0);
  await daemon.stop();
  expect(await reload).toMatchObject({ kind: 'failed', error: { code: 'CANCELLED' } });
  expect(daemon.calls.filter((call) => call.endsWith(' close')).sort()).toEqual(['1 close', '2 close']);
  expect(daemon.said('the changed config is not used; the last good one goes on')).toBe(0);
});

test('a source that is held back is told with its reason', async () => {
  const daemon = new Changing(() => ({
    sync: () => {
      throw new SluiceError({ code: 'SLOT_LOST', message: 'the slot is lost' });
    },
  }));
  await daemon.until(() => (daemon.control?.facts().held_sources.length ?? 0) > 0);
  expect(daemon.control?.facts().held_sources).toEqual([
    { source: 'shop', error: { code: 'SLOT_LOST', message: 'the slot is lost' }, retry_at: null },
  ]);
  await daemon.stop();
});

describe('files that the config names', () => {
  const NAMING: Config = {
    ...FIRST,
    state: {
      ...{ type: 's3', bucket: 'b', key: 'k', localPath: '/tmp/state' },
      access: { ...SAMPLE_ACCESS, caFile: '/run/store.pem' },
    },
    alerts: [{ type: 'webhook', url: { kind: 'file', path: '/run/hook' }, headers: {}, timeoutMs: 1_000, on: [] }],
  };

  test('are watched; one of a connection has what was held back tried at once', async () => {
    let mended = false;
    const lost: PlainError = { code: 'SLOT_LOST', message: 'the slot is lost' };
    const sync = (): SyncReport => ({ sources: [emptyRun('shop', mended ? null : lost)], ok: mended });
    const daemon = new Changing(() => ({ sync }), NAMING);
    await daemon.until(() => daemon.control?.facts().held_sources[0]?.retry_at === null);
    expect(daemon.beside).toEqual(['/run/hook', '/run/store.pem']);
    mended = true;
    const before = daemon.calls.length;
    daemon.onChange('/run/hook');
    await daemon.until(() => daemon.calls.slice(before).includes('1 sync shop'));
    expect(daemon.control?.facts().held_sources).toEqual([]);
    expect(daemon.said('a file that the config names has changed')).toBe(1);
    await daemon.stop();
  });

  test('of a store need another engine, though the config is the same', async () => {
    const daemon = new Changing(() => ({}), NAMING);
    await daemon.until(() => daemon.calls.includes('1 sync shop'));
    daemon.onChange('/run/store.pem');
    await daemon.until(() => daemon.calls.includes('2 sync shop'));
    expect(daemon.calls).toContain('1 close');
    await daemon.stop();
  });
});

/** A sync that a command asks for, and that goes on until its signal aborts or the test lets it end. */
function askedSync(): { readonly answers: FakeAnswers; begun: boolean; end: () => void } {
  const asked = { begun: false, end: (): void => undefined };
  const sync: FakeAnswers['sync'] = (request, signal) => {
    if (!request.force) return { sources: [], ok: true };
    asked.begun = true;
    return new Promise((resolve, reject) => {
      asked.end = () => resolve({ sources: [], ok: true });
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
  };
  return Object.assign(asked, { answers: { sync } });
}

const ASKED: AskedCall = {
  configHash: FIRST.hash,
  call: { call: 'sync', request: { address: 'shop', untilCaughtUp: false, force: true } },
};
const never = new AbortController().signal;

test('what a command asks for ends before another config takes over, whose commands have to wait', async () => {
  const asked = askedSync();
  const daemon = new Changing((engine) => (engine === 1 ? asked.answers : {}));
  await daemon.until(() => daemon.calls.includes('1 sync shop'));
  const call = daemon.control?.call(ASKED, () => undefined, never);
  await daemon.until(() => asked.begun);
  daemon.file = SECOND;
  const reload = daemon.reload();
  await daemon.until(() => daemon.said('going over to the changed config') > 0);
  const late = daemon.control?.call(ASKED, () => undefined, never);
  await expect(late).rejects.toMatchObject({ code: 'DAEMON_STOPPED' });
  expect(daemon.calls).not.toContain('1 close');
  asked.end();
  expect(await call).toEqual({ sources: [], ok: true });
  expect((await reload).kind).toBe('applied');
  await expect(daemon.control?.call(ASKED, () => undefined, never)).rejects.toMatchObject({
    code: 'DAEMON_STOPPED',
    message: expect.stringContaining('another config'),
  });
  await daemon.stop();
});

test('what a command asks for is broken off when it takes too long', async () => {
  const asked = askedSync();
  const daemon = new Changing((engine) => (engine === 1 ? asked.answers : {}));
  await daemon.until(() => daemon.calls.includes('1 sync shop'));
  const call = daemon.control?.call(ASKED, () => undefined, never);
  await daemon.until(() => asked.begun);
  daemon.file = SECOND;
  const reload = daemon.reload();
  await daemon.until(() => daemon.said('going over to the changed config') > 0);
  daemon.clock.losePatience();
  await expect(call).rejects.toMatchObject({
    code: 'DAEMON_STOPPED',
    message: expect.stringContaining('went over to another config'),
  });
  expect((await reload).kind).toBe('applied');
  await daemon.stop();
});

test('a stop breaks off what a command asks for, and a command that cancels ends only its own', async () => {
  const asked = askedSync();
  const daemon = new Changing(() => asked.answers);
  await daemon.until(() => daemon.calls.includes('1 sync shop'));
  const cancelling = new AbortController();
  const cancelled = daemon.control?.call(ASKED, () => undefined, cancelling.signal);
  await daemon.until(() => asked.begun);
  cancelling.abort(new SluiceError({ code: 'CANCELLED', message: 'by a person' }));
  await expect(cancelled).rejects.toMatchObject({ code: 'CANCELLED', message: 'by a person' });
  asked.begun = false;
  const call = daemon.control?.call(ASKED, () => undefined, never);
  call?.catch(() => undefined);
  await daemon.until(() => asked.begun);
  await daemon.stop();
  await expect(call).rejects.toMatchObject({ code: 'DAEMON_STOPPED', message: expect.stringContaining('stopped') });
});

test('a state that a command has changed is planned for anew, and what is due by it is synced', async () => {
  const daemon = new Changing();
  await daemon.until(() => daemon.calls.includes('1 sync shop'));
  const call = { call: 'resync', addresses: ['shop'], reason: 'asked for' } as const;
  expect(await daemon.control?.call({ configHash: FIRST.hash, call }, () => undefined, never)).toEqual(['shop']);
  const since = daemon.calls.length;
  await daemon.until(() => daemon.calls.slice(since).includes('1 plan'));
  const planned = since + daemon.calls.slice(since).indexOf('1 plan');
  await daemon.until(() => daemon.calls.slice(planned).includes('1 sync shop'));
  expect(daemon.calls.filter((each) => each === '1 plan')).toHaveLength(2);
  await daemon.stop();
});

test('events of what a command asks for are its own, and those of the loop are not', async () => {
  const sync: FakeAnswers['sync'] = async (request, _signal, { onEvent }) => {
    await new Promise((resolve) => setImmediate(resolve));
    onEvent({ kind: 'notice', address: request.force ? 'asked' : 'loop', message: 'm' });
    return { sources: [], ok: true };
  };
  const daemon = new Changing(() => ({ sync }));
  await daemon.until(() => daemon.calls.includes('1 sync shop'));
  const heard: string[] = [];
  await daemon.control?.call(
    ASKED,
    (event) => heard.push(`${event.kind} ${'address' in event ? event.address : ''}`),
    never,
  );
  expect(heard).toEqual(['notice asked']);
  await daemon.stop();
});
