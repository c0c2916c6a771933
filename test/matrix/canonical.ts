import type { TypeCase } from './type-case.js';

/**
 * One text for each value of a DuckDB type, in SQL of both sides: two values have the same text only where they are the
 * same bits (-0 is not 0, a month is not 30 days). Postgres's side is written without Sluice's codecs, from its own casts
 * and send functions, so it says what a cell must be.
 */

/** Longer values are compared by their digest. */
const LONG = 1000;
/** Microseconds from 1970 to 2000, where Postgres begins to count. */
const MICROS_TO_2000 = 946_684_800_000_000;
const NAN_BITS = {
  FLOAT: `0${'1'.repeat(9)}${'0'.repeat(22)}`,
  DOUBLE: `0${'1'.repeat(12)}${'0'.repeat(51)}`,
} as const;

/**
 * What a cell of the case must be, as text, null for NULL.
 * @param column as SQL
 * @param rejected ids of the rows whose value cannot be held
 */
export function postgresText(c: TypeCase, column: string, rejected: readonly number[]): string {
  const text = postgresValue(c.duckdb, (c.as ?? '$').replaceAll('$', column));
  // The CASE also keeps a value that does not fit from being cast.
  return rejected.length === 0 ? text : `case when id not in (${rejected.join(', ')}) then ${text} end`;
}

/** What a cell is, as text, null for NULL. */
export function duckdbText(type: string, column: string): string {
  const element = elementOf(type);
  if (element !== null) {
    const item = duckdbText(element, 'x');
    const items = `list_transform(${column}, lambda x: coalesce(strlen(${item}) || ':' || ${item}, 'NULL'))`;
    return `CASE WHEN ${column} IS NOT NULL THEN '[' || array_to_string(${items}, ',') || ']' END`;
  }
  const long = (text: string): string =>
    `CASE WHEN strlen(${text}) > ${LONG} THEN 'md5 ' || md5(${text}) ELSE ${text} END`;
  switch (type) {
    case 'FLOAT':
    case 'DOUBLE':
      return `${column}::BIT::VARCHAR`;
    case 'BLOB':
      return `CASE WHEN octet_length(${column}) > ${LONG} THEN 'md5 ' || md5(${column}) ELSE lower(hex(${column})) END`;
    case 'VARCHAR':
    case 'JSON':
      return long(`${column}::VARCHAR`);
    case 'DATE':
      return `CASE WHEN isfinite(${column}) THEN date_diff('day', DATE '1970-01-01', ${column})::VARCHAR ELSE ${column}::VARCHAR END`;
    case 'TIMESTAMP':
    case 'TIMESTAMP WITH TIME ZONE':
      return `CASE WHEN isfinite(${column}) THEN epoch_us(${column})::VARCHAR ELSE ${column}::VARCHAR END`;
    case 'TIME WITH TIME ZONE':
      return `${column}::TIME::VARCHAR || ' ' || datepart('timezone', ${column})::VARCHAR`;
    case 'INTERVAL': {
      const part = (name: string): string => `datepart('${name}', ${column})`;
      const micros = `${part('hour')} * 3600000000 + ${part('minute')} * 60000000 + ${part('microsecond')}`;
      return `(${part('year')} * 12 + ${part('month')})::VARCHAR || ' ' || ${part('day')}::VARCHAR || ' ' || (${micros})::VARCHAR`;
    }
    default:
      // DuckDB leaves out the 0 of a decimal that has no digit before its point.
      return type.startsWith('DECIMAL')
        ? `regexp_replace(${column}::VARCHAR, '^(-?)[.]', '\\10.')`
        : `${column}::VARCHAR`;
  }
}

function postgresValue(type: string, value: string): string {
  const element = elementOf(type);
  if (element !== null) {
    const item = postgresValue(element, 'e');
    const items = `string_agg(coalesce(octet_length(${item}) || ':' || ${item}, 'NULL'), ',' order by n)`;
    const list = `(select '[' || coalesce(${items}, '') || ']' from unnest(${value}) with ordinality as u (e, n))`;
    return `case when ${value} is not null then ${list} end`;
  }
  const long = (text: string): string =>
    `case when octet_length(${text}) > ${LONG} then 'md5 ' || md5(${text}) else ${text} end`;
  switch (type) {
    case 'FLOAT':
    case 'DOUBLE': {
      const [send, width] = type === 'FLOAT' ? ['float4send', 32] : ['float8send', 64];
      const bits = `(('x' || encode(${send}(${value}), 'hex'))::bit(${width}))::text`;
      return `case when ${value} = 'NaN' then '${NAN_BITS[type]}' else ${bits} end`;
    }
    case 'BLOB':
      return `case when octet_length(${value}) > ${LONG} then 'md5 ' || md5(${value}) else encode(${value}, 'hex') end`;
    case 'JSON':
      return long(`${value}::text`);
    case 'VARCHAR':
      // The output function, which a cast to text is not for char(n), inet and others.
      return `case when ${value} is distinct from null then ${long(`format('%s', ${value})`)} end`;
    case 'DATE':
      return `case when isfinite(${value}) then (${value} - date '1970-01-01')::text else ${value}::text end`;
    case 'TIMESTAMP':
    case 'TIMESTAMP WITH TIME ZONE': {
      const send = type === 'TIMESTAMP' ? 'timestamp_send' : 'timestamptz_send';
      const micros = `(${integerAt(`${send}(${value})`, 1, 8)}::numeric + ${MICROS_TO_2000})::text`;
      return `case when isfinite(${value}) then ${micros} else ${value}::text end`;
    }
    case 'TIME WITH TIME ZONE':
      return `${value}::time::text || ' ' || extract(timezone from ${value})::int::text`;
    case 'INTERVAL': {
      const field = (from: number, bytes: 4 | 8): string =>
        `${integerAt(`interval_send(${value})`, from, bytes)}::text`;
      return `${field(13, 4)} || ' ' || ${field(9, 4)} || ' ' || ${field(1, 8)}`;
    }
    default:
      return `${value}::text`;
  }
}

/** A signed big-endian integer within bytes, counted from 1. */
function integerAt(bytes: string, from: number, length: 4 | 8): string {
  const bits = `('x' || encode(substr(${bytes}, ${from}, ${length}), 'hex'))::bit(${length * 8})`;
  return length === 4 ? `(${bits}::int)` : `(${bits}::bigint)`;
}

function elementOf(type: string): string | null {
  return type.endsWith('[]') ? type.slice(0, -2) : null;
}
