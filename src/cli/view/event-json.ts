import type { SluiceError } from '../../error/sluice-error.js';
import { assertNever, toPlain } from '../../error/sluice-error.js';
import type { ChangeResult } from '../../executor/engine.js';
import { lagFacts } from '../../guard/wal-lag.js';
import type { Change } from '../../planner/change.js';
import type { LiveEvent } from '../command.js';
import { ConfigRefused } from '../config-refused.js';
import { JSON_FORMAT_VERSION } from './json.js';
import { snakeKeys } from './snake-keys.js';

/** One line of the NDJSON form without what all lines have: `event` names it. See schema/events.schema.json. */
export type EventBody = { readonly event: string } & Readonly<Record<string, unknown>>;

/** One JSON object on a line of its own, `format_version`, `at` (ISO) and `event` first. */
export function eventLine(body: EventBody, at: Date): string {
  const { event, ...fields } = body;
  return `${JSON.stringify({ format_version: JSON_FORMAT_VERSION, at: at.toISOString(), event, ...fields })}\n`;
}

/** What happens while a command runs; null: the command's result says it. */
export function eventBody(event: LiveEvent): EventBody | null {
  switch (event.kind) {
    case 'source_ended':
      return null;
    case 'plan_made':
      return { event: 'plan_made', plan: event.plan };
    case 'status_seen':
      return { event: 'status_seen', ...event.document };
    case 'log_line':
      return { event: 'log_line', record: event.record };
    case 'change_started':
      return { event: 'change_started', ...changeFields(event.change) };
    case 'change_ended':
      return { event: 'change_ended', ...resultFields(event.result) };
    case 'wal_lag':
      return {
        event: 'wal_lag',
        source: event.source,
        slot: event.slot,
        changed: event.changed,
        lag: snakeKeys(lagFacts(event.lag)),
      };
    case 'load_started':
    case 'load_progress':
    case 'load_ended':
    case 'stream_progress':
    case 'page_committed':
    case 'waiting':
    case 'table_failed':
    case 'notice':
    case 'optimized':
    case 'vacuumed':
    case 'maintenance_failed':
    case 'wal_lag_unknown':
    case 'guard_dropped':
    case 'guard_failed':
    case 'alert_failed': {
      const { kind, ...fields } = event;
      return { event: kind, ...snakeKeys(fields) };
    }
    default:
      return assertNever(event);
  }
}

/** The last line of every run. @param error null where the command did what it was asked for */
export function endedBody(exitCode: number, error: SluiceError | null): EventBody {
  const problems = error instanceof ConfigRefused ? { problems: error.problems } : {};
  return { event: 'ended', exit_code: exitCode, error: error === null ? null : { ...toPlain(error), ...problems } };
}

function changeFields(change: Change): Record<string, unknown> {
  return { action: change.action, address: change.address, destructive: change.destructive };
}

/** One change with what became of it. */
export function resultFields(result: ChangeResult): Record<string, unknown> {
  const base = { ...changeFields(result.change), status: result.status };
  switch (result.status) {
    case 'applied':
      return { ...base, duration_ms: Math.round(result.durationMs) };
    case 'failed':
      return { ...base, error: result.error };
    case 'not_attempted':
      return { ...base, because: result.because };
    default:
      return assertNever(result);
  }
}
