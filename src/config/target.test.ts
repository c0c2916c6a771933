import { expect, test } from 'vitest';
import { type FileParts, parse, withParts } from '../../test/config/config-text.js';
import { formatProblems } from './problem.js';
import { findCollision, targetOf } from './target.js';

test.each([
  { template: '{schema}', schema: 'public', expected: 'public' },
  { template: '{source}_{schema}', schema: 'public', expected: 'shop_public' },
  { template: 'raw', schema: 'public', expected: 'raw' },
  { template: '{schema}_{schema}', schema: 'a', expected: 'a_a' },
  { template: '{source}', schema: '{source}', expected: 'shop' },
  { template: '{schema}', schema: '{source}$&', expected: '{source}$&' },
])('$template with schema $schema', ({ template, schema, expected }) => {
  expect(targetOf({ name: 'shop', targetSchema: template }, schema, 'users')).toEqual({
    schema: expected,
    name: 'users',
  });
});

function source(name: string, parts: FileParts) {
  const result = parse(withParts(parts).replace('  shop:\n', `  ${name}:\n`));
  if (!result.ok) throw new Error(formatProblems(result.problems));
  const found = result.config.sources[name];
  if (found === undefined) throw new Error('no source');
  return found;
}

test.each<{ name: string; left: FileParts; right: FileParts; collides: boolean }>([
  { name: 'the same table', left: {}, right: {}, collides: true },
  { name: 'the same table in another case', left: {}, right: { tables: '      public.USERS: {}' }, collides: true },
  { name: 'other tables', left: {}, right: { tables: '      public.orders: {}' }, collides: false },
  { name: 'the same name in another schema', left: {}, right: { tables: '      billing.users: {}' }, collides: false },
  {
    name: 'schemas kept apart by the source',
    left: { source: '    target_schema: "{source}"' },
    right: { source: '    target_schema: "{source}"' },
    collides: false,
  },
  {
    name: 'one schema for all',
    left: { source: '    target_schema: raw' },
    right: { source: '    target_schema: raw', tables: '      billing.users: {}' },
    collides: true,
  },
  { name: 'a pattern that may match', left: {}, right: { tables: '      "public.*": {}' }, collides: true },
  { name: 'a pattern that cannot match', left: {}, right: { tables: '      "public.event_*": {}' }, collides: false },
  {
    name: 'a pattern limited to another schema',
    left: {},
    right: { source: '    schema: billing', tables: '      "*.*": {}' },
    collides: false,
  },
  {
    name: 'a pattern whose schema gets a prefix',
    left: {},
    right: { source: '    target_schema: "x_{schema}"', tables: '      "*.*": {}' },
    collides: false,
  },
  {
    name: 'a history in the place of a table',
    left: { tables: '      public.users: { output: both }' },
    right: { tables: '      public.users_cdc: {}' },
    collides: true,
  },
  {
    name: 'a history beside a table',
    left: { tables: '      public.users: { output: history }' },
    right: {},
    collides: false,
  },
])('$name', ({ left, right, collides }) => {
  expect(findCollision(source('shop', left), source('billing', right)) !== null).toBe(collides);
});
