import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

/** Seconds of work for DuckDB, and work that is never through. */
const SOME_ROWS = 300_000_000;
const NO_END = 1e15;

const start = (how: 'end' | 'wait', rows: number) => {
  const script = fileURLToPath(new URL('busy-process.mjs', import.meta.url));
  const child = spawn(process.execPath, [script, how, String(rows)], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  return { child, ended: once(child, 'close').then(([code, signal]) => ({ code, signal, stderr })) };
};

test('a thread that ends in order lets DuckDB finish first', async () => {
  const { ended } = start('end', SOME_ROWS);
  expect(await ended).toEqual({ code: 0, signal: null, stderr: '' });
});

test.each(['SIGTERM', 'SIGINT'] as const)(
  'a second %s ends the process by it while DuckDB is at work',
  async (name) => {
    const { child, ended } = start('wait', NO_END);
    await once(child.stdout, 'data');
    child.kill(name);
    setTimeout(() => child.kill(name), 300);
    expect(await ended).toEqual({ code: null, signal: name, stderr: '' });
  },
);
