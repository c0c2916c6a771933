import { assertNever, type PlainError, SluiceError } from '../error/sluice-error.js';
import type { ChangeResult, EngineEvent, SyncRequest } from '../executor/engine.js';
import type { Change, Plan } from '../planner/change.js';
import { checkPlan } from '../planner/plan-file.js';
import { CONTROL_VERSION, fields, notUnderstood, plainError } from './control-protocol.js';
import { aSyncRequest, aWorkEvent, isWorkEvent, type WorkEvent } from './engine-shapes.js';
import { aNumber, aText, listOf, object, oneOf, type Shape } from './shape.js';

/**
 * Work that a command asks a daemon for: `POST /calls` with one JSON document, answered by NDJSON. The first line says
 * that it has begun, then come events as they happen, and the last one is the result or the error. An answer that ends
 * without one was cut off.
 */

export type Call =
  | { readonly call: 'sync'; readonly request: SyncRequest }
  | { readonly call: 'apply'; readonly plan: Plan }
  | { readonly call: 'resync'; readonly addresses: readonly string[]; readonly reason: string }
  | { readonly call: 'pause' | 'resume'; readonly addresses: readonly string[] };

export interface AskedCall {
  /** Of the config that whoever asks has read; the daemon works for no other. */
  readonly configHash: string;
  readonly call: Call;
}

/** What became of a change of the plan, which both ends have. */
type ChangeOutcome = ChangeResult extends infer Result
  ? Result extends unknown
    ? Omit<Result, 'change'>
    : never
  : never;

export type CallLine =
  /** @param id to cancel it by */
  | { readonly kind: 'begun'; readonly id: number }
  | { readonly kind: 'event'; readonly event: WorkEvent }
  /** Of the change at this place of the plan; a null outcome: it has begun. */
  | { readonly kind: 'change'; readonly index: number; readonly outcome: ChangeOutcome | null }
  | { readonly kind: 'result'; readonly result: unknown }
  | { readonly kind: 'error'; readonly error: PlainError };

export function callDocument({ configHash, call }: AskedCall): string {
  return JSON.stringify({ format_version: CONTROL_VERSION, config_hash: configHash, ...call });
}

/** @throws SluiceError DAEMON_UNREACHABLE for a document of another version, PLAN_UNREADABLE */
export function readCall(document: unknown): AskedCall {
  const given = fields(document);
  if (given['format_version'] !== CONTROL_VERSION) throw notUnderstood();
  return { configHash: aText(given['config_hash']), call: readWork(given) };
}

const someAddresses = listOf(aText);

function readWork(given: Readonly<Record<string, unknown>>): Call {
  const { call } = given;
  switch (call) {
    case 'sync':
      return { call, request: aSyncRequest(given['request']) };
    case 'apply': {
      const checked = checkPlan(given['plan']);
      if (checked.ok) return { call, plan: checked.plan };
      throw new SluiceError({ code: 'PLAN_UNREADABLE', message: `what was sent is no plan: ${checked.flaw}` });
    }
    case 'resync':
      return { call, addresses: someAddresses(given['addresses']), reason: aText(given['reason']) };
    case 'pause':
    case 'resume':
      return { call, addresses: someAddresses(given['addresses']) };
    default:
      throw notUnderstood();
  }
}

/** With its line break. */
export function callLine(line: CallLine): string {
  return `${JSON.stringify(line.kind === 'begun' ? { format_version: CONTROL_VERSION, ...line } : line)}\n`;
}

/** The line that tells an event of a call's work; null: it is not for whoever asked. */
export function lineOf(event: EngineEvent, call: Call): CallLine | null {
  const indexOf = (change: Change): number => (call.call === 'apply' ? call.plan.changes.indexOf(change) : -1);
  if (event.kind === 'change_started' || event.kind === 'change_ended') {
    const index = indexOf(event.kind === 'change_started' ? event.change : event.result.change);
    if (index < 0) return null;
    return { kind: 'change', index, outcome: event.kind === 'change_started' ? null : outcomeOf(event.result) };
  }
  return isWorkEvent(event) ? { kind: 'event', event } : null;
}

export function outcomeOf(result: ChangeResult): ChangeOutcome {
  const { change: _, ...outcome } = result;
  return outcome;
}

/** Null: of a kind that this version does not know, of a newer daemon. @throws SluiceError DAEMON_UNREACHABLE */
export function readCallLine(document: unknown): CallLine | null {
  const line = fields(document);
  const { kind } = line;
  switch (kind) {
    case 'begun':
      if (line['format_version'] !== CONTROL_VERSION) throw notUnderstood();
      return { kind, id: aNumber(line['id']) };
    case 'event': {
      const event = aWorkEvent(line['event']);
      return event === null ? null : { kind, event };
    }
    case 'change': {
      const outcome = line['outcome'] === null ? null : aChangeOutcome(line['outcome']);
      return { kind, index: aNumber(line['index']), outcome };
    }
    case 'result':
      return { kind, result: line['result'] };
    case 'error':
      return { kind, error: plainError(line['error']) };
    default:
      if (typeof kind !== 'string') throw notUnderstood();
      return null;
  }
}

const aChangeOutcome: Shape<ChangeOutcome> = (value) => {
  const status = oneOf(['applied', 'failed', 'not_attempted'])(fields(value)['status']);
  switch (status) {
    case 'applied':
      return { status, ...object<{ durationMs: number }>({ durationMs: aNumber })(value) };
    case 'failed':
      return { status, ...object<{ error: PlainError }>({ error: plainError })(value) };
    case 'not_attempted':
      return { status, ...object<{ because: string }>({ because: aText })(value) };
    default:
      return assertNever(status);
  }
};

/** The results of an apply, as the daemon answers them, with the changes of the plan. */
export function changeResults(plan: Plan): Shape<readonly ChangeResult[]> {
  return (value) => {
    const outcomes = listOf(aChangeOutcome)(value);
    if (outcomes.length !== plan.changes.length) throw notUnderstood();
    return plan.changes.map((change, index) => {
      const outcome = outcomes[index];
      if (outcome === undefined) throw notUnderstood();
      return { change, ...outcome };
    });
  };
}

/** What a line tells of a change of the plan, as an event. */
export function changeEvent(plan: Plan, line: Extract<CallLine, { kind: 'change' }>): EngineEvent {
  const change = plan.changes[line.index];
  if (change === undefined) throw notUnderstood();
  if (line.outcome === null) return { kind: 'change_started', change };
  return { kind: 'change_ended', result: { change, ...line.outcome } };
}
