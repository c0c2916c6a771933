import { isErrorCode } from '../error/codes.js';
import { SluiceError } from '../error/sluice-error.js';
import { isScheduleState } from '../state/schedule-state.js';
import type { Action, ChangeDetails, Plan } from './change.js';

const FORMAT_VERSION = 1;

/** Fields that the details of each action hold; a plan file that lacks one was not written by `plan --out`. */
const DETAIL_FIELDS: { readonly [Name in Action]: readonly (keyof ChangeDetails[Name])[] } = {
  create_publication: ['publication', 'tables', 'sql', 'self_managed', 'adopted'],
  add_publication_tables: ['publication', 'tables', 'sql', 'self_managed', 'loads'],
  remove_publication_tables: ['publication', 'tables', 'sql', 'self_managed'],
  drop_publication: ['publication'],
  create_slot: ['slot', 'publication', 'failover', 'loads'],
  drop_slot: ['slot', 'retained_wal_bytes'],
  create_table: ['table'],
  snapshot_table: ['generation', 'method'],
  resync_table: ['generation', 'cause', 'table'],
  backfill_columns: ['columns', 'id'],
  rename_columns: ['renames', 'all_columns', 'primary_key', 'cursor'],
  add_columns: ['columns', 'all_columns'],
  remove_columns: ['columns', 'all_columns'],
  change_method: ['from', 'to', 'table'],
  change_output: ['from', 'to'],
  change_schedule: ['from', 'to'],
  disable_table: [],
  enable_table: ['generation', 'table'],
  retire_table: ['target', 'history'],
  drop_table: ['target', 'history'],
  forget_table: ['target', 'history'],
  remove_source: ['tables'],
  move: ['from', 'to', 'target'],
  update_settings: ['settings', 'sql', 'loads', 'source', 'table_fields'],
};

/** The text of a plan file: the plan's own JSON. */
export function writePlan(plan: Plan): string {
  return `${JSON.stringify(plan, null, 2)}\n`;
}

/**
 * Reads a plan file. Whether the plan still fits the state and the config is the engine's to say.
 * @throws SluiceError PLAN_UNREADABLE
 */
export function readPlan(text: string, file: string): Plan {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (cause) {
    throw unreadable(file, 'it is not JSON', cause);
  }
  const checked = checkPlan(raw);
  if (!checked.ok) throw unreadable(file, checked.flaw);
  return checked.plan;
}

export type PlanCheck =
  | { readonly ok: true; readonly plan: Plan }
  /** The first thing that a plan must have and this one has not. */
  | { readonly ok: false; readonly flaw: string };

/** Whether parsed JSON is a plan. */
export function checkPlan(raw: unknown): PlanCheck {
  if (!isObject(raw) || raw['format_version'] === undefined) return { ok: false, flaw: 'it has no format_version' };
  const { format_version: version } = raw;
  if (version !== FORMAT_VERSION) {
    const flaw = `its format version is ${JSON.stringify(version)}, this Sluice reads ${FORMAT_VERSION}`;
    return { ok: false, flaw };
  }
  const flaw = planFlaw(raw);
  if (flaw !== null) return { ok: false, flaw };
  // Fields that came after the first plans; without them a plan is one that looked at everything and found no drift.
  const plan = { basis: { kind: 'observed' }, drift: [], unknown: [], ...raw };
  return isPlan(plan) ? { ok: true, plan } : { ok: false, flaw: 'it is not a plan' };
}

function unreadable(file: string, why: string, cause?: unknown): SluiceError {
  return new SluiceError({
    code: 'PLAN_UNREADABLE',
    message: `${file} cannot be used as a plan: ${why}`,
    cause,
    hint: `make a new one: sluice plan --out ${file}`,
  });
}

function isPlan(raw: object): raw is Plan {
  return planFlaw(raw) === null;
}

/** The first thing that a plan must have and this one has not; null for a plan. */
function planFlaw(raw: object): string | null {
  const plan: Readonly<Record<string, unknown>> = { ...raw };
  for (const field of ['id', 'created_at', 'config_hash']) {
    if (typeof plan[field] !== 'string') return `"${field}" is missing`;
  }
  const { state, summary, changes, blockers, notices } = plan;
  if (!isObject(state) || typeof state['lineage'] !== 'string' || !Number.isSafeInteger(state['serial'])) {
    return '"state" is missing';
  }
  if (!isObject(summary)) return '"summary" is missing';
  for (const field of ['add', 'change', 'destroy', 'destructive', 'rows', 'bytes', 'seconds']) {
    if (typeof summary[field] !== 'number') return `"summary.${field}" is missing`;
  }
  if (!isListOf(blockers, ['address', 'code', 'message'])) return '"blockers" is missing';
  const unknown = blockers.find((each) => !isErrorCode(String(each['code'])));
  if (unknown !== undefined) return `a blocker has the unknown code ${JSON.stringify(unknown['code'])}`;
  if (!isListOf(notices, ['address', 'message'])) return '"notices" is missing';
  if (plan['basis'] !== undefined && !isBasis(plan['basis'])) return '"basis" is none that this Sluice knows';
  if (plan['drift'] !== undefined && !isListOf(plan['drift'], ['address', 'kind', 'message']))
    return '"drift" is no list';
  if (plan['unknown'] !== undefined && !isListOf(plan['unknown'], ['address', 'message']))
    return '"unknown" is no list';
  if (!Array.isArray(changes)) return '"changes" is missing';
  for (const [index, change] of changes.entries()) {
    const flaw = changeFlaw(change);
    if (flaw !== null) return `changes[${index}]: ${flaw}`;
  }
  return null;
}

function changeFlaw(change: unknown): string | null {
  if (!isObject(change)) return 'it is not an object';
  const { action, address, destructive, reason, cost, details } = change;
  if (!isAction(action)) return `unknown action ${JSON.stringify(action)}`;
  if (typeof address !== 'string') return '"address" is missing';
  if (typeof destructive !== 'boolean') return '"destructive" is missing';
  if (typeof reason !== 'string') return '"reason" is missing';
  if (!isObject(cost)) return '"cost" is missing';
  if (!isObject(details)) return '"details" is missing';
  const missing = DETAIL_FIELDS[action].find((field) => !Object.hasOwn(details, field));
  if (missing !== undefined) return `"details.${missing}" is missing`;
  // A table goes into the state as it stands here; Sluices before format 2 of the state wrote its schedule otherwise.
  const { table, from, to } = details;
  const schedules = [
    ...(isObject(table) ? [table['schedule']] : []),
    ...(action === 'change_schedule' ? [from, to] : []),
  ];
  return schedules.every(isScheduleState) ? null : 'it has a schedule in another form than this Sluice knows';
}

function isBasis(value: unknown): boolean {
  if (!isObject(value)) return false;
  switch (value['kind']) {
    case 'observed':
    case 'refresh_only':
      return true;
    case 'state':
      return value['name'] === null || typeof value['name'] === 'string';
    case 'config':
      return typeof value['name'] === 'string';
    default:
      return false;
  }
}

/** All that a plan may hold. */
export const ACTIONS: readonly string[] = Object.keys(DETAIL_FIELDS);

function isAction(value: unknown): value is Action {
  return typeof value === 'string' && Object.hasOwn(DETAIL_FIELDS, value);
}

function isListOf(value: unknown, fields: readonly string[]): value is readonly Readonly<Record<string, unknown>>[] {
  return (
    Array.isArray(value) &&
    value.every((each) => isObject(each) && fields.every((field) => typeof each[field] === 'string'))
  );
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
