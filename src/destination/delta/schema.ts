import { isDeepStrictEqual } from 'node:util';
import { SluiceError } from '../../error/sluice-error.js';

/**
 * A Delta table's columns (PROTOCOL.md, "Schema Serialization Format") beside the type names of DuckDB, in which files are
 * written. What foreign writers made and Sluice does not write (map, struct, variant, what comes later) is carried along as
 * it stands.
 */
export interface StructType {
  readonly fields: readonly DeltaField[];
}

export interface DeltaField {
  readonly name: string;
  readonly type: DeltaType;
  readonly nullable: boolean;
  readonly metadata: Readonly<Record<string, unknown>>;
}

export type PlainType =
  | 'boolean'
  | 'byte'
  | 'short'
  | 'integer'
  | 'long'
  | 'float'
  | 'double'
  | 'string'
  | 'binary'
  | 'date'
  | 'timestamp'
  | 'timestamp_ntz';

export type DeltaType =
  | { readonly kind: 'plain'; readonly name: PlainType }
  | { readonly kind: 'decimal'; readonly precision: number; readonly scale: number }
  | { readonly kind: 'array'; readonly element: DeltaType; readonly containsNull: boolean }
  /** Its JSON as the foreign writer gave it. */
  | { readonly kind: 'opaque'; readonly json: unknown };

const PLAIN_TYPES: Readonly<Record<PlainType, string>> = {
  boolean: 'BOOLEAN',
  byte: 'TINYINT',
  short: 'SMALLINT',
  integer: 'INTEGER',
  long: 'BIGINT',
  float: 'FLOAT',
  double: 'DOUBLE',
  string: 'VARCHAR',
  binary: 'BLOB',
  date: 'DATE',
  timestamp: 'TIMESTAMP WITH TIME ZONE',
  timestamp_ntz: 'TIMESTAMP',
};

/**
 * What DuckDB's other types become: Delta has no unsigned integers, so the next wider one, and no uuid, json, time or
 * interval, so their text.
 */
const FROM_DUCKDB: Readonly<Record<string, PlainType>> = {
  ...Object.fromEntries(plainNames().map((name) => [PLAIN_TYPES[name], name])),
  TIMESTAMPTZ: 'timestamp',
  UTINYINT: 'short',
  USMALLINT: 'integer',
  UINTEGER: 'long',
  UUID: 'string',
  JSON: 'string',
  TIME: 'string',
  'TIME WITH TIME ZONE': 'string',
  TIMETZ: 'string',
  INTERVAL: 'string',
};

const MAX_PRECISION = 38;

/**
 * The Delta type of a column of DuckDB.
 * @param duckdbType as `typeof()` and DESCRIBE spell it: `DECIMAL(18,3)`, `INTEGER[]`
 * @throws SluiceError DELTA_TYPE_UNSUPPORTED
 */
export function deltaType(duckdbType: string): DeltaType {
  const text = duckdbType.trim();
  const element = /^(.*)\[[0-9]*\]$/s.exec(text)?.[1];
  if (element !== undefined) return { kind: 'array', element: deltaType(element), containsNull: true };
  const [, precision, scale] = /^DECIMAL\(([0-9]+),\s*([0-9]+)\)$/i.exec(text) ?? [];
  if (precision !== undefined && scale !== undefined) {
    return { kind: 'decimal', precision: Number(precision), scale: Number(scale) };
  }
  if (/^ENUM\(/i.test(text)) return { kind: 'plain', name: 'string' };
  const name = FROM_DUCKDB[text.toUpperCase()];
  if (name !== undefined) return { kind: 'plain', name };
  throw new SluiceError({
    code: 'DELTA_TYPE_UNSUPPORTED',
    message: `Delta Lake has no type for DuckDB's ${text}`,
    hint: 'override the column under `types:`, with varchar for one',
  });
}

/**
 * The type of DuckDB in which a file's column is written and read. It is not always the one that {@link deltaType} was given
 * (a UUID is stored as VARCHAR): cast to it before a COPY.
 * @throws SluiceError DELTA_TYPE_UNSUPPORTED for what a foreign writer made
 */
export function duckdbType(type: DeltaType): string {
  switch (type.kind) {
    case 'plain':
      return PLAIN_TYPES[type.name];
    case 'decimal':
      return `DECIMAL(${type.precision},${type.scale})`;
    case 'array':
      return `${duckdbType(type.element)}[]`;
    case 'opaque':
      throw new SluiceError({
        code: 'DELTA_TYPE_UNSUPPORTED',
        message: `a column of type ${opaqueName(type.json)} was made by another writer; Sluice does not write this type`,
        hint: 'drop the column with the engine that made it, or give Sluice another folder',
      });
  }
}

/** A column as Sluice makes it. @throws SluiceError DELTA_TYPE_UNSUPPORTED, with the column's name */
export function deltaField(column: {
  readonly name: string;
  readonly duckdbType: string;
  readonly nullable: boolean;
  readonly comment?: string | null;
}): DeltaField {
  const comment = column.comment ?? null;
  return {
    name: column.name,
    type: withColumnName(column.name, () => deltaType(column.duckdbType)),
    nullable: column.nullable,
    metadata: comment === null ? {} : { comment },
  };
}

/**
 * The column with what the table's schema before it says of it beside its comment: a writer keeps metadata that it does not
 * know, as long as the column is what it was.
 */
export function withOtherMetadata(field: DeltaField, before: StructType | null): DeltaField {
  const was = before?.fields.find(({ name }) => name === field.name);
  if (was === undefined || !isDeepStrictEqual(was.type, field.type)) return field;
  const { comment: _comment, ...others } = was.metadata;
  return { ...field, metadata: { ...others, ...field.metadata } };
}

/** {@link duckdbType} of a column. @throws SluiceError DELTA_TYPE_UNSUPPORTED, with the column's name */
export function storedType(field: DeltaField): string {
  return withColumnName(field.name, () => duckdbType(field.type));
}

export function columnComment(field: DeltaField): string | null {
  const comment = field.metadata['comment'];
  return typeof comment === 'string' ? comment : null;
}

/** The text of `metaData.schemaString`. */
export function schemaString(schema: StructType): string {
  return JSON.stringify({
    type: 'struct',
    fields: schema.fields.map((field) => ({
      name: field.name,
      type: typeJson(field.type),
      nullable: field.nullable,
      metadata: field.metadata,
    })),
  });
}

/** @throws SluiceError DELTA_LOG_CORRUPT where the text is no schema */
export function parseSchema(text: string): StructType {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new SluiceError({ code: 'DELTA_LOG_CORRUPT', message: 'the schema of the table is no JSON', cause });
  }
  if (!isObject(json) || json['type'] !== 'struct' || !Array.isArray(json['fields'])) {
    throw corrupt('it is no struct with fields');
  }
  return { fields: json['fields'].map(parseField) };
}

/** Whether the type, or what it is made of, is one of these. */
export function typeContains(type: DeltaType, name: PlainType): boolean {
  if (type.kind === 'array') return typeContains(type.element, name);
  // A struct or map of a foreign writer may hold it as well; its JSON spells types as quoted words.
  if (type.kind === 'opaque') return JSON.stringify(type.json).includes(JSON.stringify(name));
  return type.kind === 'plain' && type.name === name;
}

function parseField(json: unknown): DeltaField {
  if (!isObject(json) || typeof json['name'] !== 'string') throw corrupt('a field has no name');
  const metadata = json['metadata'] ?? {};
  if (!isObject(metadata)) throw corrupt(`the metadata of "${json['name']}" is no object`);
  // Nullable is the safe reading where a writer left it out.
  return { name: json['name'], type: parseType(json['type']), nullable: json['nullable'] !== false, metadata };
}

function parseType(json: unknown): DeltaType {
  if (typeof json === 'string') {
    const plain = plainNames().find((name) => name === json);
    if (plain !== undefined) return { kind: 'plain', name: plain };
    // The protocol's own default, as Spark writes a decimal without arguments.
    if (json === 'decimal') return { kind: 'decimal', precision: 10, scale: 0 };
    const [, precision, scale] = /^decimal\(\s*([0-9]+)\s*,\s*(-?[0-9]+)\s*\)$/.exec(json) ?? [];
    const digits = Number(precision);
    if (digits >= 1 && digits <= MAX_PRECISION && Number(scale) >= 0 && Number(scale) <= digits) {
      return { kind: 'decimal', precision: digits, scale: Number(scale) };
    }
    return { kind: 'opaque', json };
  }
  if (isObject(json) && json['type'] === 'array') {
    const element = parseType(json['elementType']);
    if (element.kind !== 'opaque') return { kind: 'array', element, containsNull: json['containsNull'] !== false };
  }
  if (json === undefined) throw corrupt('a field has no type');
  return { kind: 'opaque', json };
}

function typeJson(type: DeltaType): unknown {
  switch (type.kind) {
    case 'plain':
      return type.name;
    case 'decimal':
      return `decimal(${type.precision},${type.scale})`;
    case 'array':
      return { type: 'array', elementType: typeJson(type.element), containsNull: type.containsNull };
    case 'opaque':
      return type.json;
  }
}

function plainNames(): readonly PlainType[] {
  return [
    'boolean',
    'byte',
    'short',
    'integer',
    'long',
    'float',
    'double',
    'string',
    'binary',
    'date',
    'timestamp',
    'timestamp_ntz',
  ];
}

function opaqueName(json: unknown): string {
  if (typeof json === 'string') return json;
  const name = isObject(json) ? json['type'] : undefined;
  return typeof name === 'string' ? name : JSON.stringify(json);
}

function withColumnName<T>(name: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof SluiceError) || error.code !== 'DELTA_TYPE_UNSUPPORTED') throw error;
    throw new SluiceError({ code: error.code, message: `column "${name}": ${error.message}`, hint: error.hint });
  }
}

function corrupt(what: string): SluiceError {
  return new SluiceError({ code: 'DELTA_LOG_CORRUPT', message: `the schema of the table cannot be read: ${what}` });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
