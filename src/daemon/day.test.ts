import { expect, test } from 'vitest';
import { quietDaemon } from '../../test/fake/daemon.js';
import { FakeEngine, fakeConfig } from '../../test/fake/engine.js';
import { SimulatedClock } from '../../test/fake/simulated-clock.js';
import type { Schedule } from '../config/config.js';
import type { DestinationFacts } from '../destination/facts.js';
import type { ErrorCode } from '../error/codes.js';
import { dueWork } from '../executor/due.js';
import { emptyRun, emptyTableRun } from '../executor/empty-run.js';
import type { SourceRun, TableRun } from '../executor/engine.js';
import { TableHolds } from '../executor/table-holds.js';
import { sampleFacts } from '../planner/sample-world.js';
import { sampleSource, sampleTable } from '../state/sample-state.js';
import { scheduleState } from '../state/schedule-state.js';
import type { SourceState } from '../state/state.js';
import { runDaemon } from './daemon.js';

/**
 * Days of the daemon under a clock that is told: the real lanes, the real rules of what is due and of what is held, over
 * tables whose runs take random times.
 */

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A source of a day: a table for each schedule, of which the first is a cdc table, whose runs are the stream's. */
interface DaySource {
  readonly schedules: readonly Schedule[];
  /** How long a table's run takes at most. */
  readonly maxRunMs: number;
  /** The first run of its last table that begins after this takes so long. */
  readonly load?: { readonly afterMs: number; readonly ms: number };
  /** Runs of its last table fail in this time. */
  readonly trouble?: { readonly fromMs: number; readonly toMs: number; readonly code: ErrorCode };
}

interface Day {
  readonly start: string;
  readonly hours: number;
  readonly sources: Readonly<Record<string, DaySource>>;
  readonly asleep?: { readonly fromMs: number; readonly ms: number };
}

interface Run {
  readonly startMs: number;
  readonly endMs: number;
  readonly failed: boolean;
}

/** One source as the engine sees it: what was applied of it, and what came of its runs. */
class SimulatedSource {
  /** Of each table, in the order of the schedules. */
  readonly runs: readonly Run[][];
  readonly #name: string;
  readonly #day: DaySource;
  readonly #clock: SimulatedClock;
  readonly #holds: TableHolds;
  readonly #random: () => number;
  readonly #keys: readonly string[];
  readonly #state: SourceState;
  #atWork = false;

  constructor(name: string, day: DaySource, clock: SimulatedClock, holds: TableHolds) {
    this.#name = name;
    this.#day = day;
    this.#clock = clock;
    this.#holds = holds;
    this.#random = seeded(20_260_302);
    this.#keys = day.schedules.map((_, i) => `public.t${i + 1}`);
    this.#state = sampleSource({
      tables: Object.fromEntries(
        day.schedules.map((schedule, i) => [
          this.#keys[i],
          sampleTable({
            method: i === 0 ? 'cdc' : 'incremental',
            schedule: scheduleState(schedule),
            cursor: i === 0 ? null : 'id',
          }),
        ]),
      ),
    });
    this.runs = day.schedules.map(() => []);
  }

  async sync(signal: AbortSignal): Promise<SourceRun> {
    expect(this.#atWork, `two syncs of ${this.#name} at once`).toBe(false);
    this.#atWork = true;
    const now = this.#clock.now();
    const held = this.#holds.verdicts(this.#name, this.#state, now);
    const request = { only: null, force: false, following: false, followedElsewhere: false, held };
    const due = dueWork({ ...request, source: this.#name }, this.#state, this.#facts(), now);
    const tables: TableRun[] = [];
    for (const [i, key] of this.#keys.entries()) {
      if (i === 0 ? !due.stream : !due.tables.has(key)) continue;
      tables.push(await this.#runTable(i, key, signal));
    }
    const run = { ...emptyRun(this.#name, null), tables };
    this.#holds.note(run, this.#state, this.#clock.now());
    this.#atWork = false;
    return run;
  }

  async #runTable(i: number, key: string, signal: AbortSignal): Promise<TableRun> {
    const startMs = this.#clock.now().getTime();
    const { load, trouble, maxRunMs } = this.#day;
    const isLast = i === this.#keys.length - 1;
    const loads = isLast && load !== undefined && startMs >= load.afterMs && !this.#isLoaded(i);
    await this.#clock.sleep(loads ? load.ms : Math.ceil(this.#random() * maxRunMs), signal);
    const failed = isLast && trouble !== undefined && startMs >= trouble.fromMs && startMs < trouble.toMs;
    this.runs[i]?.push({ startMs, endMs: this.#clock.now().getTime(), failed });
    const error = failed ? { code: trouble.code, message: 'the table is in trouble' } : null;
    return emptyTableRun(`${this.#name}:${key}`, i === 0 ? 'stream' : 'incremental', error);
  }

  #isLoaded(i: number): boolean {
    const { load } = this.#day;
    return this.runs[i]?.some(({ startMs }) => load !== undefined && startMs >= load.afterMs) ?? false;
  }

  /** A destination records when a table was last tried, also where that failed. */
  #facts(): DestinationFacts {
    const lastEnd = (i: number): string | null => {
      const last = this.runs[i]?.at(-1);
      return last === undefined ? null : new Date(last.endMs).toISOString();
    };
    const streamed = lastEnd(0);
    const stream = {
      source: this.#name,
      slot: `sluice_${this.#name}`,
      confirmedLsn: '0/1',
      systemIdentifier: '1',
      timelineId: 1,
      slotCreatedLsn: '0/1',
      unseen: [],
    };
    return {
      exists: true,
      foreignTables: [],
      streams: streamed === null ? [] : [{ ...stream, updatedAt: streamed, confirmedAt: streamed }],
      tables: this.#keys.map((key, i) =>
        sampleFacts(`${this.#name}:${key}`, { loadedGeneration: 1, lastRunAt: lastEnd(i) }),
      ),
    };
  }
}

/** By source the runs of each of its tables, in the order of the schedules. */
async function live(day: Day): Promise<Record<string, Run[][]>> {
  const clock = new SimulatedClock(day.start, day.asleep ?? null);
  const endMs = clock.now().getTime() + day.hours * HOUR;
  const stop = new AbortController();
  const holds = new TableHolds();
  const sources = new Map(
    Object.entries(day.sources).map(([name, each]) => [name, new SimulatedSource(name, each, clock, holds)]),
  );
  const config = fakeConfig(
    Object.fromEntries(Object.entries(day.sources).map(([name, each]) => [name, each.schedules])),
  );
  const ended = clock.sleep(endMs - clock.now().getTime(), stop.signal).then(() => stop.abort());
  await runDaemon(
    {
      ...quietDaemon(config),
      clock,
      createEngine: async (deps) =>
        new FakeEngine(deps, {
          guard: () => undefined,
          heldTables: (source) => holds.of(source),
          sync: async (request, signal) => {
            const source = sources.get(request.address ?? '');
            if (source === undefined) throw new Error(`no source ${request.address}`);
            const run = await source.sync(signal);
            return { sources: [run], ok: run.tables.every((table) => table.error === null) };
          },
        }),
    },
    stop.signal,
  );
  await ended;
  // A machine that slept goes on for longer than the day.
  const ofTheDay = (runs: readonly Run[]): Run[] => runs.filter(({ startMs }) => startMs < endMs);
  return Object.fromEntries([...sources].map(([name, { runs }]) => [name, runs.map(ofTheDay)]));
}

function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function expectNoOverlap(runs: readonly Run[]): void {
  for (const [i, { startMs }] of runs.entries()) expect(startMs).toBeGreaterThanOrEqual(runs[i - 1]?.endMs ?? 0);
}

/** Every moment of `ticks` has one run, which began before the next one; nothing else ran but the first time. */
function expectOneRunATick(runs: readonly Run[], ticks: readonly number[]): void {
  const [first, ...later] = runs;
  expect(first).toBeDefined();
  const begun = later.map(({ startMs }) => ticks.findLastIndex((tick) => tick <= startMs));
  expect(begun).toEqual(ticks.map((_, index) => index));
}

/** The moments of a whole minute at which a clock on the wall shows one of these minutes of an hour, or of a day. */
function wallTicks(
  fromMs: number,
  toMs: number,
  timezone: string,
  shows: (hour: number, minute: number) => boolean,
): number[] {
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: timezone,
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  });
  const ticks: number[] = [];
  for (let ms = Math.ceil(fromMs / MINUTE) * MINUTE; ms < toMs; ms += MINUTE) {
    const [hour = 0, minute = 0] = format.format(ms).split(':').map(Number);
    if (shows(hour, minute)) ticks.push(ms);
  }
  return ticks;
}

const gridTicks = (fromMs: number, toMs: number, everyMs: number): number[] => {
  const ticks: number[] = [];
  for (let ms = Math.ceil(fromMs / everyMs) * everyMs; ms < toMs; ms += everyMs) ticks.push(ms);
  return ticks;
};

const every = (everyMs: number): Schedule => ({ kind: 'every', everyMs });
const cron = (text: string, timezone: string): Schedule => ({ kind: 'cron', cron: text, timezone });

/** A day and a half around a change of the clocks; `nightly` is in the hour that is left out or comes twice. */
const CHANGES = [
  { zone: 'Europe/Berlin', start: '2026-03-28T12:03:00Z', nightly: '30 2 * * *', at: ['2026-03-29T01:00:00Z'] },
  { zone: 'Europe/Berlin', start: '2026-10-24T12:03:00Z', nightly: '30 2 * * *', at: ['2026-10-25T00:30:00Z'] },
  { zone: 'America/New_York', start: '2026-03-07T12:03:00Z', nightly: '30 2 * * *', at: ['2026-03-08T07:00:00Z'] },
  { zone: 'America/New_York', start: '2026-10-31T12:03:00Z', nightly: '30 1 * * *', at: ['2026-11-01T05:30:00Z'] },
  // By half an hour only.
  { zone: 'Australia/Lord_Howe', start: '2026-04-04T03:03:00Z', nightly: '45 1 * * *', at: ['2026-04-04T14:45:00Z'] },
  { zone: 'Australia/Lord_Howe', start: '2026-10-03T03:03:00Z', nightly: '15 2 * * *', at: ['2026-10-03T15:30:00Z'] },
];

test.each(CHANGES)(
  '24 hours in $zone from $start: no tick is lost, doubled or late, no run overlaps',
  async (change) => {
    const { zone, start, nightly, at } = change;
    const schedules = [
      every(5 * MINUTE),
      every(7 * MINUTE),
      every(HOUR),
      cron('*/15 * * * *', zone),
      cron('10 * * * *', zone),
      cron(nightly, zone),
    ];
    const { shop: runs = [] } = await live({
      start,
      hours: 24,
      sources: { shop: { schedules, maxRunMs: 40 * SECOND } },
    });
    for (const each of runs) expectNoOverlap(each);

    const fromMs = Date.parse(start);
    const toMs = fromMs + DAY;
    const [stream = [], seven = [], hourly = [], quarters = [], tens = [], nights = []] = runs;
    expectOneRunATick(stream, gridTicks(fromMs, toMs, 5 * MINUTE));
    // A tick right after the first run is passed over.
    expectOneRunATick(seven, gridTicks(fromMs + 0.7 * MINUTE, toMs, 7 * MINUTE));
    expectOneRunATick(hourly, gridTicks(fromMs, toMs, HOUR));
    expectOneRunATick(
      quarters,
      wallTicks(fromMs, toMs, zone, (_, minute) => minute % 15 === 0),
    );
    expectOneRunATick(
      tens,
      wallTicks(fromMs, toMs, zone, (_, minute) => minute === 10),
    );
    expectOneRunATick(
      nights,
      at.map((text) => Date.parse(text)),
    );
  },
);

test('a machine that slept for six hours runs each table once, and goes on by the schedule', async () => {
  const start = '2026-03-02T00:01:00Z';
  const fromMs = Date.parse(start);
  const asleep = { fromMs: Date.parse('2026-03-02T08:50:30Z'), ms: 6 * HOUR };
  const wokeMs = asleep.fromMs + asleep.ms;
  const schedules = [every(5 * MINUTE), every(HOUR), cron('*/10 * * * *', 'Europe/Berlin'), cron('0 12 * * *', 'UTC')];
  const shop = { schedules, maxRunMs: 20 * SECOND };
  const { shop: runs = [] } = await live({ start, hours: 24, sources: { shop }, asleep });
  const asleepOr = (ticks: number[]): number[] => {
    // What was missed counts once, at the wake.
    const missed = ticks.some((tick) => tick > asleep.fromMs && tick <= wokeMs);
    const lived = ticks.filter((tick) => tick <= asleep.fromMs || tick > wokeMs);
    return missed ? [...lived, wokeMs].sort((a, b) => a - b) : lived;
  };
  const toMs = fromMs + DAY;
  const [stream = [], hourly = [], tens = [], noon = []] = runs;
  for (const each of runs) expectNoOverlap(each);
  expectOneRunATick(stream, asleepOr(gridTicks(fromMs, toMs, 5 * MINUTE)));
  expectOneRunATick(hourly, asleepOr(gridTicks(fromMs, toMs, HOUR)));
  expectOneRunATick(tens, asleepOr(gridTicks(fromMs, toMs, 10 * MINUTE)));
  expectOneRunATick(noon, [wokeMs]);
});

const STREAMED = [every(5 * MINUTE), every(15 * MINUTE), every(HOUR)];

test('a load that lasts for hours delays nothing but its own source, which catches up once', async () => {
  const start = '2026-03-02T00:01:00Z';
  const fromMs = Date.parse(start);
  const toMs = fromMs + DAY;
  const loadAt = Date.parse('2026-03-02T03:00:00Z');
  const { shop = [], crm = [] } = await live({
    start,
    hours: 24,
    sources: {
      shop: { schedules: STREAMED, maxRunMs: 10 * SECOND, load: { afterMs: loadAt, ms: 7 * HOUR } },
      crm: { schedules: STREAMED, maxRunMs: 10 * SECOND },
    },
  });
  for (const each of [...shop, ...crm]) expectNoOverlap(each);
  for (const [i, everyMs] of [5 * MINUTE, 15 * MINUTE, HOUR].entries()) {
    expectOneRunATick(crm[i] ?? [], gridTicks(fromMs + everyMs / 10, toMs, everyMs));
    // Each tick begins what it is for within the time that the other tables of the source take.
    for (const { startMs } of crm[i]?.slice(1) ?? []) expect(startMs % everyMs).toBeLessThan(30 * SECOND);
  }
  const load = shop[2]?.find(({ startMs, endMs }) => endMs - startMs >= 7 * HOUR);
  const loadedMs = load?.endMs ?? 0;
  expect(loadedMs).toBeGreaterThan(loadAt + 7 * HOUR);
  const [stream = []] = shop;
  const during = stream.filter(({ startMs }) => startMs > (load?.startMs ?? 0) && startMs < loadedMs);
  expect(during).toEqual([]);
  const after = stream.filter(({ startMs }) => startMs >= loadedMs);
  expect(after[0]?.startMs).toBeLessThan(loadedMs + MINUTE);
  const caughtUp = gridTicks(loadedMs + 0.5 * MINUTE, toMs, 5 * MINUTE);
  expect(Math.abs(after.length - 1 - caughtUp.length)).toBeLessThanOrEqual(1);
});

test('a table that fails for hours is tried ever more rarely, and its neighbours keep their ticks', async () => {
  const start = '2026-03-02T00:01:00Z';
  const fromMs = Date.parse(start);
  const trouble = {
    fromMs: Date.parse('2026-03-02T04:00:00Z'),
    toMs: Date.parse('2026-03-02T10:00:00Z'),
    code: 'SOURCE_SQL_FAILED' as const,
  };
  const { shop = [] } = await live({
    start,
    hours: 24,
    sources: { shop: { schedules: STREAMED, maxRunMs: SECOND, trouble } },
  });
  const [stream = [], neighbour = [], failing = []] = shop;
  for (const each of shop) expectNoOverlap(each);
  expectOneRunATick(stream, gridTicks(fromMs + 0.5 * MINUTE, fromMs + DAY, 5 * MINUTE));
  expectOneRunATick(neighbour, gridTicks(fromMs + 1.5 * MINUTE, fromMs + DAY, 15 * MINUTE));

  const failures = failing.filter((run) => run.failed);
  const waits = failures.slice(1).map(({ startMs }, i) => startMs - (failures[i]?.endMs ?? 0));
  expect(waits.slice(0, 7)).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000]);
  // A neighbour may have its turn first.
  for (const wait of waits.slice(7)) expect(Math.floor(wait / (10 * SECOND))).toBe(6);
  // Well again with the first try after the trouble, and from then on by its schedule.
  const well = failing.filter(({ startMs }) => startMs >= trouble.toMs);
  expect(well[0]?.startMs).toBeLessThan(trouble.toMs + 2 * MINUTE);
  expectOneRunATick(well, gridTicks((well[0]?.endMs ?? 0) + 6 * MINUTE, fromMs + DAY, HOUR));
});

test('a table that waits for a person is tried once an hour', async () => {
  const start = '2026-03-02T00:01:00Z';
  const trouble = {
    fromMs: Date.parse('2026-03-02T02:00:00Z'),
    toMs: Date.parse('2026-03-02T08:00:00Z'),
    code: 'KEY_NOT_REPRESENTABLE' as const,
  };
  const shop = { schedules: [every(5 * MINUTE), every(10 * MINUTE)], maxRunMs: SECOND, trouble };
  const { shop: [, failing = []] = [] } = await live({ start, hours: 12, sources: { shop } });
  const failures = failing.filter((run) => run.failed);
  const waits = failures.slice(1).map(({ startMs }, i) => Math.round((startMs - (failures[i]?.endMs ?? 0)) / MINUTE));
  expect(waits).toEqual([60, 60, 60, 60, 60]);
});

test('1,000 tables of each of several sources: each has its turn in each interval, and nobody is starved', async () => {
  const start = '2026-03-02T00:01:00Z';
  const fromMs = Date.parse(start);
  const many = { schedules: Array.from({ length: 1_000 }, () => every(15 * MINUTE)), maxRunMs: SECOND };
  const few = { schedules: [every(MINUTE)], maxRunMs: SECOND };
  const {
    shop = [],
    crm = [],
    quick: [quick = []] = [],
  } = await live({
    start,
    hours: 4,
    sources: { shop: many, crm: many, quick: few },
  });
  const ticks = gridTicks(fromMs + 90 * SECOND, fromMs + 4 * HOUR, 15 * MINUTE);
  for (const each of [...shop, ...crm]) {
    expectNoOverlap(each);
    expect(Math.abs(each.length - 1 - ticks.length)).toBeLessThanOrEqual(1);
  }
  expectOneRunATick(quick, gridTicks(fromMs + 6 * SECOND, fromMs + 4 * HOUR, MINUTE));
});
