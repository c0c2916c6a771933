import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseDocument } from 'yaml';
import { SluiceError } from '../error/sluice-error.js';
import { addTableEntries, defaultMethod } from './edit-tables.js';

const ENTRIES = [
  { key: 'public.orders', settings: {} },
  { key: 'public."a: b"', settings: { method: 'incremental', cursor: 'updated_at' } },
];
const KEY = `'public."a: b"'`;

describe('new entries', () => {
  test.each<{ name: string; text: string; result: string }>([
    {
      name: 'follow the last one, comments, blank lines and odd spacing stay',
      text: [
        '# top',
        'sources:',
        '    shop:   # the shop',
        '        tables:',
        '            public.users: { output: both,   columns: {exclude: [a]} }   # people',
        '',
        '            public.clicks:',
        '                method: append   # only grows',
        '                cursor: id # last',
        '            # public.old: {}',
        '',
        '# behind',
        'moved: []',
        '',
      ].join('\n'),
      result: [
        '# top',
        'sources:',
        '    shop:   # the shop',
        '        tables:',
        '            public.users: { output: both,   columns: {exclude: [a]} }   # people',
        '',
        '            public.clicks:',
        '                method: append   # only grows',
        '                cursor: id # last',
        '            # public.old: {}',
        '            public.orders: {}',
        `            ${KEY}: { method: incremental, cursor: updated_at }`,
        '',
        '# behind',
        'moved: []',
        '',
      ].join('\n'),
    },
    {
      name: 'an empty flow mapping becomes a block, its comment stays',
      text: 'sources:\n  shop:\n    tables: {} # none yet\n    schema: public\n',
      result: `sources:\n  shop:\n    tables: # none yet\n      public.orders: {}\n      ${KEY}: { method: incremental, cursor: updated_at }\n    schema: public\n`,
    },
    {
      name: 'nothing behind the key',
      text: 'sources:\n  shop:\n    tables:',
      result: `sources:\n  shop:\n    tables:\n      public.orders: {}\n      ${KEY}: { method: incremental, cursor: updated_at }`,
    },
    {
      name: 'into a flow mapping, on its line',
      text: 'sources: { shop: { tables: { public.users: {} }, schema: public } } # one line\n',
      result: `sources: { shop: { tables: { public.users: {}, public.orders: {}, ${KEY}: { method: incremental, cursor: updated_at } }, schema: public } } # one line\n`,
    },
    {
      name: 'at the end of a file without a line break, with Windows line ends',
      text: 'sources:\r\n  shop:\r\n    tables:\r\n      public.users: {}',
      result: `sources:\r\n  shop:\r\n    tables:\r\n      public.users: {}\r\n      public.orders: {}\r\n      ${KEY}: { method: incremental, cursor: updated_at }`,
    },
    {
      name: 'behind an entry without a value, and a list',
      text: 'sources:\n  shop:\n    tables:\n      public.users:\n        primary_key:\n          - id\n          - at # b\n  other: {}\n',
      result: `sources:\n  shop:\n    tables:\n      public.users:\n        primary_key:\n          - id\n          - at # b\n      public.orders: {}\n      ${KEY}: { method: incremental, cursor: updated_at }\n  other: {}\n`,
    },
  ])('$name', ({ text, result }) => expect(addTableEntries(text, 'shop', ENTRIES)).toBe(result));

  test('of none the text stays', () => expect(addTableEntries('a: 1 # b', 'shop', [])).toBe('a: 1 # b'));

  test('are refused where the tables are those of another source', () => {
    const text = 'sources:\n  a:\n    tables: &t { x.y: {} }\n  b:\n    tables: *t\n';
    expect(() => addTableEntries(text, 'b', ENTRIES)).toThrow(SluiceError);
  });

  test('with any names and in any layout mean what was meant, with the entries', () => {
    const name = fc.stringMatching(/^[a-zäñ"':#*&!| .-]{1,12}$/);
    const existing = fc.uniqueArray(name, { maxLength: 4 });
    const added = fc.uniqueArray(
      name.map((text) => `new.${text}`),
      { minLength: 1, maxLength: 4 },
    );
    const layout = fc.record({
      indent: fc.integer({ min: 1, max: 6 }),
      collectionStyle: fc.constantFrom('any' as const, 'block' as const, 'flow' as const),
      comment: fc.boolean(),
    });
    fc.assert(
      fc.property(existing, added, layout, (old, keys, { comment, ...style }) => {
        const document = parseDocument('version: 1');
        document.set('sources', {
          shop: { tables: Object.fromEntries(old.map((key) => [key, { columns: { include: ['a'] } }])) },
          other: { tables: {} },
        });
        document.set('sources', document.createNode(document.get('sources')));
        const text = document.toString(style) + (comment ? '# the end\n' : '');
        const result = addTableEntries(
          text,
          'shop',
          keys.map((key) => ({ key, settings: { method: 'full_table' } })),
        );
        const after = parseDocument(result);
        expect(after.errors).toEqual([]);
        expect(after.toJS()).toEqual({
          version: 1,
          sources: {
            shop: {
              tables: {
                ...Object.fromEntries(old.map((key) => [key, { columns: { include: ['a'] } }])),
                ...Object.fromEntries(keys.map((key) => [key, { method: 'full_table' }])),
              },
            },
            other: { tables: {} },
          },
        });
        expect(result.includes('# the end')).toBe(comment);
      }),
    );
  });
});

test.each([
  { text: 'sources: { shop: { defaults: { method: append } } }', method: 'append' },
  { text: 'sources: { shop: {} }', method: 'cdc' },
])('the default method of $text is $method', ({ text, method }) => expect(defaultMethod(text, 'shop')).toBe(method));
