import { describe, expect, test } from 'vitest';
import { fakeConfig } from '../../test/fake/engine.js';
import type { Schedule, SourceConfig } from '../config/config.js';
import { isTickDue, nextTickAt, type SourceTicks, tickAfter, ticksOf } from './schedule.js';

const FIVE_MINUTES: Schedule = { kind: 'every', everyMs: 300_000 };
const HOUR: Schedule = { kind: 'every', everyMs: 3_600_000 };
const NIGHTLY: Schedule = { kind: 'cron', cron: '0 3 * * *', timezone: 'UTC' };
const at = (text: string) => new Date(`2026-03-02T${text}Z`);

describe('ticksOf', () => {
  const sourceOf = (schedules: readonly Schedule[]): SourceConfig => {
    const { shop } = fakeConfig({ shop: schedules }).sources;
    if (shop === undefined) throw new Error('no shop');
    return shop;
  };

  test('one tick for each distinct schedule of a source', () => {
    const { ticks } = ticksOf(sourceOf([FIVE_MINUTES, { ...FIVE_MINUTES }, HOUR]));
    expect(ticks.map((tick) => tick.schedule)).toEqual([FIVE_MINUTES, HOUR]);
    expect(ticksOf(sourceOf([]))).toEqual({ source: 'shop', ticks: [] });
  });

  test('a disabled table does not tick', () => {
    const shop = sourceOf([HOUR]);
    const tables = shop.tables.map((entry) => ({ ...entry, table: { ...entry.table, enabled: false } }));
    expect(ticksOf({ ...shop, tables }).ticks).toEqual([]);
  });
});

describe('nextTickAt', () => {
  test.each<{ name: string; source: SourceTicks; next: Date | null; due: boolean }>([
    { name: 'no tables', source: { source: 'shop', ticks: [] }, next: null, due: false },
    {
      name: 'never ticked',
      source: { source: 'shop', ticks: [{ schedule: HOUR, lastAt: null }] },
      next: at('12:00:00'),
      due: true,
    },
    {
      name: 'the earliest of several',
      source: {
        source: 'shop',
        ticks: [
          { schedule: HOUR, lastAt: at('12:00:00') },
          { schedule: FIVE_MINUTES, lastAt: at('12:00:00') },
          { schedule: NIGHTLY, lastAt: at('03:00:00') },
        ],
      },
      next: at('12:05:00'),
      due: false,
    },
  ])('$name', (c) => {
    expect(nextTickAt(c.source, at('12:00:00'))).toEqual(c.next);
    expect(isTickDue(c.source, at('12:00:00'))).toBe(c.due);
  });
});

describe('tickAfter', () => {
  const minutely: Schedule = { kind: 'cron', cron: '* * * * *', timezone: 'UTC' };
  test.each<{ name: string; schedule: Schedule; lastAt: Date | null; next: Date }>([
    { name: 'an interval goes on by its grid', schedule: FIVE_MINUTES, lastAt: null, next: at('12:05:00') },
    {
      name: 'a cron tick that fell into the run is due at once',
      schedule: minutely,
      lastAt: null,
      next: at('12:01:00'),
    },
    { name: 'what was not due keeps its time', schedule: HOUR, lastAt: at('11:59:00'), next: at('13:00:00') },
  ])('$name', (c) => {
    const before: SourceTicks = { source: 'shop', ticks: [{ schedule: c.schedule, lastAt: c.lastAt }] };
    const after = tickAfter(before, at('12:00:00'));
    expect(nextTickAt(after, at('12:02:30'))).toEqual(c.next);
  });
});
