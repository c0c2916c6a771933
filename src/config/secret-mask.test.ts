// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables are part of the files under test
import { expect, test } from 'vitest';
import { parse, withParts } from '../../test/config/config-text.js';
import { formatProblems } from './problem.js';

/** Each holds "hunter2" as a secret and a mistake on the same line or below it. */
test.each([
  { name: 'before the caret', connection: '{ password: hunter2, prot: 1 }' },
  { name: 'at the caret', connection: '{ password: [hunter2] }' },
  { name: 'in quotes', connection: `{ password: 'hunter2', prot: 1 }` },
  { name: 'as a key file by mistake', connection: '{ private_key: hunter2 }' },
  { name: 'below a wrong key', connection: '{ password: { value: hunter2 } }' },
  { name: 'misspelled', connection: '{ passwrod: hunter2 }' },
  { name: 'a key of S3 in the wrong place', connection: '{ secret_access_key: hunter2 }' },
  { name: 'in a url', connection: '{ url: "postgres://u:hunter2@h/d?sslmode=no" }' },
  { name: 'in a url with an at sign', connection: '{ url: "postgres://u:hun@hunter2@h/d?sslmode=no" }' },
  { name: 'in a url without a scheme', connection: '{ url: "u:hunter2@h/d" }' },
  { name: 'in the query of a url', connection: '{ url: "postgres://h/d?password=hunter2&sslmode=no" }' },
  { name: 'beside a syntax error', connection: '{ password: hunter2, host: [ }' },
  { name: 'as an alias', connection: '{ password: *hunter2 }' },
  { name: 'as a tag', connection: '{ password: !hunter2 x }' },
  { name: 'in a variable default', connection: '{ password: "${A:-hunter2}", prot: 1 }' },
  { name: 'over several lines', connection: '\n    password: |\n      BEGIN\n      hunter2\n    prot: 1' },
  { name: 'where the quote is not closed', connection: '\n    password: "hunter2\n    port: 5' },
  { name: 'given twice', connection: '{ password: hunter2, password: hunter2 }' },
])('no message shows a secret $name', ({ connection }) => {
  const result = parse(withParts({ connections: `  shop_db: ${connection}` }));
  expect(result.ok).toBe(false);
  const text = formatProblems(result.ok ? [] : result.problems);
  expect(text).not.toBe('');
  expect(text).not.toContain('hunter2');
});

test.each([
  {
    name: 'in the address of a webhook',
    alert: '{ type: webhook, url: "https://chat.example.com/hunter2", tmeout: 1 }',
  },
  { name: 'in an address that is none', alert: '{ type: webhook, url: "chat.example.com/hunter2" }' },
  { name: 'in a header', alert: '{ type: webhook, url: "https://h", headers: { X-Api: hunter2 }, tmeout: 1 }' },
  { name: 'in a header of a wrong type', alert: '{ type: webhook, url: "https://h", headers: { X-Api: [hunter2] } }' },
])('no message shows a secret $name', ({ alert }) => {
  const result = parse(withParts({ more: `alerts:\n  - ${alert}` }));
  expect(result.ok).toBe(false);
  const text = formatProblems(result.ok ? [] : result.problems);
  expect(text).not.toBe('');
  expect(text).not.toContain('hunter2');
});

test('the caret moves along with what is hidden before it', () => {
  const result = parse(withParts({ connections: '  shop_db: { password: a-very-long-password-1234567890, prot: 1 }' }));
  const [problem] = result.ok ? [] : result.problems.filter(({ path }) => path.endsWith('prot'));
  expect(problem?.sourceLine).toBe('  shop_db: { password: ***, prot: 1 }');
  expect(problem?.sourceLine.slice(problem.caret)).toBe('prot: 1 }');
  expect(problem?.column).toBe(57);
});

test('names of tables and columns are shown, whatever they sound like', () => {
  const result = parse(withParts({ tables: '      public.passwords: { cursor: password_hash }' }));
  const [problem] = result.ok ? [] : result.problems;
  expect(problem?.sourceLine).toBe('      public.passwords: { cursor: password_hash }');
});
