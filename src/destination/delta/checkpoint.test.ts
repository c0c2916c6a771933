import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { expect, test } from 'vitest';
import { add, newTable } from '../../../test/fake/delta-actions.js';
import { MemoryStore } from '../../../test/fake/memory-store.js';
import { commitBody } from './action-json.js';
import { writeCheckpoint } from './checkpoint.js';
import { commitName, logPrefix } from './log-path.js';
import { openTable } from './log-reader.js';

const LOG = logPrefix('t');

test.each([
  { name: 'short lines', statsLength: 20 },
  { name: 'a line of 20 MB', statsLength: 20_000_000 },
])('a checkpoint is written with a memory limit of a lake, 256 MB: $name', async ({ statsLength }) => {
  const tempFolder = await mkdtemp(join(tmpdir(), 'delta-checkpoint-'));
  const instance = await DuckDBInstance.create(':memory:', { memory_limit: '256MB', threads: '4' });
  const connection = await instance.connect();
  try {
    const tools = { connection, tempFolder };
    const store = new MemoryStore();
    const stats = JSON.stringify({ numRecords: 1, minValues: { t: 'x'.repeat(statsLength) } });
    store.set(LOG + commitName(0), commitBody([...newTable(), add('f0', { stats })]));
    const snapshot = await openTable(store, 't', tools);
    if (snapshot === null) throw new Error('there is no table');
    await writeCheckpoint(store, 't', snapshot, tools, new Date());
    await store.delete([LOG + commitName(0)]);
    expect([...((await openTable(store, 't', tools))?.files.values() ?? [])]).toMatchObject([{ path: 'f0', stats }]);
  } finally {
    connection.closeSync();
    instance.closeSync();
    await rm(tempFolder, { recursive: true });
  }
});
