import { duckdbTypeName, type LogicalType, parseDuckdbTypeName } from '../batch/logical-type.js';
import type { TargetTable } from '../destination/target-table.js';
import { SluiceError } from '../error/sluice-error.js';
import type { RelationTarget } from '../pgoutput/relation-cache.js';
import { sameNames } from '../planner/suitability.js';
import type { ObservedColumn, ObservedSource, ObservedTable } from '../source/catalog-model.js';
import { type DecodedColumn, rejectionReason } from '../source/codec/column-codec-table.js';
import { asPartition, type Dialect, inDialect } from '../source/dialect.js';
import { quoteIdentifier, quoteLiteral, quoteQualified } from '../source/sql-identifier.js';
import { logicalTypeOf, originalText, selectExpression, unrepresentablePredicate } from '../source/value-type.js';
import { naturalType, widens } from '../source/widening.js';
import type { ColumnState, TableState } from '../state/state.js';
import type { BeginSnapshot } from './reader/reader-thread.js';

/** One column that is copied. */
export interface PlannedColumn {
  /** As the catalog has it now. */
  readonly column: ObservedColumn;
  /** Its name in the destination: the one that was applied, whatever the source calls it since. */
  readonly name: string;
  readonly logical: LogicalType;
}

/** A table as it is about to be read and written: the applied state joined with what the catalog says now. */
export interface TablePlan {
  readonly address: string;
  readonly schema: string;
  readonly name: string;
  readonly state: TableState;
  readonly observed: ObservedTable;
  readonly target: TargetTable;
  readonly columns: readonly PlannedColumn[];
  /** How the source's table differs from the one that was applied, in words; a plan says what to do about it. */
  readonly drift: readonly string[];
  /** Columns that the table did not have, or that were not selected; which of the two a plan can tell. */
  readonly newColumns: readonly string[];
}

/**
 * Joins what was applied with the table as it is now. What an ALTER TABLE has done since then does not stop the table
 * where its rows can still be told: a renamed column goes on under the name that was applied, a dropped one is copied no
 * longer, a widened one is widened in the destination too, a new one waits for a plan.
 * @param ownKey the key is the config's, not the table's primary key
 * @param dialect of the destination
 * @throws SluiceError TABLE_MISSING, COLUMN_MISSING, SCHEMA_CHANGED when a plan has to say how to go on; each is the
 *   table's own trouble
 */
export function planTable(
  source: string,
  key: string,
  state: TableState,
  observed: ObservedSource,
  ownKey: boolean,
  dialect: Dialect,
): TablePlan {
  const address = `${source}:${key}`;
  const table = observed.tables.find((t) => t.oid === state.oid) ?? null;
  if (table === null) {
    throw new SluiceError({
      code: 'TABLE_MISSING',
      address,
      message: `${key} is no longer in the database (or was dropped and made anew)`,
      hint: 'run: sluice plan',
    });
  }
  const drift: string[] = [];
  const columns = state.columns.flatMap((wanted): PlannedColumn[] => {
    const column = table.columns.find((c) => c.attnum === wanted.attnum);
    if (column !== undefined) {
      if (column.name !== wanted.name) drift.push(`column ${wanted.name} is called ${column.name} now`);
      const logical = currentType(address, wanted, column, dialect, drift);
      const partitions = state.partition_by.includes(wanted.name);
      return [{ column, name: wanted.name, logical: partitions ? asPartition(logical) : logical }];
    }
    if (state.primary_key.includes(wanted.name) || state.cursor === wanted.name) {
      throw new SluiceError({
        code: 'COLUMN_MISSING',
        address,
        message: `${key} no longer has the column "${wanted.name}", which is part of its ${state.cursor === wanted.name ? 'cursor' : 'key'}`,
        hint: 'run: sluice plan, then sluice apply',
      });
    }
    drift.push(`column ${wanted.name} was dropped`);
    return [];
  });
  const applied = new Set(state.columns.map((column) => column.attnum));
  const newest = Math.max(0, ...applied);
  const plan: TablePlan = {
    address,
    schema: table.schema,
    name: table.name,
    state,
    observed: table,
    target: {
      ...targetTable(address, state),
      columns: columns.map(({ name, logical, column }) => ({ name, type: logical, comment: column.comment })),
      comment: table.comment,
      widened: columns.some(
        ({ name, logical }) => duckdbTypeName(logical) !== state.columns.find((c) => c.name === name)?.target_type,
      ),
    },
    columns,
    drift,
    newColumns: table.columns.filter((column) => column.attnum > newest).map((column) => column.name),
  };
  if (state.method === 'cdc') refuseOtherKey(plan, ownKey);
  return plan;
}

/** The destination type of a column whose source type may have been widened since it was applied. */
function currentType(
  address: string,
  wanted: ColumnState,
  column: ObservedColumn,
  dialect: Dialect,
  drift: string[],
): LogicalType {
  const named = parseDuckdbTypeName(wanted.target_type);
  // The state keeps the name alone, without what the dialect refuses of such a type.
  const applied = named === null ? null : inDialect(named, dialect);
  if (applied !== null && column.formattedType === wanted.type) return applied;
  if (applied !== null && widens(wanted.type, column.formattedType)) {
    drift.push(`column ${wanted.name} is ${column.formattedType} now, it was ${wanted.type}`);
    // An override of the column's type stays what it is: its codec reads any number.
    return duckdbTypeName(naturalType(wanted.type, applied)) === wanted.target_type
      ? logicalTypeOf(column, undefined, dialect).type
      : applied;
  }
  throw new SluiceError({
    code: 'SCHEMA_CHANGED',
    address,
    message: `${address}: column "${wanted.name}" was ${wanted.type} when it was applied and is ${column.formattedType} now`,
    hint: 'run: sluice plan, then sluice apply (reads the table anew)',
  });
}

/** The stream tells rows apart by the replica identity; under another key updates and deletes would hit other rows. */
function refuseOtherKey(plan: TablePlan, ownKey: boolean): void {
  const { observed, address, target } = plan;
  const key = target.key.map((name) => sourceName(plan, name));
  const carried = key.every((name) => observed.replicaIdentityColumns.includes(name) || observed.kind === 'p');
  if (carried && (ownKey || sameNames(key, observed.primaryKey))) return;
  throw new SluiceError({
    code: 'SCHEMA_CHANGED',
    address,
    message: carried
      ? `${address}: its primary key is (${observed.primaryKey.join(', ')}) now, it was (${key.join(', ')})`
      : `${address}: its replica identity does not carry the key (${key.join(', ')}) any more`,
    hint: 'run: sluice plan',
  });
}

/** What the source calls a column now. @param name in the destination */
export function sourceName(plan: Pick<TablePlan, 'columns'>, name: string): string {
  return plan.columns.find((entry) => entry.name === name)?.column.name ?? name;
}

export function targetTable(address: string, state: TableState): TargetTable {
  return {
    address,
    schema: state.target.schema,
    name: state.target.name,
    method: state.method,
    output: state.output,
    deletes: state.deletes,
    columns: state.columns.map((column) => ({
      name: column.name,
      type: parseDuckdbTypeName(column.target_type) ?? { kind: 'varchar' },
    })),
    key: state.primary_key,
    partitionBy: state.partition_by,
    metadataPrefix: state.metadata_prefix,
    generation: state.generation,
    backfill: state.backfill?.id ?? 0,
  };
}

/** The table as the decoder of the stream takes it: its columns, and every name that the backlog may know them by. */
export function relationTarget(plan: TablePlan): RelationTarget {
  const known = new Map<number, Set<string>>();
  for (const { attnum, name } of [...plan.state.columns, ...plan.observed.columns]) {
    known.set(attnum, (known.get(attnum) ?? new Set()).add(name));
  }
  return {
    oid: plan.observed.oid,
    columns: decodedColumns(plan),
    keyColumns: plan.target.key.map((name) => plan.columns.findIndex((entry) => entry.name === name)),
    attnums: plan.columns.map(({ column }) => column.attnum),
    known: [...known].sort(([a], [b]) => a - b).map(([attnum, names]) => ({ attnum, names: [...names] })),
  };
}

/** Named as in the destination. */
export function decodedColumns(plan: TablePlan): DecodedColumn[] {
  return plan.columns.map(({ column, name, logical }) => ({ name, logical, source: column.type }));
}

/** What the snapshot of a table has to lock, and to find once it has. */
export function snapshotOf({ schema, name, observed, columns }: TablePlan): BeginSnapshot {
  return {
    schema,
    name,
    lock: observed.kind === 'r' || observed.kind === 'p',
    partitionsOf: null,
    expected: {
      oid: observed.oid,
      columns: columns.map(({ column }) => ({ attnum: column.attnum, name: column.name, type: column.formattedType })),
    },
  };
}

/**
 * `SELECT ... FROM table [WHERE ...]` for a binary COPY that copy-decoder.ts reads.
 * @param where a condition, or null for all rows
 * @param more expressions that follow the columns
 * @param leaf reads this partition of the table, or the table itself by its own name
 */
export function copySql(
  plan: TablePlan,
  where: string | null,
  more: readonly string[] = [],
  leaf: { readonly schema: string; readonly name: string } | null = null,
): string {
  const expressions = [...plan.columns.map(({ column, logical }) => selectExpression(column, logical)), ...more];
  const select = expressions.length === 0 ? '' : expressions.join(', ');
  const from = leaf === null ? fromClause(plan.observed) : `ONLY ${quoteQualified(leaf)}`;
  return `COPY (SELECT ${select} FROM ${from}${where === null ? '' : ` WHERE ${where}`}) TO STDOUT (FORMAT binary)`;
}

/** ONLY would leave out children; a plain inheritance parent is read without them, as it is replicated without them. */
function fromClause(table: ObservedTable): string {
  return table.kind === 'r' ? `ONLY ${quoteQualified(table)}` : quoteQualified(table);
}

/**
 * The values of one column that its destination type cannot hold, as (key, column, source_text, reason) text columns.
 * Run in the snapshot that the load read. Null where every value fits.
 */
export function rejectedSql(plan: TablePlan, position: number, where: string | null): string | null {
  const entry = plan.columns[position];
  if (entry === undefined) return null;
  const predicate = unrepresentablePredicate(entry.column, entry.logical);
  if (predicate === null) return null;
  const conditions = [`(${predicate})`, ...(where === null ? [] : [`(${where})`])];
  return `COPY (SELECT ${keyJson(plan)}, ${quoteLiteral(entry.name)}::text, ${originalText(entry.column)}::text, ${quoteLiteral(rejectionReason(entry.logical))}::text FROM ${fromClause(plan.observed)} WHERE ${conditions.join(' AND ')}) TO STDOUT (FORMAT binary)`;
}

/** The same text, to the byte, that the stream's decoder makes of a key: json_build_object would add spaces. */
function keyJson(plan: TablePlan): string {
  const pairs = plan.target.key.map((name, i) => {
    const before = `${i === 0 ? '' : ','}${JSON.stringify(name)}:`;
    return `${quoteLiteral(before)}, pg_catalog.to_json(pg_catalog.concat(${quoteIdentifier(sourceName(plan, name))}))`;
  });
  return `pg_catalog.concat(${["'{'", ...pairs, "'}'"].join(', ')})`;
}
