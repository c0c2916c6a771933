import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { parse as parseYaml } from 'yaml';
import { parseConfig } from './load.js';
import { formatPath } from './problem.js';
import { checkSchema, readSchemaText } from './schema.js';

const EXAMPLE = readFileSync(new URL('../../sources.example.yaml', import.meta.url), 'utf8');

/** The example once for each kind of state: lines that begin with "#:" hold the kinds that cannot stand beside the first. */
function exampleVariants(): string[] {
  const others = [...EXAMPLE.matchAll(/^#: state:\n(?:#: {3}.*\n)+/gm)].map(([block]) =>
    block.replaceAll(/^#: /gm, ''),
  );
  const state = /^state:\n(?: {2}.*\n)+/m;
  return [EXAMPLE, ...others.map((block) => EXAMPLE.replace(state, block))];
}

test('the types are what the schema gives (npm run schema-types)', () => {
  const script = fileURLToPath(new URL('../../schema/generate-types.mjs', import.meta.url));
  expect(() => execFileSync(process.execPath, [script, '--check'], { stdio: 'pipe' })).not.toThrow();
});

test('the example has a kind of state for each that the schema knows', () => {
  expect(exampleVariants().map((text) => at(parseYaml(text, { merge: true }), 'state', 'type'))).toEqual([
    'file',
    's3',
    's3',
    'postgres',
  ]);
});

test.each(exampleVariants().map((text, index) => ({ text, index })))('the example is right ($index)', ({ text }) => {
  const result = parseConfig(text, 'sources.example.yaml', { env: {}, cwd: '/', homeDir: '/' });
  expect(result.ok ? [] : result.problems).toEqual([]);
});

test('the example begins with the line that editors look for', () => {
  expect(EXAMPLE.split('\n')[0]).toBe('# yaml-language-server: $schema=./schema/sources.schema.json');
});

test('every property of the schema stands in the example', () => {
  const schema: unknown = JSON.parse(readSchemaText());
  const used = new Set<string>();
  for (const text of exampleVariants()) markUsed(parseYaml(text, { merge: true }), schema, '#', schema, used);
  const all = [...allProperties(schema, '#')];
  expect(all.length).toBeGreaterThan(80);
  expect(all.filter((property) => !used.has(property))).toEqual([]);
});

test('every property of the schema is described', () => {
  const schema: unknown = JSON.parse(readSchemaText());
  const undescribed = [...allProperties(schema, '#')].filter((pointer) => {
    const part = resolve(schema, pointer);
    const target = resolve(schema, pointerOf(at(part, '$ref')) ?? pointer);
    return typeof at(part, 'description') !== 'string' && typeof at(target, 'description') !== 'string';
  });
  expect(undescribed).toEqual([]);
});

test('what is left after pruning holds nothing of a wrong type', () => {
  const raw = {
    version: 7,
    connections: { a: 5, b: { port: 'x', host: 'h', tls: { mode: 'none', ca_file: 'c' } }, '9': {} },
    destinations: { d: { type: 'tape', path: 'p' }, e: { type: 'duckdb', path: 'p', size: 1 } },
    sources: { s: { tables: { 'a.b': { primary_key: ['x', 5], cursor: 'c' } } } },
    moved: [{ from: 5 }],
  };
  const { issues, pruned } = checkSchema(raw, () => 'it');
  expect(pruned).toEqual({
    connections: { b: { host: 'h', tls: { ca_file: 'c' } } },
    destinations: { e: { type: 'duckdb', path: 'p' } },
    sources: { s: { tables: { 'a.b': { cursor: 'c' } } } },
  });
  expect(issues.map(({ path }) => formatPath(path)).sort()).toEqual(
    [
      'version',
      'connections.a',
      'connections.b.port',
      'connections.b.tls.mode',
      'connections["9"]',
      'destinations.d.type',
      'destinations.e.size',
      'sources.s.connection',
      'sources.s.destination',
      'sources.s.tables["a.b"].primary_key[1]',
      'moved[0].from',
      'moved[0].to',
    ].sort(),
  );
});

/** Pointers of all properties that somebody can write, definitions counted once. */
function* allProperties(part: unknown, pointer: string): Generator<string> {
  if (typeof part !== 'object' || part === null) return;
  for (const [key, value] of Object.entries(part)) {
    if (key === 'properties' && typeof value === 'object' && value !== null) {
      for (const name of Object.keys(value)) yield `${pointer}/properties/${name}`;
    }
    if (key !== 'default' && key !== 'enum') yield* allProperties(value, `${pointer}/${key}`);
  }
}

/** Walks the file along the schema and notes each property that it uses. */
function markUsed(value: unknown, part: unknown, pointer: string, schema: unknown, used: Set<string>): void {
  const target = pointerOf(at(part, '$ref'));
  if (target !== null) {
    markUsed(value, resolve(schema, target), target, schema, used);
    return;
  }
  const branches: unknown = at(part, 'oneOf');
  if (Array.isArray(branches)) {
    const branch = branches
      .map((candidate: unknown) => pointerOf(at(candidate, '$ref')) ?? '#')
      .find((candidate) => at(resolve(schema, candidate), 'properties', 'type', 'const') === at(value, 'type'));
    if (branch !== undefined) markUsed(value, resolve(schema, branch), branch, schema, used);
    return;
  }
  if (Array.isArray(value)) {
    for (const item of value) markUsed(item, at(part, 'items'), `${pointer}/items`, schema, used);
    return;
  }
  if (typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    const own: unknown = at(part, 'properties', key);
    const next = own === undefined ? `${pointer}/additionalProperties` : `${pointer}/properties/${key}`;
    if (own !== undefined) used.add(next);
    markUsed(inner, own ?? at(part, 'additionalProperties'), next, schema, used);
  }
}

function at(value: unknown, ...keys: readonly string[]): unknown {
  return keys.reduce<unknown>(
    (inner, key) =>
      typeof inner === 'object' && inner !== null
        ? Object.entries(inner).find(([name]) => name === key)?.[1]
        : undefined,
    value,
  );
}

function pointerOf(ref: unknown): string | null {
  return typeof ref === 'string' ? ref : null;
}

function resolve(schema: unknown, pointer: string): unknown {
  return at(schema, ...pointer.split('/').slice(1));
}
