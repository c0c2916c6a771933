import { formatTableKey, parseTableKey } from './table-key.js';

/** What an address of the command line, a plan or `moved:` names. */
export type Address =
  | { readonly kind: 'source'; readonly source: string }
  | { readonly kind: 'table'; readonly source: string; readonly schema: string; readonly name: string }
  | { readonly kind: 'slot'; readonly source: string }
  | { readonly kind: 'publication'; readonly source: string };

/**
 * Reads `source`, `source:schema.table`, `source:slot` or `source:publication`. The table is written as in `tables:`,
 * without a pattern.
 * @returns null where the text is no address
 */
export function parseAddress(text: string): Address | null {
  const colon = text.indexOf(':');
  const source = colon === -1 ? text : text.slice(0, colon);
  if (!/^[A-Za-z][A-Za-z0-9_-]*$/.test(source)) return null;
  if (colon === -1) return { kind: 'source', source };
  const rest = text.slice(colon + 1);
  if (rest === 'slot' || rest === 'publication') return { kind: rest, source };
  const parsed = parseTableKey(rest);
  return parsed.ok && parsed.key.exact !== null ? { kind: 'table', source, ...parsed.key.exact } : null;
}

/** Writes an address that {@link parseAddress} reads back. */
export function formatAddress(address: Address): string {
  if (address.kind === 'source') return address.source;
  return address.kind === 'table'
    ? `${address.source}:${formatTableKey(address.schema, address.name)}`
    : `${address.source}:${address.kind}`;
}
