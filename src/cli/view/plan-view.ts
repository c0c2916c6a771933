import { formatDuration as formatInterval } from '../../config/duration.js';
import { assertNever } from '../../error/sluice-error.js';
import { UNKNOWN_TYPE } from '../../planner/assumed-type.js';
import type { Change, Cost, Notice, Plan } from '../../planner/change.js';
import { effectOf } from '../../planner/summary.js';
import type { ScheduleState } from '../../state/schedule-state.js';
import type { ColumnState } from '../../state/state.js';
import type { Page } from '../command.js';
import { printable, type Style } from '../terminal.js';
import { formatBytes, formatCount, formatDuration } from './quantity.js';
import { wrapped } from './wrapped.js';

/** Names of a list that are written out; a first plan of hundreds of tables stays readable. */
const NAMED = 8;
const INDENT = '      ';
/** Less WAL than this is no matter for any server. */
export const WORTH_TELLING_BYTES = 1024 * 1024;

type Symbol = '+' | '~' | '-' | '-/+';

const STYLES: Record<Symbol, Style> = { '+': 'green', '~': 'yellow', '-': 'red', '-/+': 'red' };

/**
 * A plan for people: what changed in Postgres, what is destructive, every change with its reason and cost, what stands in the
 * way, what could not be known, what is worth knowing, and one line that sums up.
 */
export function planText(plan: Plan, page: Pick<Page, 'paint' | 'columns'>): string {
  const parts = [
    basisLine(plan, page),
    driftText(plan, page),
    ...(plan.changes.length === 0 ? [] : [destructiveText(plan, page), ...changesTexts(plan, page)]),
    blockersText(plan, page),
    pointsText('Could not be known:', plan.unknown, page),
    pointsText('Worth knowing:', plan.notices, page),
    summaryText(plan, page),
  ];
  return parts.filter((part) => part !== '').join('\n');
}

/** The plan as it is stored, with its format version. */
export function planJson(plan: Plan): Record<string, unknown> {
  return { ...plan };
}

/** One change in a few words, without its address. */
export function describeChange(change: Change): string {
  switch (change.action) {
    case 'create_publication':
      return `${change.details.adopted ? 'take over' : 'create'} publication ${change.details.publication} for ${names(change.details.tables)}`;
    case 'add_publication_tables':
      return `add ${names(change.details.tables)} to publication ${change.details.publication}`;
    case 'remove_publication_tables':
      return `take ${names(change.details.tables)} out of publication ${change.details.publication}`;
    case 'drop_publication':
      return `drop publication ${change.details.publication}`;
    case 'create_slot':
      return `create replication slot ${change.details.slot}`;
    case 'drop_slot': {
      const held = change.details.retained_wal_bytes;
      return `drop replication slot ${change.details.slot}${held === null ? '' : `, which frees ${formatBytes(held)} of WAL`}`;
    }
    case 'create_table': {
      const { table } = change.details;
      // Not all columns are known of a table that nobody looked at.
      const known = table.columns.every((column) => column.type !== UNKNOWN_TYPE);
      const columns = !known ? '' : table.columns.length === 1 ? '1 column, ' : `${table.columns.length} columns, `;
      return `create ${place(table.target)}: ${table.method}, ${table.output}, ${columns}${scheduleText(table.schedule)}`;
    }
    case 'snapshot_table':
      return 'first load';
    case 'resync_table':
      return 'read again as a whole';
    case 'backfill_columns':
      return `fill ${names(change.details.columns)} of the rows that are there`;
    case 'rename_columns':
      return `rename ${names(change.details.renames.map(({ from, to }) => `${from} -> ${to}`))}`;
    case 'add_columns':
      return `add ${names(change.details.columns.map(addedColumn))}`;
    case 'remove_columns':
      return `copy ${names(change.details.columns)} no longer`;
    case 'change_method':
      return `method ${change.details.from} -> ${change.details.to}`;
    case 'change_output':
      return `output ${change.details.from} -> ${change.details.to}`;
    case 'change_schedule':
      return `schedule ${scheduleText(change.details.from)} -> ${scheduleText(change.details.to)}`;
    case 'disable_table':
      return 'disable';
    case 'enable_table':
      return 'enable and read again as a whole';
    case 'retire_table':
      return `retire ${place(change.details.target)}`;
    case 'drop_table':
      return `drop ${place(change.details.target)}`;
    case 'forget_table':
      return `forget ${place(change.details.target)}`;
    case 'remove_source':
      return 'remove the source';
    case 'move':
      return `move from ${change.details.from}`;
    case 'update_settings':
      return `set ${Object.entries(change.details.settings)
        .map(([name, { from, to }]) => `${name}: ${valueText(from)} -> ${valueText(to)}`)
        .join(', ')}`;
    default:
      return assertNever(change);
  }
}

/** How a change is drawn: made new, changed in place, read again as a whole, gone. */
export function symbolOf(change: Change): Symbol {
  const effect = effectOf(change.action);
  switch (effect) {
    case 'add':
    case null:
      return '+';
    case 'change':
      return '~';
    case 'reload':
      return '-/+';
    case 'destroy':
      return '-';
    default:
      return assertNever(effect);
  }
}

function destructiveText(plan: Plan, page: Pick<Page, 'paint' | 'columns'>): string {
  const destructive = plan.changes.filter((change) => change.destructive);
  if (destructive.length === 0) return '';
  const count = destructive.length === 1 ? '1 change is destructive' : `${destructive.length} changes are destructive`;
  const lines = destructive.map((change) => `${headline(change, page)}\n`);
  return `${page.paint('red', `${count}:`)}\n${lines.join('')}`;
}

/** Changes by what they come from; one that the file asks for alone needs no title. */
function changesTexts(plan: Plan, page: Pick<Page, 'paint' | 'columns'>): readonly string[] {
  const groups = changesByOrigin(plan).filter(({ changes }) => changes.length > 0);
  const plain = groups.every(({ origin }) => origin === undefined);
  return groups.map(({ origin, changes }) => {
    const text = changes.map((change) => changeText(change, page)).join('');
    return plain ? text : `${ORIGINS[origin ?? 'file']}:\n${text}`;
  });
}

/** What groups of changes are called. */
export const ORIGINS: Readonly<Record<'file' | NonNullable<Change['origin']>, string>> = {
  file: 'What the file asks for',
  drift: 'What answers to the changes in Postgres',
  cleanup: 'Pending clean-up of sources that left the file',
};

/** In the order in which they are shown. */
export function changesByOrigin(plan: Plan): readonly { origin: Change['origin']; changes: readonly Change[] }[] {
  const of = (origin: Change['origin']) => ({ origin, changes: plan.changes.filter((each) => each.origin === origin) });
  return [of(undefined), of('drift'), of('cleanup')];
}

/** What a plan was made from, where that is not everything there is. Null for a plan that looked. */
export function basisText({ basis }: Plan): string | null {
  switch (basis.kind) {
    case 'observed':
      return null;
    case 'refresh_only':
      return 'Only what changed in Postgres since the last apply is told; the file was not compared.';
    case 'state':
      return `Made from ${basis.name === null ? 'the state' : `the state in ${basis.name}`} alone: neither databases nor destinations were asked. It cannot be applied.`;
    case 'config':
      return `The file compared with the one at ${basis.name}: neither state nor databases nor destinations were asked. It cannot be applied.`;
    default:
      return assertNever(basis);
  }
}

function basisLine(plan: Plan, page: Pick<Page, 'paint' | 'columns'>): string {
  const text = basisText(plan);
  return text === null
    ? ''
    : wrapped(printable(text), '', page.columns)
        .map((line) => `${line}\n`)
        .join('');
}

function driftText(plan: Plan, page: Pick<Page, 'paint' | 'columns'>): string {
  if (plan.drift.length === 0) return '';
  const lines = plan.drift.flatMap(({ address, message, hint }) => [
    `${page.paint('yellow', '  !')}  ${page.paint('bold', address)}`,
    ...wrapped(message, INDENT, page.columns),
    ...(hint === undefined ? [] : wrapped(`hint: ${hint}`, INDENT, page.columns)),
  ]);
  return [page.paint('yellow', 'Changed in Postgres since the last apply:'), ...lines]
    .map((line) => `${line}\n`)
    .join('');
}

function changeText(change: Change, page: Pick<Page, 'paint' | 'columns'>): string {
  const marked = change.destructive ? page.paint('red', '  (destructive)') : '';
  const reason = change.reason === describeChange(change) ? '' : change.reason;
  const details = [reason, costText(change.cost), sqlText(change)].filter((text) => text !== '');
  return [`${headline(change, page)}${marked}`, ...details.flatMap((text) => wrapped(text, INDENT, page.columns))]
    .map((line) => `${line}\n`)
    .join('');
}

function headline(change: Change, page: Pick<Page, 'paint' | 'columns'>): string {
  const symbol = symbolOf(change);
  return `${page.paint(STYLES[symbol], symbol.padStart(3))}  ${page.paint('bold', change.address)}  ${describeChange(change)}`;
}

function costText(cost: Cost): string {
  if (cost.rows === 0 && cost.bytes === 0) return '';
  if (cost.rows === null && cost.bytes === null) return 'reads an unknown number of rows';
  const rows =
    cost.rows === null ? 'an unknown number of rows (never analyzed)' : `about ${formatCount(cost.rows)} rows`;
  const bytes = cost.bytes === null ? '' : `, ${formatBytes(cost.bytes)}`;
  const basis = cost.basis === 'measured' ? 'at the rate of the last load' : 'at an assumed 250,000 rows/s';
  const time = cost.seconds === null ? '' : `, about ${formatDuration(cost.seconds * 1000)} ${basis}`;
  const wal = cost.wal_bytes ?? 0;
  const kept = wal < WORTH_TELLING_BYTES ? '' : `; meanwhile about ${formatBytes(wal)} of WAL are kept`;
  return `reads ${rows}${bytes}${time}${kept}`;
}

function sqlText(change: Change): string {
  const sql = 'sql' in change.details ? change.details.sql : null;
  if (sql === null || sql === '') return '';
  const byHand = 'self_managed' in change.details && change.details.self_managed;
  return byHand ? `to be run by hand: ${sql}` : sql;
}

function blockersText(plan: Plan, page: Pick<Page, 'paint' | 'columns'>): string {
  if (plan.blockers.length === 0) return '';
  const title = `${plan.blockers.length === 1 ? 'This stands' : `These ${plan.blockers.length} stand`} in the way of applying:`;
  const lines = plan.blockers.flatMap((blocker) => [
    `${page.paint('red', '  x')}  ${page.paint('bold', blocker.address)}  ${blocker.message}  [${blocker.code}]`,
    ...(blocker.hint === null ? [] : wrapped(`hint: ${blocker.hint}`, INDENT, page.columns)),
  ]);
  return [page.paint('red', title), ...lines].map((line) => `${line}\n`).join('');
}

function pointsText(title: string, points: readonly Notice[], page: Pick<Page, 'paint' | 'columns'>): string {
  if (points.length === 0) return '';
  const lines = points.flatMap((notice) => [
    `${page.paint('cyan', '  i')}  ${page.paint('bold', notice.address)}`,
    ...wrapped(notice.message, INDENT, page.columns),
  ]);
  return [page.paint('cyan', title), ...lines].map((line) => `${line}\n`).join('');
}

function summaryText(plan: Plan, page: Pick<Page, 'paint' | 'columns'>): string {
  const { summary } = plan;
  if (plan.changes.length === 0) {
    const style = plan.blockers.length > 0 ? 'red' : plan.drift.length > 0 ? 'yellow' : 'green';
    return `${page.paint(style, planCounts(plan))}\n`;
  }
  const reads =
    summary.rows === 0 && summary.bytes === 0
      ? ''
      : ` Loads read about ${formatCount(summary.rows)} rows, ${formatBytes(summary.bytes)}, in about ${formatDuration(summary.seconds * 1000)}.`;
  return `${page.paint('bold', planCounts(plan))}${reads}\n`;
}

/** The sentence that sums a plan up, without its cost: `Plan: 3 to add, 0 to change, 1 to destroy; 1 destructive.` */
export function planCounts(plan: Plan): string {
  const { summary, basis } = plan;
  if (basis.kind === 'refresh_only' && (plan.drift.length > 0 || plan.blockers.length === 0)) {
    const { length } = plan.drift;
    if (length === 0) return 'No drift. Postgres is as it was when Sluice last applied.';
    return `Drift: ${length === 1 ? '1 thing' : `${length} things`} changed in Postgres since the last apply.`;
  }
  if (plan.changes.length === 0) {
    if (plan.blockers.length > 0) return 'No changes can be planned.';
    if (basis.kind === 'config') return `No changes. The file means the same as at ${printable(basis.name)}.`;
    return 'No changes. What was applied is what the file asks for.';
  }
  const counts = `${summary.add} to add, ${summary.change} to change, ${summary.destroy} to destroy`;
  const destructive = summary.destructive === 0 ? '' : `; ${summary.destructive} destructive`;
  return `Plan: ${counts}${destructive}.`;
}

function addedColumn(column: ColumnState): string {
  return column.type === UNKNOWN_TYPE ? column.name : `${column.name} ${column.target_type}`;
}

function names(list: readonly string[]): string {
  const shown = list.slice(0, NAMED).join(', ');
  return list.length <= NAMED ? shown : `${shown} and ${list.length - NAMED} more`;
}

function place(target: { readonly schema: string; readonly name: string }): string {
  return `${target.schema}.${target.name}`;
}

function scheduleText(schedule: ScheduleState): string {
  return schedule.kind === 'every'
    ? `every ${formatInterval(schedule.every_ms)}`
    : `cron "${schedule.cron}" ${schedule.timezone}`;
}

function valueText(value: unknown): string {
  if (value === null || value === undefined) return 'none';
  if (Array.isArray(value)) return `(${value.map(valueText).join(', ')})`;
  return typeof value === 'string' ? value : JSON.stringify(value);
}
