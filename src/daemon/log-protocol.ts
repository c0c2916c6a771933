import { CONTROL_VERSION, fields, notUnderstood } from './control-protocol.js';
import { LINE_LEVELS, type LineLevel } from './log-ring.js';
import { aNumber, aText, oneOf } from './shape.js';

/**
 * The daemon's log over the control socket: `GET /logs?count=N&level=LEVEL&follow=0|1`, answered by NDJSON. An answer that
 * does not close with `end` was cut off.
 */

export interface LogRequest {
  /** So many of the last lines. */
  readonly count: number;
  readonly level: LineLevel;
  /** Then new ones, until the daemon ends or nobody reads. */
  readonly follow: boolean;
}

export type LogAnswerLine =
  | { readonly kind: 'begun' }
  /** @param text one JSON object, as the log has it */
  | { readonly kind: 'line'; readonly text: string }
  /** So many lines were left out, as they were not read in time. */
  | { readonly kind: 'skipped'; readonly lines: number }
  | { readonly kind: 'end' };

export function logPath({ count, level, follow }: LogRequest): string {
  return `/logs?count=${count}&level=${level}&follow=${follow ? 1 : 0}`;
}

/** @throws SluiceError DAEMON_UNREACHABLE for a query that is none */
export function readLogQuery(query: unknown): LogRequest {
  const { count, level, follow } = fields(query);
  if (typeof count !== 'string' || !/^\d{1,9}$/.test(count)) throw notUnderstood();
  return { count: Number(count), level: oneOf(LINE_LEVELS)(level), follow: follow === '1' };
}

export function logAnswerLine(line: LogAnswerLine): string {
  return `${JSON.stringify(line.kind === 'begun' ? { format_version: CONTROL_VERSION, ...line } : line)}\n`;
}

/** Null: of a kind that this version does not know. @throws SluiceError DAEMON_UNREACHABLE */
export function readLogAnswerLine(document: unknown): LogAnswerLine | null {
  const line = fields(document);
  const kind = aText(line['kind']);
  switch (kind) {
    case 'begun':
      if (line['format_version'] !== CONTROL_VERSION) throw notUnderstood();
      return { kind };
    case 'line':
      return { kind, text: aText(line['text']) };
    case 'skipped':
      return { kind, lines: aNumber(line['lines']) };
    case 'end':
      return { kind };
    default:
      return null;
  }
}
