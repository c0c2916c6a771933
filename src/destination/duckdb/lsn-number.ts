import { parseLsn } from '../../pgoutput/lsn.js';

/** A commit position as the `_cdc_lsn` column stores it: BIGINT digits. */
export function lsnNumber(lsn: string): string {
  return parseLsn(lsn).toString();
}

/** SQL for the same number from a column that holds an LSN as Postgres prints it. */
export function lsnNumberSql(column: string): string {
  const half = (part: number): string => `('0x' || split_part(${column}, '/', ${part}))::BIGINT`;
  return `(${half(1)} * 4294967296 + ${half(2)})`;
}
