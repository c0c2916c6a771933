import { describe, expect, test } from 'vitest';
import type { Schedule } from '../config/config.js';
import { dueAt, formatSchedule, isDue, mostFrequent, scheduleKey } from './schedule.js';

const NOW = new Date('2026-03-02T12:00:00Z');
const every = (everyMs: number): Schedule => ({ kind: 'every', everyMs });
const cron = (text: string, timezone = 'UTC'): Schedule => ({ kind: 'cron', cron: text, timezone });

describe('dueAt', () => {
  test.each<{ name: string; last: string | null; schedule: Schedule; now?: string; due: string | null }>([
    { name: 'never ran: now', last: null, schedule: every(300_000), due: NOW.toISOString() },
    { name: 'never ran, cron: now', last: null, schedule: cron('0 3 * * *'), due: NOW.toISOString() },
    {
      name: 'every counts from the last run',
      last: '2026-03-02T11:58:00Z',
      schedule: every(300_000),
      due: '2026-03-02T12:03:00.000Z',
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
    expect(dueAt(last, c.schedule, now)?.toISOString() ?? null).toBe(c.due);
  });
});

describe('isDue', () => {
  test.each<{ name: string; last: string | null; schedule: Schedule; due: boolean }>([
    { name: 'never ran', last: null, schedule: every(1), due: true },
    { name: 'just in time', last: '2026-03-02T11:55:00Z', schedule: every(300_000), due: true },
    { name: 'a millisecond early', last: '2026-03-02T11:55:00.001Z', schedule: every(300_000), due: false },
    { name: 'cron tick passed', last: '2026-03-02T11:59:59Z', schedule: cron('0 12 * * *'), due: true },
    { name: 'cron tick to come', last: '2026-03-02T11:59:59Z', schedule: cron('0 13 * * *'), due: false },
  ])('$name', (c) => expect(isDue(c.last === null ? null : new Date(c.last), c.schedule, NOW)).toBe(c.due));
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
  { name: 'a cron expression', schedule: cron('0 3 * * *', 'Europe/Berlin'), text: 'cron "0 3 * * *" Europe/Berlin' },
])('formatSchedule: $name', (c) => expect(formatSchedule(c.schedule)).toBe(c.text));
