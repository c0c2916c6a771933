import { type ChildProcess, spawn } from 'node:child_process';
import type { Cells } from '../engine-fixture.js';

/**
 * Reads a DuckDB file that Sluice may be writing, as a user does: from a process of its own. What keeps readers and
 * writers of a file apart are locks of the system, and those hold between processes only. Within the writer's process a
 * reader would come into the middle of its closing the file, and find it as it was before or half of it.
 */

/** The file is free between pages; whoever holds it so long hangs. */
const PATIENCE_MS = 60_000;

const SCRIPT = `const { DuckDBInstance } = await import('@duckdb/node-api');
const [file, patience] = process.argv.slice(1);
async function open() {
  const until = performance.now() + Number(patience);
  for (;;) {
    try {
      return await DuckDBInstance.create(file, { access_mode: 'READ_ONLY' });
    } catch (error) {
      if (!String(error).includes('Could not set lock on file') || performance.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
process.on('message', async (sql) => {
  try {
    const instance = await open();
    const connection = await instance.connect();
    try {
      await connection.run("SET TimeZone = 'UTC'");
      const reader = await connection.runAndReadAll('SELECT COLUMNS(*)::VARCHAR FROM (' + sql + ')');
      process.send({ rows: reader.getRowsJson() });
    } finally {
      connection.closeSync();
      instance.closeSync();
    }
  } catch (error) {
    process.send({ error: String(error) });
  }
});
process.send('ready');`;

export class OutsideReader {
  readonly #file: string;
  #child: Promise<ChildProcess> | null = null;
  /** One question at a time. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(file: string) {
    this.#file = file;
  }

  /** Rows with every cell as text (as DuckDB casts it to VARCHAR); waits until Sluice has let go of the file. */
  async rows(sql: string): Promise<Cells[]> {
    const asked = this.#last.then(() => this.#ask(sql));
    this.#last = asked.catch(() => undefined);
    return asked;
  }

  async #ask(sql: string): Promise<Cells[]> {
    this.#child ??= start(this.#file);
    const child = await this.#child;
    const answer = message(child);
    child.send(sql);
    const found = await answer;
    if (typeof found !== 'object' || found === null || !('rows' in found) || !Array.isArray(found.rows)) {
      throw new Error(`cannot read ${this.#file}: ${JSON.stringify(found)}`);
    }
    const rows: unknown[][] = found.rows;
    return rows.map((row) => row.map((cell) => (cell === null ? null : String(cell))));
  }

  async close(): Promise<void> {
    await this.#last;
    const child = await this.#child?.catch(() => null);
    this.#child = null;
    if (child === undefined || child === null || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    // It has nothing else to wait for.
    child.disconnect();
    await ended;
  }
}

async function start(file: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', SCRIPT, file, String(PATIENCE_MS)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  await message(child);
  return child;
}

function message(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const done = (settle: () => void): void => {
      child.off('message', onMessage).off('error', onError).off('exit', onExit);
      settle();
    };
    const onMessage = (found: unknown): void => done(() => resolve(found));
    const onError = (error: Error): void => done(() => reject(error));
    const onExit = (): void => done(() => reject(new Error('the reader has ended')));
    child.once('message', onMessage).once('error', onError).once('exit', onExit);
  });
}
