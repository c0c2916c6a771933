import type { TypeOverride } from './config.js';

/** DuckDB and Delta hold decimals of up to 38 digits. */
const MAX_PRECISION = 38;

export type TypeOverrideResult =
  | { readonly ok: true; readonly type: TypeOverride }
  | { readonly ok: false; readonly reason: string };

/** Reads `varchar`, `double`, `json` or `decimal(precision,scale)`. */
export function parseTypeOverride(text: string): TypeOverrideResult {
  if (text === 'varchar' || text === 'double' || text === 'json') return { ok: true, type: { kind: text } };
  const match = /^decimal\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\)$/.exec(text);
  if (match === null) return { ok: false, reason: 'expected varchar, double, json or decimal(precision,scale)' };
  const precision = Number(match[1]);
  const scale = Number(match[2]);
  if (precision < 1 || precision > MAX_PRECISION) {
    return { ok: false, reason: `expected a precision from 1 to ${MAX_PRECISION}, found ${precision}` };
  }
  if (scale > precision) {
    return { ok: false, reason: `expected a scale of at most the precision ${precision}, found ${scale}` };
  }
  return { ok: true, type: { kind: 'decimal', precision, scale } };
}
