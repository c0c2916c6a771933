import type { RecordBatch } from 'apache-arrow';
import { attachBatch, type BatchMessage } from '../../batch/transfer.js';
import { SluiceError } from '../../error/sluice-error.js';
import { claimedTasks, MergedReceiver } from '../../thread/merged-channel.js';
import { METADATA_TYPES, metadataNames, type SnapshotMark, type TargetTable } from '../target-table.js';
import type { BeginLoad, LoadItem, LoadPart } from '../writer.js';
import { hasHeld, heldTable, visibleIn } from './held-changes.js';
import { lsnNumber } from './lsn-number.js';
import { refuseOccupied } from './occupied.js';
import type { DuckDbSession } from './session.js';
import { addProgress, beginProgress, forgetProgress, moveProgress, readProgress } from './snapshot-progress.js';
import { columnList, identifier, keyEquality, literal, qualified } from './sql-text.js';
import { columnDefinition, ensureSchema, tableExists } from './target-ddl.js';

/**
 * Loads: rows go into a table beside the target, part by part. Where it is recorded which ranges of the source they come
 * from (snapshot-progress.ts), a load that was killed can be gone on with; otherwise the next one removes what it left.
 */

/** Beside the target, in its schema. */
export function loadName(table: { readonly schema: string; readonly name: string }): { schema: string; name: string } {
  return { schema: table.schema, name: `_sluice_load_${table.name}` };
}

export function loadTable(table: { readonly schema: string; readonly name: string }): string {
  return qualified(loadName(table));
}

/** Rows of ranges that were read before, as a later snapshot sees them; of no use to anybody but the load under way. */
function changedTable(address: string): string {
  return `temp.main.${identifier(`changed ${address}`)}`;
}

function rejectedTable(address: string): string {
  return qualified({ schema: '_sluice', name: `rejected ${address}` });
}

/**
 * A batch of more, which has a row of several MB, is inserted under the full memory limit: DuckDB takes five times the size
 * of such a row, which {@link DuckDbSession.passThrough} does not have.
 */
const LARGE_BATCH_BYTES = 8 * 1024 * 1024;

interface OpenPart {
  readonly part: LoadPart;
  readonly receiver: MergedReceiver<LoadItem<BatchMessage>>;
}

export class RunningLoad {
  readonly #load: Omit<BeginLoad, 'progress'>;
  #open: OpenPart | null = null;
  #rows = 0;

  private constructor(load: Omit<BeginLoad, 'progress'>) {
    this.#load = load;
  }

  static async begin(session: DuckDbSession, begin: BeginLoad): Promise<RunningLoad> {
    const { table, progress } = begin;
    await refuseOccupied(session, table);
    await ensureSchema(session, table.schema);
    await session.transaction(async () => {
      await forgetProgress(session, table.address);
      await session.run(`DROP TABLE IF EXISTS ${loadTable(table)}`);
      await session.run(`DROP TABLE IF EXISTS ${rejectedTable(table.address)}`);
      await session.run(`CREATE TABLE ${loadTable(table)} (${loadColumns(begin)})`);
      if (progress !== null) await beginProgress(session, table.address, progress);
    });
    return new RunningLoad(begin);
  }

  /** @throws SluiceError SNAPSHOT_RACED when there is nothing to go on with */
  static async resume(session: DuckDbSession, load: Omit<BeginLoad, 'progress'>): Promise<RunningLoad> {
    const { table } = load;
    await refuseOccupied(session, table);
    if (!(await tableExists(session, loadName(table)))) {
      await forgetProgress(session, table.address);
      throw noLongerResumable(table);
    }
    await session.run(`DROP TABLE IF EXISTS ${rejectedTable(table.address)}`);
    await session.run(`DROP TABLE IF EXISTS ${changedTable(table.address)}`);
    await session.run(`CREATE TEMP TABLE ${identifier(`changed ${table.address}`)} (${loadColumns(load)})`);
    return new RunningLoad(load);
  }

  open(part: LoadPart): void {
    this.close();
    this.#open = { part, receiver: new MergedReceiver(part.channel, part.interruptible) };
  }

  /** One transaction that pulls batches until the part ends or asks for a pause. */
  async advance(session: DuckDbSession): Promise<{ state: 'done' | 'paused'; rows: number }> {
    if (this.#open === null) throw new SluiceError({ code: 'INTERNAL', message: 'the load has no part to read' });
    const { part, receiver } = this.#open;
    const { table, seed } = this.#load;
    let state: 'done' | 'paused' = 'done';
    const rejected = new Set<number>();
    /** Too large for the statement that pulled it, which ends; the next one begins with it and has the full limit. */
    let large: RecordBatch | null = null;
    const batches = (first: RecordBatch | null): (() => RecordBatch | null) => {
      let pending = first;
      return () => {
        if (pending !== null) {
          const batch = pending;
          pending = null;
          return batch;
        }
        for (;;) {
          const item = receiver.next();
          if (item === 'interrupted') state = 'paused';
          if (item === null || item === 'interrupted') return null;
          if (item.kind === 'batch') {
            const batch = attachBatch(item.batch);
            if (first !== null || batch.data.byteLength <= LARGE_BATCH_BYTES) return batch;
            large = batch;
            return null;
          }
          for (const column of item.columns) rejected.add(column);
        }
      };
    };
    const target = part.into === 'load' ? loadTable(table) : changedTable(table.address);
    const metadata =
      seed === null
        ? ''
        : `, 'I', TIMESTAMPTZ ${literal(seed.at)}, false, NULL::TIMESTAMPTZ, ${lsnNumber(seed.lsn)}::BIGINT, 0::BIGINT`;
    const insert = async (): Promise<number> => {
      let inserted = 0;
      do {
        const first = large;
        large = null;
        if (first !== null) await session.takeFullMemory();
        const source = session.scan.add({ columns: table.columns, next: batches(first) });
        inserted += await session.run(`INSERT INTO ${target} SELECT *${metadata} FROM ${source}`);
      } while (large !== null);
      const ranges = part.ranges.slice(0, claimedTasks(part.channel.control, part.ranges.length));
      if (part.into === 'load' && ranges.length > 0) {
        await addProgress(session, table.address, { ranges, rows: inserted, rejectedColumns: [...rejected] });
      }
      return inserted;
    };
    const rows = await session.passThrough(() => session.transaction(insert));
    if (part.into === 'load') this.#rows += rows;
    if (state === 'done') this.close();
    return { state, rows: this.#rows };
  }

  close(): void {
    this.#open?.receiver.close();
    this.#open = null;
  }

  /** Ends a load that did not succeed; nothing of it stays. */
  async discard(session: DuckDbSession): Promise<void> {
    this.close();
    const { table } = this.#load;
    await forgetProgress(session, table.address);
    await session.run(`DROP TABLE IF EXISTS ${loadTable(table)}`);
    await session.run(`DROP TABLE IF EXISTS ${changedTable(table.address)}`);
    await session.run(`DROP TABLE IF EXISTS ${rejectedTable(table.address)}`);
  }
}

function loadColumns({ table, seed }: Pick<BeginLoad, 'table' | 'seed'>): string {
  const columns = table.columns.map(columnDefinition);
  if (seed !== null) {
    const names = metadataNames(table.metadataPrefix);
    columns.push(...names.map((name, i) => `${identifier(name)} ${METADATA_TYPES[i]}`));
  }
  return columns.join(', ');
}

/**
 * Turns the rows that the recorded snapshot saw in the ranges read so far into those that a later one sees there. A row
 * that no transaction between the two touched is where it was. All others go, by the keys of the changes held between
 * the two, and what the later snapshot sees of them comes from the changed rows, or from ranges yet to be read.
 */
export async function rebaseLoad(session: DuckDbSession, table: TargetTable, mark: SnapshotMark): Promise<void> {
  await session.transaction(async () => {
    const known = await readProgress(session, table.address);
    if (known === null) throw noLongerResumable(table);
    const changed = changedTable(table.address);
    const load = loadTable(table);
    const key = columnList(table.key);
    const keys = [`SELECT ${key} FROM ${changed}`];
    if (await hasHeld(session, table.address)) {
      const between = `NOT ${visibleIn(known.mark.snapshot, '__xid')} AND ${visibleIn(mark.snapshot, '__xid')}`;
      keys.push(`SELECT ${key} FROM ${heldTable(table.address)} WHERE ${between}`);
    }
    await session.run(`CREATE OR REPLACE TEMP TABLE touched_keys AS ${keys.join(' UNION ')}`);
    await session.run(`DELETE FROM ${load} l USING touched_keys k WHERE ${keyEquality(table.key, 'l', 'k')}`);
    await session.run(`INSERT INTO ${load} SELECT * FROM ${changed}`);
    await session.run('DROP TABLE touched_keys');
    await session.run(`DROP TABLE ${changed}`);
    const [counted] = await session.rows<{ n: string }>(`SELECT count(*) AS n FROM ${load}`);
    await moveProgress(session, table.address, {
      mark,
      rows: Number(counted?.n ?? 0),
      rejectedColumns: known.rejectedColumns,
    });
  });
}

function noLongerResumable(table: TargetTable): SluiceError {
  return new SluiceError({
    code: 'SNAPSHOT_RACED',
    address: table.address,
    message: 'the unfinished load cannot be gone on with any more',
    hint: 'nothing was changed; the load is made again from the start',
  });
}
