import { expect, test } from 'vitest';
import { table } from './table.js';

test('columns are as wide as their widest cell, numbers to the right, no spaces at line ends', () => {
  expect(
    table(
      [{ title: 'TABLE' }, { title: 'ROWS', align: 'right' }, { title: 'NOTE' }],
      [
        ['public.users', '3', ''],
        ['客户', '1,234,567', 'wide'],
        ['\u001b[32mgreen\u001b[39m', '12', 'x'],
      ],
    ),
  ).toBe(
    [
      'TABLE              ROWS  NOTE',
      'public.users          3',
      '客户          1,234,567  wide',
      '\u001b[32mgreen\u001b[39m                12  x',
      '',
    ].join('\n'),
  );
});

test('without rows the titles stand alone', () => {
  expect(table([{ title: 'A' }, { title: 'B' }], [])).toBe('A  B\n');
});
