import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { recordBatch } from '../../batch/arrow-data.js';
import { arrowSchema } from '../../batch/arrow-schema.js';
import { HeapBuilder } from '../../batch/column-builder.js';
import { type BatchMessage, detachBatch } from '../../batch/transfer.js';
import { BatchSender } from '../../thread/batch-channel.js';
import { openMergedChannel } from '../../thread/merged-channel.js';
import type { TargetTable } from '../target-table.js';
import type { LoadItem } from '../writer.js';
import { RunningLoad } from './running-load.js';
import { DuckDbSession } from './session.js';

const MIB = 1024 * 1024;
const COLUMNS = (['a', 'b'] as const).map((name) => ({ name, type: { kind: 'varchar' } as const }));

/** One row with two texts of that size. */
function row(bytes: number): { readonly message: BatchMessage; readonly transfer: ArrayBuffer[] } {
  const text = Buffer.alloc(bytes);
  for (let i = 0; i < bytes; i += 1) text[i] = 0x61 + ((i * i + (i >> 7)) % 26);
  const columns = COLUMNS.map(({ type }) => {
    const builder = new HeapBuilder(type, 1);
    builder.append(text, 0, bytes);
    return builder.build();
  });
  return detachBatch(recordBatch(arrowSchema(COLUMNS), columns, 1));
}

test('a row of 80 MB has the memory that the destination is given, not the share of a load of small rows', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-loads-'));
  const settings = { path: join(folder, 'w.duckdb'), memoryLimitMb: 1024, threads: 1, busyWaitMs: 0 };
  const session = await DuckDbSession.open(settings, () => undefined);
  try {
    await session.prepareLayout();
    const table: TargetTable = {
      address: 's:public.t',
      schema: 'public',
      name: 't',
      method: 'full_table',
      output: 'consolidated',
      deletes: 'hard',
      columns: COLUMNS,
      key: [],
      metadataPrefix: '_ph_',
      generation: 1,
    };
    const channel = openMergedChannel(1);
    const senders = channel.senders.map((end) => new BatchSender<LoadItem<BatchMessage>>(end, 10));
    const sizes = [10, 40 * MIB, 20, 30];
    for (const size of sizes) {
      const { message, transfer } = row(size);
      for (const sender of senders) sender.send({ kind: 'batch', batch: message }, transfer);
    }
    for (const sender of senders) sender.end();
    const load = await RunningLoad.begin(session, { table, seed: null, progress: null });
    load.open({ address: table.address, channel: channel.receiver, into: 'load', ranges: [], interruptible: true });
    expect(await load.advance(session)).toEqual({ state: 'done', rows: sizes.length });
    load.close();
    const rows = await session.rows<{ a: number; b: number }>(
      'SELECT strlen(a)::INTEGER AS a, strlen(b)::INTEGER AS b FROM public._sluice_load_t ORDER BY rowid',
    );
    expect(rows).toEqual(sizes.map((size) => ({ a: size, b: size })));
  } finally {
    session.close();
    await rm(folder, { recursive: true });
  }
});
