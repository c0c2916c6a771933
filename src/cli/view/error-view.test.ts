import { describe, expect, test } from 'vitest';
import { SluiceError } from '../../error/sluice-error.js';
import { plainPaint } from '../terminal.js';
import { describeCause, errorText } from './error-view.js';

describe('errorText', () => {
  test.each<{ name: string; error: SluiceError; text: string }>([
    {
      name: 'message alone',
      error: new SluiceError({ code: 'SLOT_MISSING', message: 'slot "s" does not exist' }),
      text: 'error SLOT_MISSING: slot "s" does not exist\n',
    },
    {
      name: 'an address that the message does not name, a cause and SQL over two lines',
      error: new SluiceError({
        code: 'PRIVILEGE_MISSING',
        message: 'the role may not read the table',
        address: 'shop:public.users',
        cause: new Error('permission denied'),
        hint: 'grant usage on schema public to sluice;\ngrant select on public.users to sluice;',
      }),
      text: [
        'error PRIVILEGE_MISSING: the role may not read the table',
        '  at:    shop:public.users',
        '  cause: permission denied',
        '  hint:  grant usage on schema public to sluice;',
        '         grant select on public.users to sluice;',
        '',
      ].join('\n'),
    },
    {
      name: 'a cause that the message repeats is left out',
      error: new SluiceError({ code: 'INTERNAL', message: 'failed: boom', cause: new Error('boom') }),
      text: 'error INTERNAL: failed: boom\n',
    },
    {
      name: 'control characters of a server message cannot forge lines',
      error: new SluiceError({ code: 'SOURCE_SQL_FAILED', message: 'a\nerror FAKE: \u001b[2J' }),
      text: 'error SOURCE_SQL_FAILED: a\\nerror FAKE: \\u001b[2J\n',
    },
  ])('$name', (c) => expect(errorText(c.error, plainPaint, false)).toBe(c.text));

  test('--debug adds the stacks of the error and its causes', () => {
    const error = new SluiceError({ code: 'INTERNAL', message: 'outer', cause: new Error('inner') });
    const text = errorText(error, plainPaint, true);
    expect(text).toContain('error-view.test.ts');
    expect(text).toContain('caused by: Error: inner');
  });
});

describe('describeCause', () => {
  const cyclic = new Error('a');
  cyclic.cause = cyclic;
  test.each<{ name: string; cause: unknown; text: string | null }>([
    { name: 'none', cause: undefined, text: null },
    { name: 'a chain', cause: new Error('outer', { cause: new Error('inner') }), text: 'outer: inner' },
    {
      name: 'a name with several addresses',
      cause: new AggregateError([new Error('refused ::1'), new Error('refused 127.0.0.1')], ''),
      text: 'refused ::1; refused 127.0.0.1',
    },
    { name: 'a text', cause: 'plain', text: 'plain' },
    { name: 'a cycle', cause: cyclic, text: 'a' },
  ])('$name', (c) => expect(describeCause(c.cause)).toBe(c.text));
});
