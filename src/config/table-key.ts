import type { SourceConfig, TableEntry } from './config.js';
import { type Glob, globMatches, isLiteral, literalLength } from './glob.js';

/** NAMEDATALEN - 1: Postgres cuts longer names, so no table can have one. */
const IDENTIFIER_MAX_BYTES = 63;

export interface TableKey {
  readonly schema: Glob;
  readonly name: Glob;
  /** Null for a pattern. */
  readonly exact: { readonly schema: string; readonly name: string } | null;
}

export type TableKeyResult =
  | { readonly ok: true; readonly key: TableKey }
  | { readonly ok: false; readonly reason: string };

/**
 * Reads a key of `tables:`: `schema.table`, where a `*` makes it a pattern and a part with a dot, a star or a quote in
 * its name stands in double quotes (`"my.schema"."a ""b"""`). Names are taken as Postgres stores them: `Users` is not
 * folded to `users`.
 */
export function parseTableKey(text: string): TableKeyResult {
  const parts: Glob[] = [];
  let rest = text;
  for (;;) {
    const part = takePart(rest);
    if (part === null) return { ok: false, reason: 'a double quote is not where a name begins or ends' };
    parts.push(part.glob);
    if (part.rest === '') break;
    rest = part.rest.slice(1);
  }
  const [schema, name, ...more] = parts;
  if (schema === undefined || name === undefined) {
    return { ok: false, reason: 'expected schema.table or a pattern such as "billing.*"' };
  }
  if (more.length > 0) {
    return { ok: false, reason: 'expected schema.table; put a name with a dot in it in double quotes' };
  }
  for (const glob of [schema, name]) {
    if (isLiteral(glob) && glob[0] === '') return { ok: false, reason: 'expected schema.table; a name is empty' };
    if (Buffer.byteLength(glob.join('')) > IDENTIFIER_MAX_BYTES) {
      return { ok: false, reason: `a name is longer than the ${IDENTIFIER_MAX_BYTES} bytes that Postgres allows` };
    }
  }
  const exact = isLiteral(schema) && isLiteral(name) ? { schema: schema[0], name: name[0] } : null;
  return { ok: true, key: { schema, name, exact } };
}

/** Writes a table as a key that {@link parseTableKey} reads back, with quotes only where they are needed. */
export function formatTableKey(schema: string, name: string): string {
  return `${quoteWhereNeeded(schema)}.${quoteWhereNeeded(name)}`;
}

/**
 * The entry that speaks for a table: an exact one before any pattern, then the pattern with the most literal
 * characters; among equals the first in alphabetical order, so that the order in the file never matters.
 */
export function matchEntry(entries: readonly TableEntry[], schema: string, name: string): TableEntry | null {
  let best: { readonly entry: TableEntry; readonly literals: number } | null = null;
  for (const entry of entries) {
    if (entry.pattern === null) {
      if (entry.schema === schema && entry.name === name) return entry;
      continue;
    }
    const parsed = parseTableKey(entry.pattern);
    if (!parsed.ok || !globMatches(parsed.key.schema, schema) || !globMatches(parsed.key.name, name)) continue;
    const literals = literalLength(parsed.key.schema) + literalLength(parsed.key.name);
    if (best === null || literals > best.literals || (literals === best.literals && entry.key < best.entry.key)) {
      best = { entry, literals };
    }
  }
  return best?.entry ?? null;
}

/** As {@link matchEntry}, heeding the source's `schema:`, which limits patterns but not exact entries. */
export function entryOf(
  source: Pick<SourceConfig, 'schema' | 'tables'>,
  schema: string,
  name: string,
): TableEntry | null {
  const limited = source.schema !== null && source.schema !== schema;
  return matchEntry(limited ? source.tables.filter((entry) => entry.pattern === null) : source.tables, schema, name);
}

function takePart(text: string): { readonly glob: Glob; readonly rest: string } | null {
  if (text.startsWith('"')) {
    const match = /^"((?:[^"]|"")*)"(?=\.|$)/.exec(text);
    if (match?.[1] === undefined) return null;
    return { glob: [match[1].replaceAll('""', '"')], rest: text.slice(match[0].length) };
  }
  const end = text.indexOf('.');
  const plain = end === -1 ? text : text.slice(0, end);
  if (plain.includes('"')) return null;
  const [first = '', ...others] = plain.split('*');
  return { glob: [first, ...others], rest: end === -1 ? '' : text.slice(end) };
}

function quoteWhereNeeded(name: string): string {
  return name === '' || /[."*]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name;
}
