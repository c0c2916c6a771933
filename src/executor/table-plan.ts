import { type LogicalType, parseDuckdbTypeName } from '../batch/logical-type.js';
import type { TargetTable } from '../destination/target-table.js';
import { SluiceError } from '../error/sluice-error.js';
import type { ObservedColumn, ObservedSource, ObservedTable } from '../source/catalog-model.js';
import { rejectionReason } from '../source/codec/column-codec-table.js';
import { quoteIdentifier, quoteLiteral, quoteQualified } from '../source/sql-identifier.js';
import { originalText, selectExpression, unrepresentablePredicate } from '../source/value-type.js';
import type { TableState } from '../state/state.js';

/** A table as it is about to be read and written: the applied state joined with what the catalog says now. */
export interface TablePlan {
  readonly address: string;
  readonly schema: string;
  readonly name: string;
  readonly state: TableState;
  readonly observed: ObservedTable;
  readonly target: TargetTable;
  readonly columns: readonly { readonly column: ObservedColumn; readonly logical: LogicalType }[];
}

/**
 * @throws SluiceError TABLE_MISSING, COLUMN_MISSING, SCHEMA_CHANGED when the source no longer has what was applied;
 *   each is the table's own trouble
 */
export function planTable(source: string, key: string, state: TableState, observed: ObservedSource): TablePlan {
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
  const columns = state.columns.map((wanted) => {
    const column = table.columns.find((c) => c.attnum === wanted.attnum && c.name === wanted.name);
    if (column === undefined) {
      throw new SluiceError({
        code: 'COLUMN_MISSING',
        address,
        message: `${key} no longer has the column "${wanted.name}"`,
        hint: 'run: sluice plan, then sluice apply',
      });
    }
    const logical = parseDuckdbTypeName(wanted.target_type);
    if (column.formattedType !== wanted.type || logical === null) {
      throw new SluiceError({
        code: 'SCHEMA_CHANGED',
        address,
        message: `${key}.${wanted.name} was ${wanted.type} when it was applied and is ${column.formattedType} now`,
        hint: 'run: sluice plan, then sluice apply',
      });
    }
    return { column, logical };
  });
  return {
    address,
    schema: table.schema,
    name: table.name,
    state,
    observed: table,
    target: targetTable(address, state),
    columns,
  };
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
    metadataPrefix: state.metadata_prefix,
    generation: state.generation,
  };
}

/**
 * `SELECT ... FROM table [WHERE ...]` for a binary COPY that copy-decoder.ts reads.
 * @param more expressions that follow the columns
 */
export function copySql(plan: TablePlan, where: string | null, more: readonly string[] = []): string {
  const expressions = [...plan.columns.map(({ column, logical }) => selectExpression(column, logical)), ...more];
  const select = expressions.length === 0 ? '' : expressions.join(', ');
  return `COPY (SELECT ${select} FROM ${fromClause(plan.observed)}${where === null ? '' : ` WHERE ${where}`}) TO STDOUT (FORMAT binary)`;
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
  return `COPY (SELECT ${keyJson(plan)}, ${quoteLiteral(entry.column.name)}::text, ${originalText(entry.column)}::text, ${quoteLiteral(rejectionReason(entry.logical))}::text FROM ${fromClause(plan.observed)} WHERE ${conditions.join(' AND ')}) TO STDOUT (FORMAT binary)`;
}

/** The same JSON object of text that the stream's decoder makes of a key. */
function keyJson(plan: TablePlan): string {
  if (plan.target.key.length === 0) return `'{}'::text`;
  const pairs = plan.target.key.map((name) => `${quoteLiteral(name)}, pg_catalog.concat(${quoteIdentifier(name)})`);
  return `pg_catalog.json_build_object(${pairs.join(', ')})::text`;
}
