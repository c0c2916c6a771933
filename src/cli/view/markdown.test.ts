import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bodyLine, codeMarkdown, escapeMarkdown, fitMarkdown, headLine } from './markdown.js';

describe('foreign text stands as text', () => {
  test.each<{ name: string; text: string; escaped: string }>([
    { name: 'the end of a cell', text: 'a|b', escaped: 'a\\|b' },
    { name: 'code', text: '`rm`', escaped: '\\`rm\\`' },
    { name: 'HTML', text: '<img src=x>', escaped: '&lt;img src=x&gt;' },
    { name: 'an entity', text: '&lt;', escaped: '&amp;lt;' },
    { name: 'a new line', text: 'a\n# b', escaped: 'a\\\\n# b' },
    { name: 'a mention', text: 'ask @team/data', escaped: 'ask @\u200bteam/data' },
    { name: 'an issue', text: 'see #12', escaped: 'see #\u200b12' },
    { name: 'emphasis', text: '*a* _b_ ~c~', escaped: '\\*a\\* \\_b\\_ \\~c\\~' },
    { name: 'a link', text: '[x](javascript:y)', escaped: '\\[x\\](javascript:y)' },
    {
      name: 'a bare address',
      text: 'https://x.example www.x.example',
      escaped: 'https:\u200b//x.example www.\u200bx.example',
    },
    { name: 'a backslash before an escape', text: '\\|', escaped: '\\\\\\|' },
  ])('$name', (c) => expect(escapeMarkdown(c.text)).toBe(c.escaped));

  test('an address is code, unless it holds what would end the code', () => {
    expect(codeMarkdown('shop:public.users')).toBe('`shop:public.users`');
    expect(codeMarkdown('shop:public."my table"')).toBe('`shop:public."my table"`');
    expect(codeMarkdown('shop:public.a`b')).toBe('shop:public.a\\`b');
    expect(codeMarkdown('shop:public.a|b')).toBe('shop:public.a\\|b');
  });

  test('whatever the text, it makes no cell, line, code or tag', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'|`<>\\\n\r@#&*[]a1 é😀\u2028') }), (text) => {
        for (const escaped of [escapeMarkdown(text), codeMarkdown(text)]) {
          const code = /^`[^`|\\<]*`$/.test(escaped);
          // What is left after all that is escaped holds nothing that means something.
          if (!code) expect(escaped.replace(/\\[\\`*_~[\]|]/g, ' ')).not.toMatch(/[`|<>\n\r\u2028\\]|[@#][a1é]/);
        }
      }),
    );
  });
});

describe('cut to a number of bytes', () => {
  const lines = [
    bodyLine('summary'),
    headLine(''),
    headLine('#### Changes'),
    headLine('| a |'),
    ...Array.from({ length: 40 }, (_, index) => bodyLine(`| row ${index} with é and 😀 |`)),
    headLine(''),
    headLine('#### Known'),
    bodyLine('- one'),
  ];

  test('all of it where it fits', () => {
    const whole = fitMarkdown(lines, null);
    expect(fitMarkdown(lines, Buffer.byteLength(whole))).toBe(whole);
    expect(whole).not.toContain('left out');
  });

  test('whole lines, and how many are missing, at every size', () => {
    const whole = fitMarkdown(lines, null);
    for (let bytes = 100; bytes < Buffer.byteLength(whole); bytes += 1) {
      const text = fitMarkdown(lines, bytes);
      expect(Buffer.byteLength(text)).toBeLessThanOrEqual(bytes);
      const [, left = ''] =
        /\*(\d+) lines? (?:was|were) left out, as the text may have (?:\d+) bytes\.\*\n$/.exec(text) ?? [];
      const kept = text.split('\n').slice(0, -3);
      expect(kept).toEqual(whole.split('\n').slice(0, kept.length));
      expect(kept.filter((line) => line !== '' && !/^#|^\| a/.test(line)).length + Number(left)).toBe(42);
      // No title and no head of a table without what belongs below it.
      expect(kept.length === 1 || !/^$|^#|^\| a/.test(kept.at(-1) ?? '')).toBe(true);
    }
  });
});
