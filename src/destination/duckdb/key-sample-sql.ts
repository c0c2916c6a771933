import type { LogicalType } from '../../batch/logical-type.js';
import type { KeySample, TargetTable } from '../target-table.js';
import { identifier, literal } from './sql-text.js';

/**
 * SQL that is true for the rows of a sample: those whose key's md5 begins low enough. The source computes the same of
 * the same text (executor/key-sample.ts), so both sides choose the same keys without telling each other.
 */
export function inSample(table: TargetTable, sample: KeySample): string {
  const parts = table.key.map((name) => {
    const type = table.columns.find((column) => column.name === name)?.type ?? { kind: 'varchar' };
    return `, chr(31), ${keyText(type, identifier(name))}`;
  });
  return `substr(md5(concat(${literal(sample.seed)}${parts.join('')})), 1, ${sample.below.length}) < ${literal(sample.below)}`;
}

/** The text that Postgres's output function gives; DuckDB's differs in how it writes years before Christ. */
function keyText(type: LogicalType, expression: string): string {
  switch (type.kind) {
    case 'date':
    case 'timestamp':
    case 'timestamptz': {
      const text = `${expression}::VARCHAR`;
      return `CASE WHEN ${text} LIKE '% (BC)%' THEN concat(replace(${text}, ' (BC)', ''), ' BC') ELSE ${text} END`;
    }
    default:
      return `${expression}::VARCHAR`;
  }
}
