import { describe, expect, test } from 'vitest';
import { cut, displayWidth, paintFor, printable, wantsColor } from './terminal.js';

describe('displayWidth', () => {
  test.each<{ name: string; text: string; width: number }>([
    { name: 'letters', text: 'users', width: 5 },
    { name: 'accents of one code point', text: 'größe', width: 5 },
    { name: 'combining marks take no room', text: 'e\u0301', width: 1 },
    { name: 'Chinese takes two', text: '客户', width: 4 },
    { name: 'an emoji takes two', text: '📦', width: 2 },
    { name: 'colours take none', text: '\u001b[31mred\u001b[39m', width: 3 },
    { name: 'nothing', text: '', width: 0 },
  ])('$name', (c) => expect(displayWidth(c.text)).toBe(c.width));
});

describe('cut', () => {
  test.each<{ name: string; text: string; columns: number; cut: string }>([
    { name: 'fits', text: 'users', columns: 5, cut: 'users' },
    { name: 'too long', text: 'customers', columns: 5, cut: 'cust…' },
    { name: 'a wide character is not halved', text: '客户表', columns: 4, cut: '客…' },
    { name: 'no room at all', text: 'users', columns: 0, cut: '' },
  ])('$name', (c) => expect(cut(c.text, c.columns)).toBe(c.cut));
});

describe('printable', () => {
  test.each<{ name: string; text: string; printed: string }>([
    { name: 'plain text stays', text: 'größe 客户', printed: 'größe 客户' },
    { name: 'line breaks', text: 'a\nb\r\n', printed: 'a\\nb\\r\\n' },
    { name: 'control sequences', text: '\u001b[2Jgone', printed: '\\u001b[2Jgone' },
    { name: 'C1 controls and Unicode line breaks', text: '\u009b1m\u2028', printed: '\\u009b1m\\u2028' },
  ])('$name', (c) => expect(printable(c.text)).toBe(c.printed));
});

describe('wantsColor', () => {
  test.each<{ name: string; isTty: boolean; env: Record<string, string>; noColor: boolean; colors: boolean }>([
    { name: 'a terminal', isTty: true, env: {}, noColor: false, colors: true },
    { name: 'a pipe', isTty: false, env: {}, noColor: false, colors: false },
    { name: 'NO_COLOR', isTty: true, env: { NO_COLOR: '1' }, noColor: false, colors: false },
    { name: 'an empty NO_COLOR is none', isTty: true, env: { NO_COLOR: '' }, noColor: false, colors: true },
    { name: 'a dumb terminal', isTty: true, env: { TERM: 'dumb' }, noColor: false, colors: false },
    { name: 'FORCE_COLOR', isTty: false, env: { FORCE_COLOR: '1' }, noColor: false, colors: true },
    { name: '--no-color beats all', isTty: true, env: { FORCE_COLOR: '1' }, noColor: true, colors: false },
  ])('$name', (c) => expect(wantsColor(c.isTty, c.env, c.noColor)).toBe(c.colors));
});

test('paint', () => {
  expect(paintFor({ colors: true })('red', 'no')).toBe('\u001b[31mno\u001b[39m');
  expect(paintFor({ colors: false })('red', 'no')).toBe('no');
});
