import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Schedule } from '../config/config.js';
import { dueAt, formatSchedule, isDue, mostFrequent, scheduleKey } from './schedule.js';

const NOW = new Date('2026-03-02T12:00:00Z');
const every = (everyMs: number): Schedule => ({ kind: 'every', everyMs });
const cron = (text: string, timezone = 'UTC'): Schedule => ({ kind: 'cron', cron: text, timezone });

/** Of the source "shop"; any number up to the jitter would do, as long as it is always the same. */
const SHOP_JITTER_OF_A_MINUTE = 33_179;

describe('dueAt', () => {
  test.each<{ name: string; last: string | null; schedule: Schedule; now?: string; due: string | null }>([
    { name: 'never ran: now', last: null, schedule: every(300_000), due: NOW.toISOString() },
    { name: 'never ran, cron: now', last: null, schedule: cron('0 3 * * *'), due: NOW.toISOString() },
    {
      name: 'every: the next tick of its grid after the last run',
      last: '2026-03-02T11:58:00Z',
      schedule: every(300_000),
      due: '2026-03-02T12:00:00.000Z',
    },
    {
      name: 'every: a run that took long is followed by the next tick',
      last: '2026-03-02T12:04:00Z',
      schedule: every(300_000),
      due: '2026-03-02T12:05:00.000Z',
    },
    {
      name: 'every: a tick right after a run is passed over',
      last: '2026-03-02T11:59:40Z',
      schedule: every(300_000),
      due: '2026-03-02T12:05:00.000Z',
    },
    {
      name: 'every: a day begins at midnight UTC',
      last: '2026-03-02T09:17:00Z',
      schedule: every(86_400_000),
      due: '2026-03-03T00:00:00.000Z',
    },
    {
      name: 'jitter moves the ticks of an interval',
      last: '2026-03-02T11:58:00Z',
      schedule: { ...every(300_000), jitterMs: 60_000 },
      due: new Date(Date.parse('2026-03-02T12:00:00Z') + SHOP_JITTER_OF_A_MINUTE).toISOString(),
    },
    {
      name: 'jitter moves those of a cron expression',
      last: '2026-03-02T11:51:00Z',
      schedule: { ...cron('*/10 * * * *'), jitterMs: 60_000 },
      due: new Date(Date.parse('2026-03-02T12:00:00Z') + SHOP_JITTER_OF_A_MINUTE).toISOString(),
    },
    {
      name: 'a run at a cron tick that jitter moved waits for the next one',
      last: new Date(Date.parse('2026-03-02T11:50:00Z') + SHOP_JITTER_OF_A_MINUTE).toISOString(),
      schedule: { ...cron('*/10 * * * *'), jitterMs: 60_000 },
      due: new Date(Date.parse('2026-03-02T12:00:00Z') + SHOP_JITTER_OF_A_MINUTE).toISOString(),
    },
    {
      name: 'a missed run is due at the moment it was missed',
      last: '2026-03-01T00:00:00Z',
      schedule: every(3_600_000),
      due: '2026-03-01T01:00:00.000Z',
    },
    {
      name: 'a last run in the future counts as now',
      last: '2031-01-01T00:00:00Z',
      schedule: every(60_000),
      due: '2026-03-02T12:01:00.000Z',
    },
    {
      name: 'cron: the next tick after the last run',
      last: '2026-03-02T11:51:00Z',
      schedule: cron('*/10 * * * *'),
      due: '2026-03-02T12:00:00.000Z',
    },
    {
      name: 'cron: a run at the tick waits for the next one',
      last: '2026-03-02T12:00:00Z',
      schedule: cron('*/10 * * * *'),
      due: '2026-03-02T12:10:00.000Z',
    },
    {
      name: 'cron in a timezone: 3 in the morning in Berlin',
      last: '2026-03-02T11:00:00Z',
      schedule: cron('0 3 * * *', 'Europe/Berlin'),
      due: '2026-03-03T02:00:00.000Z',
    },
    {
      name: 'cron at an hour that summer time skips runs right after the gap',
      last: '2026-03-28T12:00:00Z',
      schedule: cron('30 2 * * *', 'Europe/Berlin'),
      now: '2026-03-28T13:00:00Z',
      due: '2026-03-29T01:00:00.000Z',
    },
    {
      name: 'cron that never comes again',
      last: '2026-03-02T11:00:00Z',
      schedule: cron('0 0 30 2 *'),
      due: null,
    },
  ])('$name', (c) => {
    const now = c.now === undefined ? NOW : new Date(c.now);
    const last = c.last === null ? null : new Date(c.last);
    expect(dueAt(last, c.schedule, now, 'shop')?.toISOString() ?? null).toBe(c.due);
  });
});

test('ticks of an interval keep their distance, whatever the runs take', () => {
  const day = 86_400_000;
  fc.assert(
    fc.property(
      fc.integer({ min: 1_000, max: 7 * day }),
      fc.integer({ min: 0, max: 20_000 * day }),
      fc.double({ min: 0, max: 0.89, noNaN: true }),
      fc.nat({ max: 999 }),
      (everyMs, lastMs, part, jitterMs) => {
        const schedule = { ...every(everyMs), jitterMs };
        const now = new Date(lastMs);
        const first = dueAt(now, schedule, now, 'crm')?.getTime() ?? 0;
        expect(first - lastMs).toBeGreaterThan(0);
        expect(first - lastMs).toBeLessThanOrEqual(everyMs * 1.1 + 1);
        const ended = new Date(first + Math.floor(everyMs * part));
        expect(dueAt(ended, schedule, ended, 'crm')?.getTime()).toBe(first + everyMs);
      },
    ),
  );
});

test('jitter spreads sources over its length', () => {
  const now = new Date('2026-03-02T12:00:00Z');
  const schedule = { ...every(300_000), jitterMs: 60_000 };
  const offsets = Array.from({ length: 200 }, (_, i) => (dueAt(now, schedule, now, `s${i}`)?.getTime() ?? 0) % 300_000);
  expect(Math.min(...offsets)).toBeLessThan(3_000);
  expect(Math.max(...offsets)).toBeGreaterThan(57_000);
  expect(Math.max(...offsets)).toBeLessThanOrEqual(60_000);
  expect(new Set(offsets).size).toBeGreaterThan(190);
});

describe('isDue', () => {
  test.each<{ name: string; last: string | null; schedule: Schedule; due: boolean }>([
    { name: 'never ran', last: null, schedule: every(1), due: true },
    { name: 'just in time', last: '2026-03-02T11:55:00Z', schedule: every(300_000), due: true },
    { name: 'a tick to come', last: '2026-03-02T12:00:00Z', schedule: every(300_000), due: false },
    { name: 'cron tick passed', last: '2026-03-02T11:59:59Z', schedule: cron('0 12 * * *'), due: true },
    { name: 'cron tick to come', last: '2026-03-02T11:59:59Z', schedule: cron('0 13 * * *'), due: false },
  ])('$name', (c) => expect(isDue(c.last === null ? null : new Date(c.last), c.schedule, NOW, 'shop')).toBe(c.due));
});

describe('mostFrequent', () => {
  test.each<{ name: string; schedules: Schedule[]; best: Schedule | null }>([
    { name: 'none', schedules: [], best: null },
    { name: 'the shorter interval', schedules: [every(300_000), every(60_000)], best: every(60_000) },
    {
      name: 'a cron by the distance of its ticks',
      schedules: [every(900_000), cron('*/10 * * * *')],
      best: cron('*/10 * * * *'),
    },
    { name: 'the first of equals', schedules: [cron('* * * * *'), every(60_000)], best: cron('* * * * *') },
    {
      name: 'a cron without another tick loses',
      schedules: [cron('0 0 30 2 *'), every(86_400_000)],
      best: every(86_400_000),
    },
  ])('$name', (c) => expect(mostFrequent(c.schedules, NOW)).toEqual(c.best));
});

test('schedules with different timezones have different keys', () => {
  expect(scheduleKey(cron('0 3 * * *'))).not.toBe(scheduleKey(cron('0 3 * * *', 'Europe/Berlin')));
  expect(scheduleKey(every(60_000))).toBe(scheduleKey(every(60_000)));
});

test.each<{ name: string; schedule: Schedule; text: string }>([
  { name: 'an interval', schedule: every(300_000), text: 'every 5m' },
  { name: 'jitter', schedule: { ...every(300_000), jitterMs: 30_000 }, text: 'every 5m jitter 30s' },
  { name: 'a cron expression', schedule: cron('0 3 * * *', 'Europe/Berlin'), text: 'cron "0 3 * * *" Europe/Berlin' },
])('formatSchedule: $name', (c) => expect(formatSchedule(c.schedule)).toBe(c.text));
