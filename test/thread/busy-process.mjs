import { setTimeout as sleep } from 'node:timers/promises';
import { abortOnSignals } from '../../dist/cli/signals.js';
import { startThread } from '../../dist/thread/call.js';

/** Ends its thread in order (`end ROWS`), or is ended by signals (`wait ROWS`) while DuckDB is at work in it. */
const [how, rows] = process.argv.slice(2);
abortOnSignals(process);
const thread = startThread(new URL('busy-worker.mjs', import.meta.url), 'busy');
await thread.call.begin(Number(rows));
process.stdout.write('busy\n');
if (how === 'end') {
  await thread.end();
  process.exit(0);
}
await sleep(30_000);
