import { type LoadResult, parseConfig } from '../../src/config/load.js';
import { formatProblems } from '../../src/config/problem.js';

/** The sections of a small right file; a test replaces the one it is about. Each is whole lines. */
const SECTIONS = {
  version: 'version: 1',
  connections: '  shop_db: { host: localhost, database: shop, user: sluice }',
  destinations: '  warehouse: { type: duckdb, path: warehouse.duckdb }',
  /** Settings of the source "shop" beside connection, destination and tables. */
  source: '',
  tables: '      public.users: {}',
  /** More sources first, then more sections. */
  more: '',
};

export type FileParts = Partial<typeof SECTIONS>;

/** Values of variables in the tests: one of them tries to add a key. */
export const ENV = { SET: 'x', EMPTY: '', HOSTILE: 'cdc\n        deletes: hard' };

export function withParts(parts: FileParts): string {
  const { version, connections, destinations, source, tables, more } = { ...SECTIONS, ...parts };
  const lines = [
    version,
    'connections:',
    connections,
    'destinations:',
    destinations,
    'sources:',
    '  shop:',
    '    connection: shop_db',
    '    destination: warehouse',
    source,
    '    tables:',
    tables,
    more,
  ];
  return `${lines.filter((line) => line !== '').join('\n')}\n`;
}

export function parse(text: string, env: Readonly<Record<string, string>> = ENV): LoadResult {
  return parseConfig(text, 'sources.yaml', { env, cwd: '/etc/sluice', homeDir: '/home/ann' });
}

/** What the terminal shows for a file: its problems, or the warnings of a right one. */
export function problemsOf(text: string): string {
  const result = parse(text);
  return formatProblems(result.ok ? result.warnings : result.problems);
}
