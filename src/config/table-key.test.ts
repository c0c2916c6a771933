import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { TableConfig, TableEntry } from './config.js';
import { globMatches, globsOverlap } from './glob.js';
import { entryOf, formatTableKey, matchEntry, parseTableKey } from './table-key.js';

test.each([
  { text: 'public.users', schema: 'public', name: 'users' },
  { text: 'Public.Users', schema: 'Public', name: 'Users' },
  { text: '"my.schema"."my.table"', schema: 'my.schema', name: 'my.table' },
  { text: 'public."a ""b"""', schema: 'public', name: 'a "b"' },
  { text: 'public."*"', schema: 'public', name: '*' },
  { text: 'public.order lines', schema: 'public', name: 'order lines' },
  { text: 'öffentlich.größe', schema: 'öffentlich', name: 'größe' },
])('$text names a table', ({ text, schema, name }) => {
  expect(parseTableKey(text)).toMatchObject({ ok: true, key: { exact: { schema, name } } });
});

test.each([
  { text: 'billing.*', schema: ['billing'], name: ['', ''] },
  { text: '*.*', schema: ['', ''], name: ['', ''] },
  { text: 'public.event_*_old', schema: ['public'], name: ['event_', '_old'] },
  { text: '"my.schema".*', schema: ['my.schema'], name: ['', ''] },
])('$text is a pattern', ({ text, schema, name }) => {
  expect(parseTableKey(text)).toEqual({ ok: true, key: { schema, name, exact: null } });
});

test.each(['', 'users', '.users', 'public.', 'a.b.c', '"a"b.c', 'a"b".c', '"a.b', '*', `public.${'ö'.repeat(32)}`])(
  '%j is no key',
  (text) => {
    expect(parseTableKey(text).ok).toBe(false);
  },
);

test('what is written is read back, whatever the names hold', async () => {
  const name = fc.string({ minLength: 1, maxLength: 12, unit: fc.constantFrom('a', 'B', '.', '"', '*', ' ', 'é') });
  await fc.assert(
    fc.property(name, name, (schema, table) => {
      expect(parseTableKey(formatTableKey(schema, table))).toMatchObject({
        ok: true,
        key: { exact: { schema, name: table } },
      });
    }),
  );
});

const TABLE: TableConfig = {
  method: 'cdc',
  output: 'consolidated',
  deletes: 'soft',
  columns: { kind: 'all' },
  cursor: null,
  lookbackMs: 0,
  primaryKey: null,
  onAddColumns: 'forward_only',
  partitionBy: [],
  onPartitionChange: 'resync',
  types: {},
  onRemove: 'retire',
  enabled: true,
  schedule: { kind: 'every', everyMs: 300_000 },
};

function entry(key: string): TableEntry {
  const parsed = parseTableKey(key);
  const exact = parsed.ok ? parsed.key.exact : null;
  return {
    key,
    pattern: exact === null ? key : null,
    schema: exact?.schema ?? null,
    name: exact?.name ?? null,
    table: TABLE,
  };
}

test.each([
  {
    name: 'an exact entry wins over patterns',
    keys: ['public.*', 'public.users', '*.users'],
    table: ['public', 'users'],
    found: 'public.users',
  },
  {
    name: 'the pattern with more literal characters wins',
    keys: ['*.*', 'public.*', 'public.event_*'],
    table: ['public', 'event_1'],
    found: 'public.event_*',
  },
  {
    name: 'the order in the file does not matter',
    keys: ['public.event_*', 'public.*', '*.*'],
    table: ['public', 'event_1'],
    found: 'public.event_*',
  },
  {
    name: 'among equals the first in the alphabet',
    keys: ['public.b*', 'public.*b'],
    table: ['public', 'bb'],
    found: 'public.*b',
  },
  {
    name: 'a star stands for nothing, too',
    keys: ['public.users*'],
    table: ['public', 'users'],
    found: 'public.users*',
  },
  { name: 'letter case counts', keys: ['public.Users'], table: ['public', 'users'], found: null },
  { name: 'a dot is no wildcard', keys: ['public.a*'], table: ['publicx', 'ab'], found: null },
  { name: 'quoted stars are literal', keys: ['public."a*"'], table: ['public', 'ab'], found: null },
])('$name', ({ keys, table: [schema = '', name = ''], found }) => {
  expect(matchEntry(keys.map(entry), schema, name)?.key ?? null).toBe(found);
});

test.each([
  { name: 'patterns are limited to the schema of the source', schema: 'public', table: ['billing', 'a'], found: null },
  { name: 'exact entries are not', schema: 'public', table: ['billing', 'invoices'], found: 'billing.invoices' },
  { name: 'without a schema patterns go everywhere', schema: null, table: ['billing', 'a'], found: '*.*' },
])('$name', ({ schema, table: [tableSchema = '', name = ''], found }) => {
  const source = { schema, tables: [entry('*.*'), entry('billing.invoices')] };
  expect(entryOf(source, tableSchema, name)?.key ?? null).toBe(found);
});

test('two patterns overlap exactly when some name matches both', async () => {
  const letter = fc.constantFrom('a', 'b', '*');
  const glob = fc.array(letter, { maxLength: 5 }).map((letters): [string, ...string[]] => {
    const [first = '', ...others] = letters.join('').split('*');
    return [first, ...others];
  });
  const names = allNames(['a', 'b'], 6);
  await fc.assert(
    fc.property(glob, glob, (left, right) => {
      // Two patterns of up to five letters that overlap do so in a name of at most as many letters as both hold.
      const literals = left.join('').length + right.join('').length;
      fc.pre(literals <= 6);
      const common = names.some((name) => regex(left).test(name) && regex(right).test(name));
      expect(globsOverlap(left, right)).toBe(common);
    }),
  );
  expect(names.every((name) => globMatches(['a', 'b'], name) === /^a[ab]*b$/.test(name))).toBe(true);
});

function regex(glob: readonly string[]): RegExp {
  return new RegExp(`^${glob.join('[ab]*')}$`);
}

function allNames(letters: readonly string[], length: number): string[] {
  if (length === 0) return [''];
  const shorter = allNames(letters, length - 1);
  return ['', ...letters.flatMap((letter) => shorter.map((rest) => letter + rest))];
}
