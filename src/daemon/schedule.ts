import type { Schedule, SourceConfig } from '../config/config.js';
import { dueAt, scheduleKey } from '../planner/schedule.js';

/**
 * When the daemon wakes. The engine decides what is due, from what the destination says of each table's last run; the
 * daemon only has to call it at the right moments, so it keeps one last tick for each schedule of each source.
 */

/** The distinct schedules of a source's enabled tables, with when each ticked last (null: not since the start). */
export interface SourceTicks {
  readonly source: string;
  readonly ticks: readonly Tick[];
}

export interface Tick {
  readonly schedule: Schedule;
  readonly lastAt: Date | null;
}

export function ticksOf(source: SourceConfig): SourceTicks {
  const schedules = new Map<string, Schedule>();
  for (const { table } of source.tables) {
    if (table.enabled) schedules.set(scheduleKey(table.schedule), table.schedule);
  }
  return { source: source.name, ticks: [...schedules.values()].map((schedule) => ({ schedule, lastAt: null })) };
}

/** When a source is due next; null for one without active tables. */
export function nextTickAt(source: SourceTicks, now: Date): Date | null {
  let next: Date | null = null;
  for (const tick of source.ticks) {
    const at = dueAt(tick.lastAt, tick.schedule, now, source.source);
    if (at !== null && (next === null || at.getTime() < next.getTime())) next = at;
  }
  return next;
}

export function isTickDue(source: SourceTicks, now: Date): boolean {
  const at = nextTickAt(source, now);
  return at !== null && at.getTime() <= now.getTime();
}

/** A source's ticks after a sync that began at `startedAt`. What became due while it ran is not lost. */
export function tickAfter(source: SourceTicks, startedAt: Date): SourceTicks {
  return {
    source: source.source,
    ticks: source.ticks.map((tick) => {
      const at = dueAt(tick.lastAt, tick.schedule, startedAt, source.source);
      if (at === null || at.getTime() > startedAt.getTime()) return tick;
      return { schedule: tick.schedule, lastAt: startedAt };
    }),
  };
}
