import { PassThrough } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import { openInterview } from './interview.js';

/** The prompts as they are, on streams instead of a terminal; keys are typed once the question has been drawn. */
async function screen() {
  const input = new PassThrough();
  const output = new PassThrough();
  let shown = '';
  const waiting: (() => void)[] = [];
  output.on('data', (chunk) => {
    shown += stripVTControlCharacters(String(chunk));
    for (const wake of waiting.splice(0)) wake();
  });
  const interview = await openInterview(input, output, new AbortController().signal);
  const drawn = async (text: string) => {
    while (!shown.includes(text)) await new Promise<void>((wake) => waiting.push(wake));
  };
  return { interview, drawn, type: (keys: string) => input.write(keys), shown: () => shown };
}

test('an answer, the usual one, one that is corrected, and a secret that is not shown', async () => {
  const { interview, drawn, type, shown } = await screen();
  const host = interview.text({ message: 'Host', usual: 'localhost' });
  await drawn('Host');
  type('db\r');
  expect(await host).toBe('db');

  const port = interview.text({ message: 'Port', usual: '5432', check: (text) => (text === 'x' ? 'a number' : null) });
  await drawn('Port');
  type('x\r');
  await drawn('a number');
  type('\u007f\r');
  expect(await port).toBe('5432');

  const password = interview.secret('Password');
  await drawn('Password');
  type('hunter2\r');
  expect(await password).toBe('hunter2');
  expect(shown()).not.toContain('hunter2');
});

test('Ctrl-C ends it', async () => {
  const { interview, drawn, type } = await screen();
  const host = interview.text({ message: 'Host', usual: null });
  await drawn('Host');
  type('\u0003');
  await expect(host).rejects.toMatchObject({ code: 'CANCELLED', message: 'cancelled; nothing was written' });
});
