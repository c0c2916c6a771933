import { createHash } from 'node:crypto';
import { Cron } from 'croner';
import type { Schedule } from '../config/config.js';
import { formatDuration } from '../config/duration.js';

/**
 * When something with this schedule is due next. Pure: the engine asks it what is due, the daemon when to wake.
 * Ticks that were missed count once, so a machine that slept runs a table one time and not once for each tick.
 *
 * An interval's ticks lie on a grid that begins at 1970-01-01T00:00Z, like those of a cron expression: `every: 5m` is on
 * the hour and each five minutes from there, however long the runs take. One that comes within a tenth of the interval
 * after a run is passed over, so that a table is not loaded twice at once.
 * @param lastRunAt when it last ran; null: never, then it is due at `now`
 * @param source the name by which a schedule's jitter spreads its ticks
 * @returns a moment in the past or at `now` when it is due already; null when a cron expression never comes again
 */
export function dueAt(lastRunAt: Date | null, schedule: Schedule, now: Date, source: string): Date | null {
  if (lastRunAt === null) return now;
  // A clock that was set back leaves a last run in the future; counting from it could wait for years.
  const fromMs = Math.min(lastRunAt.getTime(), now.getTime());
  const offsetMs = jitterOffsetMs(schedule, source);
  if (schedule.kind === 'every') {
    const { everyMs } = schedule;
    const afterMs = fromMs + everyMs * CLOSE_PART - offsetMs;
    return new Date((Math.floor(afterMs / everyMs) + 1) * everyMs + offsetMs);
  }
  const tick = new Cron(schedule.cron, { timezone: schedule.timezone }).nextRun(new Date(fromMs - offsetMs));
  return tick === null ? null : new Date(tick.getTime() + offsetMs);
}

/** Of an interval: a tick so close after a run does not count. */
const CLOSE_PART = 1 / 10;

/** The same for all ticks of a source, so that the distance between them stays. */
function jitterOffsetMs({ jitterMs = 0 }: Schedule, source: string): number {
  if (jitterMs === 0) return 0;
  const fraction = createHash('sha256').update(source).digest().readUInt32BE(0) / 0x1_0000_0000;
  return Math.floor(fraction * (jitterMs + 1));
}

export function isDue(lastRunAt: Date | null, schedule: Schedule, now: Date, source: string): boolean {
  const at = dueAt(lastRunAt, schedule, now, source);
  return at !== null && at.getTime() <= now.getTime();
}

/**
 * The interval at which a source's slot is read: that of its most frequent active CDC table. `every` schedules compare
 * by length; a cron schedule by the distance of its next two ticks after `now`.
 * @returns null when there are none
 */
export function mostFrequent(schedules: readonly Schedule[], now: Date): Schedule | null {
  let best: { readonly schedule: Schedule; readonly intervalMs: number } | null = null;
  for (const schedule of schedules) {
    const intervalMs = intervalOf(schedule, now);
    if (best === null || intervalMs < best.intervalMs) best = { schedule, intervalMs };
  }
  return best?.schedule ?? null;
}

/** Two schedules with the same key tick alike. */
export function scheduleKey(schedule: Schedule): string {
  const ticks = schedule.kind === 'every' ? `every ${schedule.everyMs}` : `cron ${schedule.cron} ${schedule.timezone}`;
  return `${ticks} ${schedule.jitterMs ?? 0}`;
}

function intervalOf(schedule: Schedule, now: Date): number {
  if (schedule.kind === 'every') return schedule.everyMs;
  const [first, second] = new Cron(schedule.cron, { timezone: schedule.timezone }).nextRuns(2, now);
  return first === undefined || second === undefined ? Number.POSITIVE_INFINITY : second.getTime() - first.getTime();
}

/** As the config would write it: `every 5m`, `cron "0 3 * * *" Europe/Berlin`. */
export function formatSchedule(schedule: Schedule): string {
  const { jitterMs = 0 } = schedule;
  const jitter = jitterMs === 0 ? '' : ` jitter ${formatDuration(jitterMs)}`;
  if (schedule.kind === 'cron') return `cron "${schedule.cron}" ${schedule.timezone}${jitter}`;
  return `every ${formatDuration(schedule.everyMs)}${jitter}`;
}
