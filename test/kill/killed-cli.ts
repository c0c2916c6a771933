import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { EngineFixture } from '../engine-fixture.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

export interface CliEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
  readonly durationMs: number;
}

/**
 * Runs the CLI on the fixture's config file.
 * @param killAfterMs SIGKILL comes so long after the start; null: never
 * @param stop SIGTERM comes when it aborts
 */
export async function runCli(
  fixture: EngineFixture,
  args: readonly string[],
  options: { readonly killAfterMs?: number; readonly failpoint?: string; readonly stop?: AbortSignal } = {},
): Promise<CliEnd> {
  const startedMs = performance.now();
  const child = spawn(process.execPath, [MAIN, '-c', fixture.configFile, ...args], {
    cwd: fixture.folder,
    env: {
      PATH: process.env['PATH'] ?? '',
      HOME: fixture.folder,
      ...fixture.environment,
      ...(options.failpoint === undefined ? {} : { SLUICE_FAILPOINT: options.failpoint }),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const ended = new Promise<CliEnd>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal, output, durationMs: performance.now() - startedMs }));
  });
  options.stop?.addEventListener('abort', () => child.kill('SIGTERM'));
  if (options.killAfterMs !== undefined) {
    await Promise.race([ended, sleep(options.killAfterMs)]);
    child.kill('SIGKILL');
  }
  return ended;
}

/** A run that nobody kills; throws what it printed when it fails. */
export async function runToEnd(fixture: EngineFixture, args: readonly string[]): Promise<CliEnd> {
  const end = await runCli(fixture, args);
  if (end.code !== 0) throw new Error(`sluice ${args.join(' ')} ended with ${end.code ?? end.signal}:\n${end.output}`);
  return end;
}
