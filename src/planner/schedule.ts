import { Cron } from 'croner';
import type { Schedule } from '../config/config.js';
import { formatDuration } from '../config/duration.js';

/**
 * When something with this schedule is due next. Pure: the engine asks it what is due, the daemon when to wake.
 * Ticks that were missed count once, so a machine that slept runs a table one time and not once for each tick.
 * @param lastRunAt when it last ran; null: never, then it is due at `now`
 * @returns a moment in the past or at `now` when it is due already; null when a cron expression never comes again
 */
export function dueAt(lastRunAt: Date | null, schedule: Schedule, now: Date): Date | null {
  if (lastRunAt === null) return now;
  // A clock that was set back leaves a last run in the future; counting from it could wait for years.
  const from = lastRunAt.getTime() > now.getTime() ? now : lastRunAt;
  if (schedule.kind === 'every') return new Date(from.getTime() + schedule.everyMs);
  return new Cron(schedule.cron, { timezone: schedule.timezone }).nextRun(from);
}

export function isDue(lastRunAt: Date | null, schedule: Schedule, now: Date): boolean {
  const at = dueAt(lastRunAt, schedule, now);
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
  return schedule.kind === 'every' ? `every ${schedule.everyMs}` : `cron ${schedule.cron} ${schedule.timezone}`;
}

function intervalOf(schedule: Schedule, now: Date): number {
  if (schedule.kind === 'every') return schedule.everyMs;
  const [first, second] = new Cron(schedule.cron, { timezone: schedule.timezone }).nextRuns(2, now);
  return first === undefined || second === undefined ? Number.POSITIVE_INFINITY : second.getTime() - first.getTime();
}

/** As the config would write it: `every 5m`, `cron "0 3 * * *" Europe/Berlin`. */
export function formatSchedule(schedule: Schedule): string {
  if (schedule.kind === 'cron') return `cron "${schedule.cron}" ${schedule.timezone}`;
  return `every ${formatDuration(schedule.everyMs)}`;
}
