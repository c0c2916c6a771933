import { isErrorCode } from '../error/codes.js';
import { type PlainError, SluiceError } from '../error/sluice-error.js';
import type { FirstPlan, ReloadOutcome } from './reload.js';

/** What goes over the control socket, as JSON; both ends read and write it here. */

/** Rises when a field changes its meaning or goes away, not when one is added. */
export const CONTROL_VERSION = 1;

/** What a daemon tells of itself; the `daemon` block of a status document. Times are ISO 8601. */
export interface DaemonBlock {
  readonly pid: number;
  readonly version: string;
  readonly started_at: string;
  readonly config: {
    readonly file: string;
    /** Of the config in use, which is not the file's where that is broken. */
    readonly hash: string;
    readonly in_use_since: string;
    /** False: the file as it is now is not used, and `error` says why. */
    readonly valid: boolean;
    readonly error: PlainError | null;
  };
  /** Changes that wait for a person. */
  readonly pending_plan: { readonly since: string; readonly changes: readonly string[] } | null;
  /** Why the config in use could not be planned or applied; the daemon tries again. */
  readonly plan_error: PlainError | null;
  /** Sources that are not synced for now; `retry_at` is null where a person has to act. */
  readonly held_sources: readonly HeldSource[];
  /** Tables that failed and are left alone until `retry_at`; the others of their source go on. */
  readonly held_tables: readonly HeldTableBlock[];
  /** Tables that are read as a whole at the moment. */
  readonly loads: readonly RunningLoadBlock[];
}

/** A load as far as it is. */
export interface RunningLoadBlock {
  readonly address: string;
  readonly method: string;
  readonly started_at: string;
  readonly rows: number;
  readonly bytes: number;
  /** Null: never analyzed. */
  readonly estimated_rows: number | null;
}

export interface HeldSource {
  readonly source: string;
  readonly error: PlainError;
  readonly retry_at: string | null;
}

export interface HeldTableBlock {
  readonly address: string;
  readonly error: PlainError;
  /** Failures in a row. */
  readonly attempts: number;
  readonly retry_at: string;
}

export type Fields = Readonly<Record<string, unknown>>;

/** @throws SluiceError DAEMON_UNREACHABLE where the document is another one */
export function readDaemonBlock(document: unknown): DaemonBlock {
  const block = fields(fields(document)['daemon']);
  const config = fields(block['config']);
  const pending = block['pending_plan'];
  return {
    pid: number(block['pid']),
    version: text(block['version']),
    started_at: text(block['started_at']),
    config: {
      file: text(config['file']),
      hash: text(config['hash']),
      in_use_since: text(config['in_use_since']),
      valid: config['valid'] === true,
      error: plainErrorOrNull(config['error']),
    },
    pending_plan:
      pending === null ? null : { since: text(fields(pending)['since']), changes: texts(fields(pending)['changes']) },
    plan_error: plainErrorOrNull(block['plan_error']),
    held_sources: list(block['held_sources']).map((each) => ({
      source: text(fields(each)['source']),
      error: plainError(fields(each)['error']),
      retry_at: fields(each)['retry_at'] === null ? null : text(fields(each)['retry_at']),
    })),
    // A daemon of an earlier version says nothing of them.
    held_tables: list(block['held_tables'] ?? []).map((each) => ({
      address: text(fields(each)['address']),
      error: plainError(fields(each)['error']),
      attempts: number(fields(each)['attempts']),
      retry_at: text(fields(each)['retry_at']),
    })),
    // An older daemon does not tell of them.
    loads: list(block['loads'] ?? []).map((each) => readLoad(fields(each))),
  };
}

function readLoad(load: Fields): RunningLoadBlock {
  return {
    address: text(load['address']),
    method: text(load['method']),
    started_at: text(load['started_at']),
    rows: number(load['rows']),
    bytes: number(load['bytes']),
    estimated_rows: load['estimated_rows'] === null ? null : number(load['estimated_rows']),
  };
}

/** @throws SluiceError DAEMON_UNREACHABLE where the document is another one */
export function readReloadOutcome(document: unknown): ReloadOutcome {
  const outcome = fields(fields(document)['outcome']);
  const { kind } = outcome;
  switch (kind) {
    case 'unchanged':
      return { kind, plan: (outcome['plan'] ?? null) === null ? null : readFirstPlan(outcome['plan']) };
    case 'applied':
      return { kind, plan: readFirstPlan(outcome['plan']) };
    case 'refused':
    case 'failed':
      return { kind, error: plainError(outcome['error']) };
    default:
      throw notUnderstood();
  }
}

function readFirstPlan(value: unknown): FirstPlan {
  const plan = fields(value);
  const { kind } = plan;
  switch (kind) {
    case 'nothing_to_do':
      return { kind };
    case 'applied':
    case 'waiting':
      return { kind, changes: texts(plan['changes']) };
    case 'failed':
      return { kind, error: plainError(plan['error']) };
    default:
      throw notUnderstood();
  }
}

export function plainErrorOrNull(value: unknown): PlainError | null {
  return value === null ? null : plainError(value);
}

/** The error of an answer. A code that this version does not know, of a newer daemon, becomes INTERNAL. */
export function plainError(value: unknown): PlainError {
  const error = fields(value);
  const code = text(error['code']);
  const optional = (key: 'hint' | 'cause' | 'address'): object =>
    typeof error[key] === 'string' ? { [key]: error[key] } : {};
  return {
    code: isErrorCode(code) ? code : 'INTERNAL',
    message: text(error['message']),
    ...optional('hint'),
    ...optional('cause'),
    ...optional('address'),
  };
}

export function fields(value: unknown): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw notUnderstood();
  return Object.fromEntries(Object.entries(value));
}

export function list(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw notUnderstood();
  return value;
}

function texts(value: unknown): readonly string[] {
  return list(value).map(text);
}

export function text(value: unknown): string {
  if (typeof value !== 'string') throw notUnderstood();
  return value;
}

export function number(value: unknown): number {
  if (typeof value !== 'number') throw notUnderstood();
  return value;
}

export function notUnderstood(): SluiceError {
  return new SluiceError({
    code: 'DAEMON_UNREACHABLE',
    message: 'what answers at the control socket is no daemon of Sluice, or one of another version',
    hint: 'restart the daemon after an upgrade; else give it a control socket of its own under daemon.socket',
  });
}
