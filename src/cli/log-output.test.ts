import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { withPriorities } from './log-output.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sluice-log-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

test('each line has the priority of its level in front', () => {
  const lines: string[] = [];
  const log = pino({ level: 'trace' }, withPriorities({ write: (line) => void lines.push(line) }));
  for (const level of ['fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const) log[level](level);
  expect(lines.map((line) => [line.slice(0, 3), JSON.parse(line.slice(3)).msg])).toEqual([
    ['<2>', 'fatal'],
    ['<3>', 'error'],
    ['<4>', 'warn'],
    ['<6>', 'info'],
    ['<7>', 'debug'],
    ['<7>', 'trace'],
  ]);
});

const SCRIPT = `
const { openLog } = await import(process.argv[1]);
openLog('info', { isTty: false, colors: false }, process.env).warn({ source: 'shop' }, 'behind');`;

/** What goes to a stderr of which JOURNAL_STREAM says that it is journald's, or another's. */
async function logged(name: string, isJournal: boolean): Promise<string> {
  const file = await open(path.join(folder, name), 'w');
  try {
    const { dev, ino } = await file.stat({ bigint: true });
    const child = spawn(
      process.execPath,
      ['--input-type=module', '-e', SCRIPT, path.resolve('dist/cli/log-output.js')],
      {
        stdio: ['ignore', 'inherit', file.fd],
        env: { ...process.env, JOURNAL_STREAM: isJournal ? `${dev}:${ino}` : `${dev}:1` },
      },
    );
    await once(child, 'exit');
    return await readFile(path.join(folder, name), 'utf8');
  } finally {
    await file.close();
  }
}

test('journald gets priorities, any other stream plain JSON', async () => {
  expect(await logged('journal', true)).toMatch(/^<4>\{"level":"warn",.*"source":"shop","msg":"behind"\}\n$/);
  expect(await logged('file', false)).toMatch(/^\{"level":"warn",.*"source":"shop","msg":"behind"\}\n$/);
});
