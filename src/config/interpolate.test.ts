// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables are part of the texts under test
import { expect, test } from 'vitest';
import { interpolate } from './interpolate.js';

const ENV = { HOST: 'db.internal', PORT: '5432', EMPTY: '', TRICK: '${HOST}$$' };

test.each([
  { text: 'plain', result: 'plain' },
  { text: '${HOST}', result: 'db.internal' },
  { text: 'a${HOST}b${PORT}', result: 'adb.internalb5432' },
  { text: '${NONE:-other}', result: 'other' },
  { text: '${NONE:-}', result: '' },
  { text: '${EMPTY:-other}', result: 'other' },
  { text: '${EMPTY}', result: '' },
  { text: '${NONE:-a:-b?c}', result: 'a:-b?c' },
  { text: '${HOST:?needed}', result: 'db.internal' },
  { text: '$HOST', result: '$HOST' },
  { text: 'cost: 5$', result: 'cost: 5$' },
  { text: '$$', result: '$' },
  { text: '$${HOST}', result: '${HOST}' },
  { text: '$$${HOST}', result: '$db.internal' },
  { text: '${TRICK}', result: '${HOST}$$' },
])('$text', ({ text, result }) => {
  expect(interpolate(text, ENV)).toMatchObject({ text: result, mistakes: [] });
});

test.each([
  {
    text: '${A} ${B}',
    mistakes: [
      'variable A is not set; set it, or give a default: ${A:-...}',
      'variable B is not set; set it, or give a default: ${B:-...}',
    ],
  },
  { text: '${A:?the host}', mistakes: ['variable A is not set: the host'] },
  { text: '${EMPTY:?}', mistakes: ['variable EMPTY is empty'] },
  { text: '${toString}', mistakes: ['variable toString is not set; set it, or give a default: ${toString:-...}'] },
  { text: '${}', mistakes: [malformed()] },
  { text: '${1A}', mistakes: [malformed()] },
  { text: '${A-b}', mistakes: [malformed()] },
  { text: '${HOST', mistakes: [malformed()] },
])('$text is wrong', ({ text, mistakes }) => {
  expect(interpolate(text, ENV)).toMatchObject({ text, mistakes });
});

function malformed(): string {
  return 'malformed variable; expected ${NAME}, ${NAME:-default} or ${NAME:?message}, and $$ for a dollar sign';
}
