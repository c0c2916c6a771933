import type { Schedule } from '../config/config.js';

/** A schedule as it was applied: what the config says, under the keys that the document has. */
export type ScheduleState = (
  | { readonly kind: 'every'; readonly every_ms: number }
  | { readonly kind: 'cron'; readonly cron: string; readonly timezone: string }
) & {
  /** Absent: none. */
  readonly jitter_ms?: number;
};

export function scheduleState(schedule: Schedule): ScheduleState {
  const jitter = schedule.jitterMs === undefined ? {} : { jitter_ms: schedule.jitterMs };
  return schedule.kind === 'every'
    ? { kind: 'every', every_ms: schedule.everyMs, ...jitter }
    : { kind: 'cron', cron: schedule.cron, timezone: schedule.timezone, ...jitter };
}

export function scheduleOf(state: ScheduleState): Schedule {
  const jitter = state.jitter_ms === undefined ? {} : { jitterMs: state.jitter_ms };
  return state.kind === 'every'
    ? { kind: 'every', everyMs: state.every_ms, ...jitter }
    : { kind: 'cron', cron: state.cron, timezone: state.timezone, ...jitter };
}

/** Whether parsed JSON is one. */
export function isScheduleState(raw: unknown): raw is ScheduleState {
  if (typeof raw !== 'object' || raw === null) return false;
  const fields: Readonly<Record<string, unknown>> = { ...raw };
  if (Object.keys(fields).some((key) => !['kind', 'every_ms', 'cron', 'timezone', 'jitter_ms'].includes(key)))
    return false;
  return fields['kind'] === 'every'
    ? typeof fields['every_ms'] === 'number'
    : fields['kind'] === 'cron' && typeof fields['cron'] === 'string' && typeof fields['timezone'] === 'string';
}
