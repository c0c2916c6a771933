import type { ColumnSelection, Method, Output, Schedule, TableConfig, TableEntry, TypeOverride } from './config.js';
import type { ConfigPath } from './problem.js';
import { readSchedule } from './read-schedule.js';
import { entriesOf, type Reading } from './reading.js';
import type { Pruned } from './schema.js';
import type { Table, TableDefaults } from './schema-types.js';
import { formatTableKey, parseTableKey, type TableKey } from './table-key.js';
import { parseTypeOverride } from './type-override.js';

type RawTable = Pruned<NonNullable<Table>>;

/** A source's `defaults:`, read once. */
export interface DefaultsOfSource {
  readonly raw: Pruned<TableDefaults>;
  readonly path: ConfigPath;
  readonly schedule: Schedule;
  readonly lookbackMs: number;
}

/** The entries of `tables:` with the source's defaults in them. Entries whose key is no table are reported and left out. */
export function readTables(
  raw: Readonly<Record<string, Pruned<Table> | undefined>>,
  path: ConfigPath,
  context: { readonly defaults: DefaultsOfSource; readonly sourceSchema: string | null },
  reading: Reading,
): TableEntry[] {
  const firstKeys = new Map<string, string>();
  return entriesOf(raw).flatMap(([key, settings]): TableEntry[] => {
    const at = [...path, key];
    const parsed = parseTableKey(key);
    if (!parsed.ok) {
      reading.problem(at, parsed.reason, 'key');
      return [];
    }
    const canonical = parsed.key.exact === null ? key : formatTableKey(parsed.key.exact.schema, parsed.key.exact.name);
    const first = firstKeys.get(canonical);
    if (first !== undefined) reading.problem(at, `the same table as ${JSON.stringify(first)}`, 'key');
    firstKeys.set(canonical, key);
    checkPatternSchema(parsed.key, at, context.sourceSchema, reading);
    const table = readTable(settings ?? {}, at, context.defaults, reading);
    const exact = parsed.key.exact;
    return [
      { key, pattern: exact === null ? key : null, schema: exact?.schema ?? null, name: exact?.name ?? null, table },
    ];
  });
}

function checkPatternSchema(key: TableKey, path: ConfigPath, sourceSchema: string | null, reading: Reading): void {
  const [schema, ...others] = key.schema;
  if (key.exact !== null || sourceSchema === null || others.length > 0 || schema === sourceSchema) return;
  reading.warning(
    path,
    `matches nothing: patterns of this source are limited to schema ${JSON.stringify(sourceSchema)}`,
    'key',
  );
}

function readTable(raw: RawTable, path: ConfigPath, defaults: DefaultsOfSource, reading: Reading): TableConfig {
  const method = raw.method ?? defaults.raw.method ?? 'cdc';
  const output = method === 'cdc' ? (raw.output ?? defaults.raw.output ?? 'consolidated') : 'consolidated';
  // A method or output that could not be read would make every setting beside it look wrong.
  const methodKnown = !isBroken('method', path, defaults, reading);
  const outputKnown = !isBroken('output', path, defaults, reading);
  if (methodKnown) checkFit(raw, path, { method, output: outputKnown ? output : null }, reading);
  const cursor = takesCursor(method) ? (raw.cursor ?? defaults.raw.cursor ?? null) : null;
  if (methodKnown && takesCursor(method) && cursor === null && !isBroken('cursor', path, defaults, reading)) {
    reading.problem(
      [...path, 'cursor'],
      `required key is missing: method "${method}" needs the column that only grows`,
      'key',
    );
  }
  return {
    method,
    output,
    deletes: raw.deletes ?? defaults.raw.deletes ?? 'soft',
    columns: readColumns(raw, path, reading),
    cursor,
    lookbackMs:
      method !== 'incremental'
        ? 0
        : raw.lookback === undefined
          ? defaults.lookbackMs
          : reading.duration([...path, 'lookback'], raw.lookback, '0s'),
    primaryKey: method === 'incremental' ? (raw.primary_key ?? null) : null,
    partitionBy: raw.partition_by ?? [],
    onAddColumns: raw.on_add_columns ?? defaults.raw.on_add_columns ?? 'forward_only',
    onPartitionChange: raw.on_partition_change ?? defaults.raw.on_partition_change ?? 'resync',
    types: readTypes(raw, path, reading),
    onRemove: raw.on_remove ?? defaults.raw.on_remove ?? 'retire',
    enabled: raw.enabled ?? true,
    schedule:
      raw.schedule === undefined ? defaults.schedule : readSchedule(raw.schedule, [...path, 'schedule'], reading),
  };
}

function takesCursor(method: Method): boolean {
  return method === 'incremental' || method === 'append';
}

function isBroken(
  key: 'method' | 'output' | 'cursor',
  path: ConfigPath,
  defaults: DefaultsOfSource,
  reading: Reading,
): boolean {
  return reading.isBroken([...path, key]) || reading.isBroken([...defaults.path, key]);
}

/** Settings that mean nothing for the table's method. Defaults of the source are not judged: they are for many tables. */
function checkFit(
  raw: RawTable,
  path: ConfigPath,
  table: { readonly method: Method; readonly output: Output | null },
  reading: Reading,
): void {
  const { method, output } = table;
  const only = (key: keyof RawTable, methods: readonly Method[]): void => {
    if (raw[key] === undefined || methods.includes(method)) return;
    const names = methods.map((name) => `"${name}"`).join(' or ');
    reading.problem([...path, key], `only for method ${names}; the method of this table is "${method}"`, 'key');
  };
  only('output', ['cdc']);
  only('deletes', ['cdc']);
  only('on_partition_change', ['cdc']);
  only('cursor', ['incremental', 'append']);
  only('lookback', ['incremental']);
  only('primary_key', ['incremental']);
  if (method === 'cdc' && output === 'history' && raw.deletes !== undefined) {
    reading.problem(
      [...path, 'deletes'],
      'only for output "consolidated" or "both"; history keeps every version',
      'key',
    );
  }
}

function readColumns(raw: RawTable, path: ConfigPath, reading: Reading): ColumnSelection {
  const { include, exclude } = raw.columns ?? {};
  if (include !== undefined && exclude !== undefined) {
    reading.problem([...path, 'columns'], 'expected either "include" or "exclude", found both', 'key');
  }
  if (include !== undefined) return { kind: 'include', columns: include };
  return exclude === undefined ? { kind: 'all' } : { kind: 'exclude', columns: exclude };
}

function readTypes(raw: RawTable, path: ConfigPath, reading: Reading): Record<string, TypeOverride> {
  // Without a prototype, so that a column called "constructor" finds nothing by accident.
  const types: Record<string, TypeOverride> = Object.create(null);
  for (const [column, text] of entriesOf(raw.types)) {
    const parsed = parseTypeOverride(text);
    if (parsed.ok) types[column] = parsed.type;
    else reading.problem([...path, 'types', column], parsed.reason);
  }
  return types;
}
