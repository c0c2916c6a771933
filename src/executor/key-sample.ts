import type { LogicalType } from '../batch/logical-type.js';
import type { KeySample } from '../destination/target-table.js';
import { quoteIdentifier, quoteLiteral } from '../source/sql-identifier.js';
import { sourceName, type TablePlan } from './table-plan.js';

/**
 * A sample of a table by key. Source and destination each choose the keys whose md5 begins low enough; as the hash is
 * made of the same text on both sides (destination/duckdb/key-sample-sql.ts is its other half), rows that only one side
 * has are found as well. The source still reads every row, but sends only the sample.
 */

const HASH_DIGITS = 8;

/** @param percent above 0, up to 100 */
export function keySample(percent: number, seed: string): KeySample {
  // Sorts behind every digit: all keys.
  if (percent >= 100) return { seed, below: 'g' };
  const below = Math.max(1, Math.floor((percent / 100) * 16 ** HASH_DIGITS));
  return { seed, below: below.toString(16).padStart(HASH_DIGITS, '0') };
}

/** Null where the keys can be sampled, else why not. */
export function whyNotSampled(plan: TablePlan): string | null {
  if (plan.target.key.length === 0) return 'the table has no key';
  for (const name of plan.target.key) {
    const type = plan.target.columns.find((column) => column.name === name)?.type;
    if (type === undefined || !hasSameText(type))
      return `the type of the key column "${name}" reads differently in DuckDB`;
  }
  return null;
}

/** Types whose text is the same on both sides, years before Christ aside. */
function hasSameText(type: LogicalType): boolean {
  switch (type.kind) {
    case 'int16':
    case 'int32':
    case 'int64':
    case 'uint32':
    case 'decimal':
    case 'varchar':
    case 'uuid':
    case 'date':
    case 'timestamp':
    case 'timestamptz':
      return true;
    default:
      return false;
  }
}

/** The sample as a condition for Postgres. The session needs the settings of DESIGN 7. */
export function sampleWhere(plan: TablePlan, sample: KeySample): string {
  // concat() writes a value as its output function does; a cast to text would cut the padding of char(n).
  const parts = plan.target.key.map((name) => `, pg_catalog.chr(31), ${quoteIdentifier(sourceName(plan, name))}`);
  const text = `pg_catalog.concat(${quoteLiteral(sample.seed)}::text${parts.join('')})`;
  const hash = `pg_catalog.md5(pg_catalog.convert_to(${text}, 'UTF8'))`;
  return `pg_catalog.substr(${hash}, 1, ${sample.below.length}) COLLATE "C" < ${quoteLiteral(sample.below)}`;
}
