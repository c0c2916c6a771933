import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Document, parseDocument } from 'yaml';
import { SluiceError } from '../error/sluice-error.js';
import { formatYaml } from './format-yaml.js';

const format = (text: string) => formatYaml(text, 'sources.yaml');
const comments = (text: string) => [...text.matchAll(/#(w\d+)/g)].map((match) => match[1]);

test('spaces and blank lines change, comments and order stay', () => {
  expect(
    format(
      [
        '# top  ',
        'version:   1',
        '',
        '',
        '',
        'sources:',
        '     shop:      # the shop',
        '        tables: {public.users:    {output: both},   public.b: {}}',
        '        schema: "public"   ',
        '        # behind',
        'alerts:',
        '- type: webhook',
        '  on: [ a,b ]',
      ].join('\r\n'),
    ),
  ).toBe(
    [
      '# top',
      'version: 1',
      '',
      'sources:',
      '  shop: # the shop',
      '    tables: { public.users: { output: both }, public.b: {} }',
      '    schema: "public"',
      '    # behind',
      'alerts:',
      '  - type: webhook',
      '    on: [a, b]',
      '',
    ].join('\n'),
  );
});

test('the example stays what it means, with each of its comments', async () => {
  const text = await readFile(new URL('../../sources.example.yaml', import.meta.url), 'utf8');
  const formatted = format(text);
  expect(format(formatted)).toBe(formatted);
  expect(parseDocument(formatted).toJS()).toEqual(parseDocument(text).toJS());
  const words = (each: string) => each.split('\n').flatMap((line) => line.match(/#.*$/)?.[0].trimEnd() ?? []);
  expect(words(formatted)).toEqual(words(text));
});

test.each([
  { name: 'broken YAML', text: 'a: [1' },
  { name: 'two documents', text: 'a: 1\n---\nb: 1\n' },
  { name: 'a key twice', text: 'a: 1\na: 2\n' },
])('$name is refused', ({ text }) => expect(() => format(text)).toThrow(SluiceError));

test('whatever the layout: it means the same, keeps its comments, and formatting again changes nothing', () => {
  const scalar = fc.oneof(fc.stringMatching(/^[ -~äß\n]{0,20}$/), fc.integer(), fc.boolean(), fc.constant(null));
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      scalar,
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(fc.stringMatching(/^[a-z."* -]{1,8}$/), tie('value'), { maxKeys: 3 }),
    ),
  }));
  const top = fc.dictionary(fc.stringMatching(/^[a-z]{1,6}$/), value, { minKeys: 1, maxKeys: 4 });
  const layout = fc.record({
    indent: fc.integer({ min: 1, max: 7 }),
    indentSeq: fc.boolean(),
    flowCollectionPadding: fc.boolean(),
    lineWidth: fc.constantFrom(0, 40),
    collectionStyle: fc.constantFrom('any' as const, 'block' as const, 'flow' as const),
    defaultStringType: fc.constantFrom('PLAIN' as const, 'QUOTE_DOUBLE' as const, 'BLOCK_LITERAL' as const),
  });
  const places = fc.array(fc.tuple(fc.nat(40), fc.boolean(), fc.integer({ min: 0, max: 3 })), { maxLength: 5 });
  fc.assert(
    fc.property(top, layout, places, (data, style, marks) => {
      const lines = new Document(data).toString(style).split('\n');
      const original = parseDocument(lines.join('\n'));
      // The writer of the test's data makes broken text of some (an empty list as a block).
      fc.pre(original.errors.length === 0);
      const meaning = original.toJS();
      let text = lines.join('\n');
      for (const [index, [place, blank, indent]] of marks.entries()) {
        const next = text.split('\n');
        const comment = `${' '.repeat(indent)}#w${index}`;
        next.splice(place % next.length, 0, ...(blank ? ['', comment] : [comment]));
        const candidate = parseDocument(next.join('\n'));
        // A comment may not stand everywhere: inside a long text it would be a part of it.
        if (candidate.errors.length === 0 && JSON.stringify(candidate.toJS()) === JSON.stringify(meaning))
          text = next.join('\n');
      }
      const formatted = format(text);
      expect(parseDocument(formatted).toJS()).toEqual(meaning);
      expect([...comments(formatted)].sort()).toEqual([...comments(text)].sort());
      expect(format(formatted)).toBe(formatted);
    }),
    { numRuns: 300 },
  );
});
