import { keyEquality } from '../duckdb/sql-text.js';
import type { RowChoice } from './table-format.js';

/** SQL behind a FROM that leaves the rows whose key is chosen. @param alias of the relation that they are in */
export function keyJoin(choose: RowChoice, alias: string): string {
  switch (choose.kind) {
    case 'all':
    case 'where':
      return '';
    case 'keys':
      return ` SEMI JOIN (${choose.keys}) k ON ${keyEquality(choose.key, alias, 'k')}`;
    case 'other_keys':
      return ` ANTI JOIN (${choose.keys}) k ON ${keyEquality(choose.key, alias, 'k')}`;
  }
}
