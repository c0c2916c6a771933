import { parseDocument } from 'yaml';
import type { ValueKind } from './completion.js';

/**
 * Names of a kind that a config file has, for completion: of a file with mistakes those that can be made out, of a text
 * that is no YAML none. Never throws.
 */
export function configNames(text: string, kind: ValueKind): readonly string[] {
  let raw: unknown;
  try {
    raw = parseDocument(text, { logLevel: 'silent' }).toJS({ maxAliasCount: 1000 });
  } catch {
    return [];
  }
  const sources = entriesOf(at(raw, 'sources'));
  switch (kind) {
    case 'source':
      return sources.map(([name]) => name);
    case 'address':
      return sources.flatMap(([name, source]) => [
        name,
        // A pattern is no address.
        ...entriesOf(at(source, 'tables')).flatMap(([key]) => (key.includes('*') ? [] : [`${name}:${key}`])),
      ]);
    case 'destination':
      return entriesOf(at(raw, 'destinations')).map(([name]) => name);
    case 'connection':
      return entriesOf(at(raw, 'connections')).map(([name]) => name);
    case 'file':
    case 'none':
      return [];
  }
}

function at(raw: unknown, key: string): unknown {
  return entriesOf(raw).find(([name]) => name === key)?.[1];
}

function entriesOf(raw: unknown): readonly (readonly [string, unknown])[] {
  return typeof raw === 'object' && raw !== null && !Array.isArray(raw) ? Object.entries(raw) : [];
}
