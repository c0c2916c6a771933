import { describe, expect, test } from 'vitest';
import { quietDaemon } from '../../test/fake/daemon.js';
import {
  EMPTY_STATUS,
  FAKE_HOST,
  type FakeAnswers,
  FakeEngine,
  fakeChange,
  fakeConfig,
  fakePlan,
} from '../../test/fake/engine.js';
import { SimulatedClock } from '../../test/fake/simulated-clock.js';
import type { Config, Schedule } from '../config/config.js';
import { type PlainError, SluiceError } from '../error/sluice-error.js';
import { emptyRun } from '../executor/empty-run.js';
import { runDaemon } from './daemon.js';
import type { Log } from './log.js';
import { NO_SERVICE } from './systemd/notifier.js';

const TEN_SECONDS: Schedule = { kind: 'every', everyMs: 10_000 };
const HOUR: Schedule = { kind: 'every', everyMs: 3_600_000 };

class CollectedLog implements Log {
  readonly lines: string[] = [];
  debug(): void {}
  info(_fields: object, message: string): void {
    this.lines.push(`info ${message}`);
  }
  warn(_fields: object, message: string): void {
    this.lines.push(`warn ${message}`);
  }
  error(_fields: object, message: string): void {
    this.lines.push(`error ${message}`);
  }
}

/** Runs the daemon until it has synced so often, each call noted with the second at which it came. */
async function runFor(
  syncs: number,
  config: Config,
  answers: FakeAnswers = {},
  onGuard: FakeAnswers['guard'] = () => {},
) {
  const clock = new SimulatedClock();
  const log = new CollectedLog();
  const controller = new AbortController();
  const startMs = clock.monotonicMs();
  const timeline: string[] = [];
  let engine: FakeEngine | undefined;
  let left = syncs;
  await runDaemon(
    {
      ...quietDaemon(config),
      clock,
      log,
      createEngine: async (deps) => {
        engine = new FakeEngine(deps, {
          ...answers,
          guard: onGuard,
          sync: async (request, signal, engineDeps) => {
            timeline.push(`${(clock.monotonicMs() - startMs) / 1_000} s ${request.address ?? 'all'}`);
            left -= 1;
            if (left <= 0) controller.abort();
            return (await answers.sync?.(request, signal, engineDeps)) ?? { sources: [], ok: true };
          },
        });
        return engine;
      },
    },
    controller.signal,
  );
  return { timeline, calls: engine?.calls ?? [], log: log.lines };
}

describe('ticks', () => {
  test('syncs at its start, then at the interval', async () => {
    const { timeline, calls, log } = await runFor(3, fakeConfig({ shop: [TEN_SECONDS] }));
    expect(timeline).toEqual(['0 s shop', '10 s shop', '20 s shop']);
    expect(calls.at(-1)).toBe('close');
    expect(log).toEqual(['info daemon started', 'info no changes to apply', 'info daemon stopped']);
  });

  test('looks every minute for loads that others queued', async () => {
    const { timeline } = await runFor(3, fakeConfig({ shop: [HOUR] }));
    expect(timeline).toEqual(['0 s shop', '60 s shop', '120 s shop']);
  });

  test('never asks for more than what is due', async () => {
    const { calls } = await runFor(2, fakeConfig({ shop: [TEN_SECONDS] }));
    expect(calls).toEqual(['plan', 'sync shop', 'sync shop', 'close']);
  });
});

describe('lakes', () => {
  test('are looked after behind a sync, until the next one is due, and when they ask for it', async () => {
    const untils: string[] = [];
    const { calls } = await runFor(5, fakeConfig({ shop: [TEN_SECONDS] }), {
      maintain: (until) => {
        untils.push(until('shop').toISOString());
        return new Date(until('shop').getTime() + 15_000);
      },
    });
    // Asked again at 25 s, which is no moment of a sync.
    expect(untils).toEqual(['2026-03-02T12:00:10.000Z', '2026-03-02T12:00:30.000Z']);
    expect(calls.slice(0, 4)).toEqual(['plan', 'sync shop', 'maintain', 'sync shop']);
  });

  test('that are in trouble stop no sync', async () => {
    const { timeline, log } = await runFor(3, fakeConfig({ shop: [TEN_SECONDS] }), {
      maintain: () => {
        throw new SluiceError({ code: 'STATE_LOCKED', message: 'somebody applies' });
      },
    });
    expect(timeline).toEqual(['0 s shop', '10 s shop', '20 s shop']);
    expect(log.filter((line) => line.startsWith('warn'))).toEqual(['warn lakes could not be looked after']);
  });
});

test('a table that is altered in the source is planned for, once', async () => {
  const drifted = { ...emptyRun('shop', null), newColumns: ['shop:public.t.c'] };
  let syncs = 0;
  const { calls, log } = await runFor(4, fakeConfig({ shop: [TEN_SECONDS] }), {
    sync: () => {
      syncs += 1;
      return { ok: true, sources: [syncs < 2 ? emptyRun('shop', null) : drifted] };
    },
  });
  expect(calls).toEqual(['plan', 'sync shop', 'sync shop', 'plan', 'sync shop', 'sync shop', 'close']);
  expect(log.filter((line) => line.includes('altered'))).toEqual([
    'info tables were altered in the source, planning anew',
  ]);
});

describe('trouble', () => {
  const unreachable: PlainError = { code: 'SOURCE_UNREACHABLE', message: 'nothing answers' };

  test('a source in trouble backs off, the others keep their pace', async () => {
    const { timeline, log } = await runFor(9, fakeConfig({ shop: [TEN_SECONDS], crm: [TEN_SECONDS] }), {
      sync: ({ address }) => ({
        ok: address === 'crm',
        sources: [address === 'crm' ? emptyRun('crm', null) : emptyRun('shop', unreachable)],
      }),
    });
    // 0.5, 1, 2, 4, 8 s after one another, as its rule says.
    expect(timeline).toEqual([
      '0 s shop',
      '0 s crm',
      '0.5 s shop',
      '1.5 s shop',
      '3.5 s shop',
      '7.5 s shop',
      '10 s crm',
      '15.5 s shop',
      '20 s crm',
    ]);
    expect(log.filter((line) => line.includes('trouble'))).toEqual([
      'warn source in trouble, trying again',
      'warn source in trouble, trying again',
      'warn source in trouble, trying again',
      'warn source in trouble, trying again',
      'error source in trouble, trying again',
      'error source in trouble, trying again',
    ]);
  });

  test('a sync that lasts for hours delays no other source', async () => {
    let loaded = false;
    const { timeline } = await runFor(5, fakeConfig({ shop: [TEN_SECONDS], crm: [TEN_SECONDS] }), {
      sync: async ({ address }, signal) => {
        if (address !== 'shop') return { ok: true, sources: [emptyRun('crm', null)] };
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
        loaded = true;
        return { ok: true, sources: [emptyRun('shop', null)] };
      },
    });
    expect(timeline).toEqual(['0 s shop', '0 s crm', '10 s crm', '20 s crm', '30 s crm']);
    expect(loaded).toBe(false);
  });

  test('a source that was not applied is no source in trouble', async () => {
    const { timeline, calls, log } = await runFor(2, fakeConfig({ shop: [TEN_SECONDS] }), {
      sync: () => {
        throw new SluiceError({ code: 'ADDRESS_UNKNOWN', message: 'nothing has been applied yet' });
      },
    });
    expect(timeline).toEqual(['0 s shop', '10 s shop']);
    expect(calls).toEqual(['plan', 'sync shop', 'sync shop', 'close']);
    expect(log.filter((line) => line.includes('trouble') || line.includes('stopped until'))).toEqual([]);
  });

  test('a stopped source waits until the state changes, and looks for that every minute', async () => {
    let serial = 3;
    let ticks = 0;
    const { timeline, log } = await runFor(16, fakeConfig({ shop: [TEN_SECONDS], crm: [TEN_SECONDS] }), {
      sync: ({ address }) => {
        if (address === 'crm') ticks += 1;
        if (ticks === 8) serial = 4;
        const lost: PlainError = { code: 'SLOT_LOST', message: 'the slot is gone' };
        return { ok: true, sources: [emptyRun(address ?? '', address === 'shop' && serial === 3 ? lost : null)] };
      },
      status: () => ({ ...EMPTY_STATUS, state: { lineage: 'lineage-1', serial } }),
    });
    expect(timeline.filter((line) => line.endsWith('shop')).slice(0, 2)).toEqual(['0 s shop', '120 s shop']);
    expect(log).toContain('info the state has changed, trying the stopped source again');
  });

  test('who is to be alerted hears of a stopped source once, and of a dropped slot by the guard', async () => {
    const errors: Record<string, PlainError> = {
      shop: { code: 'SLOT_LOST', message: 'the slot is gone' },
      crm: { code: 'WAL_LAG_CRITICAL', message: 'the guard dropped the slot' },
    };
    const { calls } = await runFor(5, fakeConfig({ shop: [TEN_SECONDS], crm: [TEN_SECONDS], well: [TEN_SECONDS] }), {
      sync: ({ address }) => ({ ok: false, sources: [emptyRun(address ?? '', errors[address ?? ''] ?? null)] }),
    });
    expect(calls.filter((call) => call.startsWith('alertErrored'))).toEqual(['alertErrored shop SLOT_LOST']);
  });

  test('an error of the whole sync holds the source', async () => {
    let calls = 0;
    const { timeline, log } = await runFor(2, fakeConfig({ shop: [TEN_SECONDS] }), {
      sync: () => {
        calls += 1;
        if (calls === 1) throw new SluiceError({ code: 'STATE_LOCKED', message: 'held by pid 7' });
        return { ok: true, sources: [] };
      },
    });
    expect(timeline).toEqual(['0 s shop', '0.5 s shop']);
    expect(log).toContain('warn source in trouble, trying again');
  });
});

describe('sources with the continuous transport', () => {
  /** `shop` is followed, `crm` is not. */
  function followedConfig(): Config {
    const config = fakeConfig({ shop: [HOUR], crm: [TEN_SECONDS] });
    const { shop } = config.sources;
    if (shop === undefined) throw new Error('no shop');
    return {
      ...config,
      sources: { ...config.sources, shop: { ...shop, cdc: { ...shop.cdc, transport: 'continuous' } } },
    };
  }

  test('are followed once the config has been applied, beside the ticks of the others', async () => {
    const { calls, timeline, log } = await runFor(4, followedConfig());
    expect(calls.filter((call) => call.startsWith('follow'))).toEqual(['follow shop']);
    expect(calls.indexOf('follow shop')).toBeGreaterThan(calls.indexOf('plan'));
    expect(timeline).toHaveLength(4);
    expect(log).toContain('info following');
  });

  test('are held back by the rule of their error, and followed again', async () => {
    const lost: PlainError = { code: 'SOURCE_CONNECTION_LOST', message: 'it broke' };
    let follows = 0;
    const { calls, log } = await runFor(40, followedConfig(), {
      follow: (source, signal) => {
        follows += 1;
        if (follows < 3) return emptyRun(source, lost);
        return new Promise((resolve) => signal.addEventListener('abort', () => resolve(emptyRun(source, null))));
      },
    });
    expect(calls.filter((call) => call === 'follow shop')).toHaveLength(3);
    expect(log.filter((line) => line === 'warn source in trouble, trying again')).toHaveLength(2);
  });

  test('that are paused wait without an alarm', async () => {
    const { calls, log } = await runFor(6, followedConfig(), {
      follow: (source) => emptyRun(source, { code: 'PAUSED', message: 'shop is paused' }),
    });
    expect(calls.filter((call) => call === 'follow shop')).toHaveLength(1);
    expect(log).toContain('info source is paused until sluice resume');
    expect(log.filter((line) => line.startsWith('error') || line.startsWith('warn'))).toEqual([]);
  });

  test('that are stopped wait until the state changes', async () => {
    let serial = 3;
    let follows = 0;
    let ticks = 0;
    const { calls } = await runFor(12, followedConfig(), {
      follow: (source, signal) => {
        follows += 1;
        if (follows === 1) return emptyRun(source, { code: 'SLOT_LOST', message: 'the slot is gone' });
        return new Promise((resolve) => signal.addEventListener('abort', () => resolve(emptyRun(source, null))));
      },
      sync: (request) => {
        if (request.address === 'crm') ticks += 1;
        if (ticks === 3) serial = 4;
        return { ok: true, sources: [] };
      },
      status: () => ({ ...EMPTY_STATUS, state: { lineage: 'lineage-1', serial } }),
    });
    expect(calls.filter((call) => call === 'follow shop')).toHaveLength(2);
    expect(calls.indexOf('sync crm')).toBeLessThan(calls.lastIndexOf('follow shop'));
  });
});

describe('auto_apply', () => {
  test('applies additive changes at its start', async () => {
    const { calls } = await runFor(1, fakeConfig({ shop: [TEN_SECONDS] }), { plan: () => fakePlan([fakeChange()]) });
    expect(calls).toEqual(['plan', 'apply plan-1', 'sync shop', 'close']);
  });

  test('a source whose slot the guard dropped waits for a person, also where everything may be applied', async () => {
    const config = fakeConfig(
      { shop: [TEN_SECONDS] },
      { daemon: { http: null, socket: '/srv/.sluice/control.sock', autoApply: 'all' } },
    );
    const { calls, log } = await runFor(1, config, {
      plan: () => fakePlan([fakeChange()]),
      halts: () => new Map([['shop', { code: 'WAL_LAG_CRITICAL', message: 'dropped' }]]),
    });
    expect(calls).toEqual(['plan', 'sync shop', 'close']);
    expect(log).toContain('warn changes wait for sluice apply');
  });

  test('destructive changes wait and are logged once', async () => {
    const { calls, log } = await runFor(3, fakeConfig({ shop: [TEN_SECONDS] }), {
      plan: () => fakePlan([fakeChange({ destructive: true })]),
    });
    expect(calls.filter((call) => !call.startsWith('sync'))).toEqual(['plan', 'close']);
    expect(log.filter((line) => line === 'warn changes wait for sluice apply')).toHaveLength(1);
  });

  test('changes that wait are planned for anew once somebody has applied them elsewhere', async () => {
    let serial = 3;
    const { calls, log } = await runFor(5, fakeConfig({ shop: [TEN_SECONDS] }), {
      plan: (call) => (call === 1 ? fakePlan([fakeChange({ destructive: true })]) : fakePlan()),
      sync: () => {
        serial = 4;
        return { sources: [emptyRun('shop', null)], ok: true };
      },
      status: () => ({ ...EMPTY_STATUS, state: { lineage: 'lineage-1', serial } }),
    });
    expect(calls.filter((call) => !call.startsWith('sync'))).toEqual(['plan', 'plan', 'close']);
    expect(log).toContain('info no changes to apply');
  });

  test('a plan that fails is made again by the rule of its error; syncs go on', async () => {
    const { calls } = await runFor(2, fakeConfig({ shop: [HOUR] }), {
      plan: (call) => {
        if (call === 1) throw new SluiceError({ code: 'SOURCE_UNREACHABLE', message: 'nothing answers' });
        return fakePlan([fakeChange()]);
      },
    });
    expect(calls).toEqual(['plan', 'sync shop', 'plan', 'apply plan-1', 'sync shop', 'close']);
  });

  test('an apply that failed in part is planned again later', async () => {
    const change = fakeChange();
    const { calls, log } = await runFor(2, fakeConfig({ shop: [HOUR] }), {
      plan: () => fakePlan([change]),
      apply: () => [{ change, status: 'failed', error: { code: 'SLOT_IN_USE', message: 'held by pid 9' } }],
    });
    expect(calls).toEqual(['plan', 'apply plan-1', 'sync shop', 'plan', 'apply plan-1', 'sync shop', 'close']);
    expect(log.filter((line) => line === 'error the config could not be applied')).toHaveLength(1);
  });
});

describe('the guard', () => {
  test('looks every 15 seconds, beside a sync that hangs, until the stop', async () => {
    const looks: number[] = [];
    const { log } = await runFor(
      1,
      fakeConfig({ shop: [TEN_SECONDS] }),
      { sync: () => new Promise(() => undefined) },
      (everyMs) => looks.push(everyMs),
    );
    expect(looks).toEqual([15_000]);
    expect(log.at(-1)).toContain('stopped before the work under way had ended');
  });

  test('a fault of the guard ends the daemon: nothing runs unwatched', async () => {
    const running = runFor(5, fakeConfig({ shop: [TEN_SECONDS] }), {}, () => {
      throw new Error('a fault');
    });
    await expect(running).rejects.toThrow('a fault');
  });
});

test('a service manager hears when the daemon is ready and when it stops', async () => {
  const said: string[] = [];
  const stop = new AbortController();
  const config = fakeConfig({ shop: [HOUR], crm: [HOUR] });
  await runDaemon(
    {
      config,
      loadConfig: async () => config,
      watchConfig: null,
      onHangup: () => () => undefined,
      version: '1.2.3',
      statusDocument: (report) => JSON.stringify(report),
      clock: new SimulatedClock(),
      host: FAKE_HOST,
      log: new CollectedLog(),
      service: {
        ...NO_SERVICE,
        ready: async (text) => void said.push(`ready: ${text}`),
        stopping: async () => void said.push('stopping'),
        watch: async (signal) => void signal.addEventListener('abort', () => said.push('watched until the stop')),
      },
      createEngine: async (deps) =>
        new FakeEngine(deps, {
          sync: async () => {
            stop.abort();
            return { sources: [], ok: true };
          },
        }),
    },
    stop.signal,
  );
  expect(said).toEqual(['ready: 2 sources of /srv/sources.yaml', 'watched until the stop', 'stopping']);
});

describe('stopping', () => {
  test('a sync that rejects on abort ends the daemon quietly', async () => {
    const { log } = await runFor(1, fakeConfig({ shop: [TEN_SECONDS] }), {
      sync: (_request, signal) => {
        signal.throwIfAborted();
        return { ok: true, sources: [] };
      },
    });
    expect(log.at(-1)).toBe('info daemon stopped');
  });

  test('work that does not end is left behind', async () => {
    const { log } = await runFor(1, fakeConfig({ shop: [TEN_SECONDS] }), { sync: () => new Promise(() => undefined) });
    expect(log.at(-1)).toBe('warn stopped before the work under way had ended; the next start does it again');
  });
});
