import { writeSync } from 'node:fs';
import { LocalStore } from '../../src/destination/lake/store/local-store.js';
import { systemStoreDeps } from './store-deps.js';

/**
 * One of several processes at one folder: `node --import tsx store-racer.ts TASK FOLDER ROUNDS`. Prints a dot for each win.
 * - create: tries to be the first to write each of ROUNDS objects
 * - count: adds one to a number ROUNDS times, by swaps
 * - die: counts likewise and kills itself somewhere in it, after up to ROUNDS milliseconds
 */
const [, , task = '', folder = '', rounds = '0'] = process.argv;
const store = new LocalStore(folder, systemStoreDeps);
if (task === 'die') setTimeout(() => process.kill(process.pid, 'SIGKILL'), Math.random() * Number(rounds));
const last = task === 'die' ? Number.POSITIVE_INFINITY : Number(rounds);
for (let round = 0; round < last; round += 1) {
  const won = task === 'create' ? await create(round) : await addOne();
  if (won) writeSync(1, '.');
}

async function create(round: number): Promise<boolean> {
  const result = await store.put(`race/${round}.json`, Buffer.from(String(process.pid)), { kind: 'absent' });
  return result.kind === 'written';
}

async function addOne(): Promise<boolean> {
  for (;;) {
    const current = await store.get('counter');
    if (current === null) throw new Error('there is no counter');
    const next = Buffer.from(String(Number(Buffer.from(current.body).toString()) + 1));
    const result = await store.put('counter', next, { kind: 'etag', etag: current.etag });
    if (result.kind === 'written') return true;
  }
}
