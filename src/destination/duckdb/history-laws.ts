import { historyName, metadataColumns, type TargetTable } from '../target-table.js';
import { columnList, identifier, qualified } from './sql-text.js';

/**
 * What holds within every key of a history (DESIGN 6): (lsn, seq) is unique, intervals are half-open and do not overlap,
 * only the last version is open, and there are no gaps. After a TRUNCATE, which closes versions without one of its own, a
 * key may come back by an insert.
 * @param keys names that the key's columns get, in their order
 * @returns SQL for (__kind, key columns) of every version that is at odds with the next one
 */
export function historyFaults(table: TargetTable, keys: readonly string[], condition: string | null): string {
  const meta = metadataColumns(table.metadataPrefix);
  const [lsn, seq, op] = [meta.lsn, meta.seq, meta.op].map(identifier);
  const key = columnList(table.key);
  const renamed = table.key.map((name, i) => `${identifier(name)} AS ${keys[i]}`).join(', ');
  const relation = qualified({ schema: table.schema, name: historyName(table) });
  return `SELECT __kind, ${keys.join(', ')} FROM (
    SELECT ${keys.join(', ')}, CASE
        WHEN __lsn IS NULL OR __seq IS NULL OR (__next_lsn = __lsn AND __next_seq = __seq) THEN 'history_order'
        WHEN __from IS NULL OR __to < __from OR __next_from < __to OR (__has_next AND __to IS NULL) THEN 'history_overlap'
        WHEN __to < __next_from AND __next_op <> 'I' THEN 'history_gap'
      END AS __kind
    FROM (
      SELECT ${renamed}, ${lsn} AS __lsn, ${seq} AS __seq, valid_from AS __from, valid_to AS __to,
        lead(true) OVER versions AS __has_next, lead(valid_from) OVER versions AS __next_from,
        lead(${lsn}) OVER versions AS __next_lsn, lead(${seq}) OVER versions AS __next_seq, lead(${op}) OVER versions AS __next_op
      FROM ${relation}${condition === null ? '' : ` WHERE ${condition}`}
      WINDOW versions AS (PARTITION BY ${key} ORDER BY ${lsn}, ${seq}, valid_from)))
  WHERE __kind IS NOT NULL`;
}
