import { Cron } from 'croner';
import type { Schedule } from './config.js';
import { nearestName } from './nearest.js';
import type { ConfigPath } from './problem.js';
import type { Reading } from './reading.js';
import type { Pruned } from './schema.js';
import type { Schedule as RawSchedule } from './schema-types.js';

/** DESIGN 3: a table is synced every five minutes unless it says otherwise. */
export const DEFAULT_SCHEDULE: Schedule = { kind: 'every', everyMs: 300_000 };

/** Any moment does: an expression that fires at all fires within the years that croner looks ahead. */
const SOME_MOMENT = new Date('2024-01-01T00:00:00Z');

/** `{ every }` or `{ cron, timezone }`, and `jitter` with either. */
export function readSchedule(raw: Pruned<RawSchedule>, path: ConfigPath, reading: Reading): Schedule {
  const { every, cron, timezone } = raw;
  if (every !== undefined && cron !== undefined) {
    reading.problem(path, 'expected either "every" or "cron", found both', 'key');
  } else if (timezone !== undefined && cron === undefined && !reading.isBroken([...path, 'cron'])) {
    reading.problem([...path, 'timezone'], 'only together with "cron"');
  }
  const zone = timezone ?? 'UTC';
  const knownZone = checkTimezone(zone, [...path, 'timezone'], reading);
  if (cron !== undefined) {
    checkCron(cron, knownZone ? zone : 'UTC', [...path, 'cron'], reading);
    return { kind: 'cron', cron, timezone: zone, ...jitterOf(raw, path, reading) };
  }
  if (every === undefined) return { ...DEFAULT_SCHEDULE, ...jitterOf(raw, path, reading) };
  const everyMs = reading.duration([...path, 'every'], every, '5m', 1_000);
  const jitter = jitterOf(raw, path, reading);
  if (raw.jitter !== undefined && (jitter.jitterMs ?? 0) >= everyMs) {
    reading.problem(
      [...path, 'jitter'],
      `expected less than the interval, found ${reading.quote([...path, 'jitter'], raw.jitter)}`,
    );
  }
  return { kind: 'every', everyMs, ...jitter };
}

function jitterOf({ jitter }: Pruned<RawSchedule>, path: ConfigPath, reading: Reading): { jitterMs?: number } {
  if (jitter === undefined) return {};
  const jitterMs = reading.duration([...path, 'jitter'], jitter, '30s', 0);
  return jitterMs === 0 ? {} : { jitterMs };
}

function checkTimezone(timezone: string, path: ConfigPath, reading: Reading): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: timezone });
    return true;
  } catch {
    const near = nearestName(timezone, Intl.supportedValuesOf('timeZone'));
    const hint = near === null ? 'such as Europe/Berlin' : `did you mean "${near}"?`;
    reading.problem(path, `unknown time zone ${reading.quote(path, timezone)}; ${hint}`);
    return false;
  }
}

function checkCron(cron: string, timezone: string, path: ConfigPath, reading: Reading): void {
  // croner also takes a date, which fires once; a schedule that ends is a mistake here.
  const isDate = /^\d{4}-/.test(cron.trim());
  try {
    const job = new Cron(cron, { timezone, paused: true });
    if (isDate) throw new TypeError('a date');
    if (job.nextRun(SOME_MOMENT) === null) {
      reading.problem(path, `the schedule ${reading.quote(path, cron)} never fires`);
    }
  } catch {
    reading.problem(
      path,
      `not a cron expression: ${reading.quote(path, cron)}; expected five fields (minute hour day month weekday), such as "*/10 * * * *"`,
    );
  }
}
