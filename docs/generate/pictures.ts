import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { CLI_FILE } from '../../examples/demo/cli.js';
import { duckDbFile } from '../../examples/demo/destination.js';
import { createShop } from '../../examples/demo/shop.js';
import { firstSources, PASSWORD_VARIABLE } from '../../examples/demo/sources.js';
import { startPostgres } from '../../test/postgres/server.js';
import { terminalSvg } from './terminal-svg.js';

/** Runs the demo's config on a real Postgres and draws what the CLI prints (npm run pictures), into docs/pictures. */

const COLUMNS = 110;
const TARGET = new URL('../pictures/', import.meta.url);
const run = promisify(execFile);

const postgres = await startPostgres({ major: 17 });
const folder = await mkdtemp(path.join(tmpdir(), 'sluice-pictures-'));
try {
  const shop = await createShop(postgres, new Date('2026-03-02T12:00:00Z'));
  await writeFile(path.join(folder, 'sources.yaml'), firstSources(shop, duckDbFile));
  const env = { ...process.env, [PASSWORD_VARIABLE]: shop.reader.password, NO_COLOR: undefined };
  await mkdir(TARGET, { recursive: true });

  /** A terminal is what makes the CLI use colours, so `script` gives it one; progress and logs stay out of the picture. */
  const draw = async (name: string, shown: string, line = shown): Promise<void> => {
    const command = `stty cols ${COLUMNS}; exec ${process.execPath} ${CLI_FILE} ${line} 2>/dev/null`;
    const { stdout } = await run('script', ['-qec', command, '/dev/null'], { cwd: folder, env });
    const text = `\u001b[32m$\u001b[0m \u001b[1msluice ${shown}\u001b[0m\n${steady(stdout)}`;
    await writeFile(new URL(`${name}.svg`, TARGET), terminalSvg(`sluice ${shown}`, text, COLUMNS));
  };
  await draw('plan', 'plan');
  await run(process.execPath, [CLI_FILE, 'apply', '--yes'], { cwd: folder, env });
  await draw('sync', 'sync --until-caught-up');
  await draw('status', 'status');
} finally {
  await rm(folder, { recursive: true, force: true });
  await postgres.stop();
}

/** What differs from run to run is written as one value, so that a picture changes only when the output does. */
function steady(text: string): string {
  return text
    .replaceAll('\r', '')
    .replaceAll(folder, '/srv/shop')
    .replace(/\b[0-9A-F]+\/[0-9A-F]{6,8}\b/g, '0/1A2B3C8')
    .replace(/keeps \S+ \S+ of WAL( \([^)]*\))?, \S+ \S+ behind/, 'keeps 112 B of WAL, 0 B behind')
    .replace(/\b(\d+ ms|[\d.]+ s|\d+m \d\ds) ago *(?= {2}|$)/gm, (age) => '2 s ago'.padEnd(age.length))
    .replace(/(?<=, )(\d+ ms|[\d.]+ s)$/gm, '1 s')
    .replace(/(?<= ) *\b(\d+ ms|[\d.]+ s)$/gm, (time) => '120 ms'.padStart(time.length));
}
