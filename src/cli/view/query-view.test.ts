import { describe, expect, test } from 'vitest';
import { plainPaint } from '../terminal.js';
import { type QueryText, queryCsv, queryJson, queryTable } from './query-view.js';

const COLUMNS = [
  { name: 'id', type: 'BIGINT' },
  { name: 'name', type: 'VARCHAR' },
];
const PAGES = [
  [
    ['1', 'a,"b"'],
    ['12', null],
  ],
  [
    ['9223372036854775807', ''],
    ['4', 'two\nlines'],
  ],
];
const ERROR = { code: 'DESTINATION_FAILED', message: 'the file is away' } as const;

const written = (form: QueryText, pages: readonly (readonly (readonly (string | null)[])[])[] = PAGES): string =>
  [form.start(), ...pages.map((page) => form.page(page)), form.end(null)].join('');

describe('a table', () => {
  const form = () => queryTable(COLUMNS, { paint: plainPaint });

  test('numbers to the right, NULL told, one line a row; a later page may widen a column', () =>
    expect(written(form())).toMatchInlineSnapshot(`
      "id  name
       1  a,"b"
      12  NULL
      9223372036854775807
                        4  two\\nlines
      (4 rows)
      "
    `));

  test('without rows the titles stand alone', () => expect(written(form(), [])).toBe('id  name\n(0 rows)\n'));

  test('broken off, it does not count', () => expect(form().end(ERROR)).toBe(''));

  test('a list of numbers is no number', () => {
    const list = queryTable([{ name: 'a long title', type: 'INTEGER[]' }], { paint: plainPaint });
    expect(list.page([['[1]']])).toBe('a long title\n[1]\n');
  });
});

test('CSV: quotes doubled, NULL empty, an empty text quoted', () => {
  expect(written(queryCsv(COLUMNS))).toBe(
    'id,name\r\n1,"a,""b"""\r\n12,\r\n9223372036854775807,""\r\n4,"two\nlines"\r\n',
  );
  expect(written(queryCsv(COLUMNS), [])).toBe('id,name\r\n');
});

describe('JSON', () => {
  test('is one document, whatever the pages', () => {
    const rows = PAGES.flat();
    expect(JSON.parse(written(queryJson(COLUMNS)))).toEqual({ format_version: 1, columns: COLUMNS, rows });
    expect(written(queryJson(COLUMNS))).toBe(written(queryJson(COLUMNS), [rows]));
    expect(JSON.parse(written(queryJson(COLUMNS), []))).toEqual({ format_version: 1, columns: COLUMNS, rows: [] });
  });

  test('is one also where it broke off', () => {
    const form = queryJson(COLUMNS);
    const text = form.start() + form.page([['1', null]]) + form.end(ERROR);
    expect(JSON.parse(text)).toEqual({ format_version: 1, columns: COLUMNS, rows: [['1', null]], error: ERROR });
  });
});
