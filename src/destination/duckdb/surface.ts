import type { BatchMessage } from '../../batch/transfer.js';
import { SluiceError } from '../../error/sluice-error.js';
import type { ChannelEnd } from '../../thread/batch-channel.js';
import { BatchReceiver } from '../../thread/batch-channel.js';
import type { Comparison } from '../comparison.js';
import type { DestinationFacts } from '../facts.js';
import type { StoreTraffic } from '../lake/object-store.js';
import type { LoadProgress } from '../load-progress.js';
import type { SnapshotMark, TargetTable } from '../target-table.js';
import type {
  AddColumns,
  BackfillOutcome,
  BeginLoad,
  BeginShadow,
  CommitPage,
  CompareShadow,
  DescribeTables,
  FinishBackfill,
  FinishLoad,
  LoadOutcome,
  LoadPart,
  PageOutcome,
  RecordFailure,
  RecordPartitions,
  RenameColumns,
  RetireTable,
  TableTrouble,
  WriteRows,
} from '../writer.js';
import { addColumns, alignColumns, renameColumns } from './align-columns.js';
import { finishBackfill } from './backfill.js';
import { receivedBatches } from './batch-scan.js';
import { describeTables, undescribed } from './comments.js';
import { compareShadow } from './compare-shadow.js';
import { ensureTableRow, readFacts, writeRun, writeTableFacts } from './facts-store.js';
import { dropHeld, pruneHeld } from './held-changes.js';
import { finishLoad, moveRejected, takeRejected } from './loads.js';
import { upsertStatements } from './merge-sql.js';
import { moveSourceFacts } from './moved-facts.js';
import { commitPage, StagedPage } from './pages.js';
import { writePartitionFacts } from './partition-store.js';
import { dropTable, moveTable, retireTable } from './retired-tables.js';
import { RunningLoad, rebaseLoad } from './running-load.js';
import type { DuckDbSession } from './session.js';
import { RunningShadow } from './shadow.js';
import { forgetProgress, forgetProgressOfOthers, readProgress } from './snapshot-progress.js';
import { columnList, identifier, literal, qualified } from './sql-text.js';
import { liveRows } from './target-ddl.js';

/** Where the DuckDB file of a surface comes from, and when it is let go of. */
export interface SessionHome {
  /** To look only: nothing is made. @returns null where there is no file yet */
  openedToLook(limits: { readonly busyWaitMs: number } | null): Promise<DuckDbSession | null>;
  /** For everything that writes: Sluice's own tables are there. */
  opened(): Promise<DuckDbSession>;
  release(): Promise<void>;
  publish(path: string): Promise<void>;
}

const now = (): Date => new Date();

const NO_FACTS: DestinationFacts = { exists: false, streams: [], tables: [], foreignTables: [] };

/** Rows of one incremental or append run, between staging and commit. */
export function incomingTable(table: TargetTable): string {
  return identifier(`incoming ${table.address}`);
}

/**
 * What a DuckDB file does for a {@link DestinationWriter}, one call after the other: the methods of the thread that owns it.
 */
export function duckDbSurface(home: SessionHome) {
  const opened = (): Promise<DuckDbSession> => home.opened();
  const loads = new Map<string, RunningLoad | RunningShadow>();
  const page = new StagedPage();

  function runningLoad(address: string): RunningLoad | RunningShadow {
    const load = loads.get(address);
    if (load === undefined) throw new SluiceError({ code: 'INTERNAL', message: `no load of ${address} is running` });
    return load;
  }

  return {
    async readFacts(limits: { busyWaitMs: number } | null): Promise<DestinationFacts> {
      const session = await home.openedToLook(limits);
      return session === null ? NO_FACTS : readFacts(session);
    },

    async beginLoad(begin: BeginLoad): Promise<void> {
      loads.get(begin.table.address)?.close();
      loads.set(begin.table.address, await RunningLoad.begin(await opened(), begin));
    },

    async readLoad(address: string): Promise<LoadProgress | null> {
      return readProgress(await opened(), address);
    },

    async resumeLoad(load: Omit<BeginLoad, 'progress'>): Promise<void> {
      loads.get(load.table.address)?.close();
      loads.set(load.table.address, await RunningLoad.resume(await opened(), load));
    },

    async openPart(part: LoadPart): Promise<void> {
      const load = runningLoad(part.address);
      if (!(load instanceof RunningLoad)) {
        throw new SluiceError({ code: 'INTERNAL', message: `${part.address} is no load in parts` });
      }
      load.open(part);
    },

    async rebaseLoad(load: { table: TargetTable; mark: SnapshotMark }): Promise<void> {
      await rebaseLoad(await opened(), load.table, load.mark);
    },

    async leaveLoad(address: string): Promise<void> {
      loads.get(address)?.close();
      loads.delete(address);
    },

    async continueLoad(address: string): Promise<{ state: 'done' | 'paused'; rows: number }> {
      return runningLoad(address).advance(await opened());
    },

    async loadRejected(load: { address: string; channel: ChannelEnd }): Promise<number> {
      const receiver = new BatchReceiver<BatchMessage>(load.channel);
      try {
        return await takeRejected(await opened(), load.address, receiver);
      } finally {
        receiver.close();
      }
    },

    async finishLoad(finish: FinishLoad): Promise<LoadOutcome> {
      loads.get(finish.table.address)?.close();
      const outcome = await finishLoad(await opened(), finish, now);
      loads.delete(finish.table.address);
      return outcome;
    },

    async finishBackfill(backfill: FinishBackfill): Promise<BackfillOutcome> {
      loads.get(backfill.table.address)?.close();
      const outcome = await finishBackfill(await opened(), backfill, now);
      loads.delete(backfill.table.address);
      return outcome;
    },

    async abandonLoad(address: string): Promise<void> {
      const load = loads.get(address);
      loads.delete(address);
      await load?.discard(await opened());
    },

    async stagePage(request: { tables: readonly TargetTable[]; channel: ChannelEnd }): Promise<void> {
      await page.take(await opened(), request.tables, request.channel);
    },

    async commitPage(request: CommitPage): Promise<PageOutcome> {
      return commitPage(await opened(), page, request, now);
    },

    async pruneHeld(request: { addresses: readonly string[]; xmin: string }): Promise<void> {
      await pruneHeld(await opened(), request.addresses, request.xmin);
    },

    async beginShadow(begin: BeginShadow): Promise<void> {
      loads.get(begin.load)?.close();
      loads.set(begin.load, await RunningShadow.begin(await opened(), begin));
    },

    async compareShadow(request: CompareShadow): Promise<readonly Comparison[]> {
      loads.get(request.load)?.close();
      loads.delete(request.load);
      return compareShadow(await opened(), request);
    },

    async stageRows(request: { table: TargetTable; channel: ChannelEnd }): Promise<void> {
      const db = await opened();
      const receiver = new BatchReceiver<BatchMessage>(request.channel);
      try {
        await db.run(`DROP TABLE IF EXISTS ${incomingTable(request.table)}`);
        const source = db.scan.add(receivedBatches(request.table.columns, receiver));
        await db.run(`CREATE TEMP TABLE ${incomingTable(request.table)} AS SELECT * FROM ${source}`);
      } finally {
        receiver.close();
      }
    },

    async writeRows(request: WriteRows): Promise<{ rows: number; rejected: number }> {
      const db = await opened();
      const { table } = request;
      return db.transaction(async () => {
        if (table.widened) await alignColumns(db, table, now);
        const [count] = await db.rows<{ n: string }>(`SELECT count(*) AS n FROM ${incomingTable(table)}`);
        const rows = Number(count?.n ?? 0);
        if (rows > 0) {
          const names = columnList(table.columns.map((column) => column.name));
          const statements =
            request.mode === 'upsert'
              ? upsertStatements(table, incomingTable(table), 'image', request.cursorColumn)
              : [`INSERT INTO ${qualified(table)} (${names}) SELECT ${names} FROM ${incomingTable(table)}`];
          for (const statement of statements) await db.run(statement);
        }
        await db.run(`DROP TABLE ${incomingTable(table)}`);
        const rejected = await moveRejected(db, table, null, null, now, 'add');
        const endedAt = now().toISOString();
        await writeTableFacts(db, table, {
          ...(request.cursor === null ? {} : { cursor: request.cursor }),
          rows: await liveRows(db, table),
          as_of: request.asOf,
          last_run_at: endedAt,
          error_code: null,
          error_message: null,
          error_at: null,
        });
        await writeRun(db, {
          ...request.run,
          address: table.address,
          kind: table.method,
          status: 'ok',
          endedAt,
          rows,
          inserted: rows,
          updated: 0,
          deleted: 0,
          rejected,
          fromLsn: null,
          toLsn: null,
          errorCode: null,
          errorMessage: null,
        });
        return { rows, rejected };
      });
    },

    async recordFailure(failure: RecordFailure): Promise<void> {
      const db = await opened();
      const endedAt = now().toISOString();
      await db.transaction(async () => {
        await ensureTableRow(db, failure.address);
        await db.run(
          `UPDATE _sluice.tables SET error_code = ${literal(failure.error.code)}, error_message = ${literal(failure.error.message)},
           error_at = TIMESTAMPTZ ${literal(endedAt)}, last_run_at = TIMESTAMPTZ ${literal(endedAt)} WHERE address = ${literal(failure.address)}`,
        );
        await writeRun(db, {
          runId: failure.runId,
          source: failure.source,
          address: failure.address,
          kind: failure.kind,
          status: 'failed',
          startedAt: failure.startedAt,
          endedAt,
          rows: 0,
          inserted: 0,
          updated: 0,
          deleted: 0,
          rejected: 0,
          fromLsn: null,
          toLsn: null,
          errorCode: failure.error.code,
          errorMessage: failure.error.message,
        });
      });
    },

    async requestSnapshot(request: { address: string; reason: string }): Promise<void> {
      const db = await opened();
      // Its changes may pass by from here on.
      await forgetProgress(db, request.address);
      await db.run(
        `UPDATE _sluice.tables SET resnapshot_reason = ${literal(request.reason)} WHERE address = ${literal(request.address)}`,
      );
    },

    async recordPartitions(request: RecordPartitions): Promise<void> {
      const db = await opened();
      const { address, partitions, accepted } = request;
      await db.transaction(async () => {
        await writePartitionFacts(db, address, partitions);
        if (accepted === null) return;
        await writeRun(db, {
          ...accepted.run,
          address,
          kind: 'partitions',
          status: 'ok',
          endedAt: now().toISOString(),
          rows: 0,
          inserted: 0,
          updated: 0,
          deleted: 0,
          rejected: 0,
          fromLsn: null,
          toLsn: null,
          errorCode: accepted.code,
          errorMessage: accepted.message,
        });
      });
    },

    async addColumns(request: AddColumns): Promise<void> {
      const db = await opened();
      await db.transaction(() => addColumns(db, request, now));
    },

    async widenColumns(table: TargetTable): Promise<void> {
      const db = await opened();
      await db.transaction(() => alignColumns(db, table, now));
    },

    async renameColumns(request: RenameColumns): Promise<void> {
      const db = await opened();
      await db.transaction(() => renameColumns(db, request, now));
    },

    async describeTables({ tables }: DescribeTables): Promise<readonly TableTrouble[]> {
      const db = await opened();
      const changed = await undescribed(db, tables);
      if (changed.length > 0) await db.transaction(() => describeTables(db, changed));
      return [];
    },

    async retireTable(request: RetireTable): Promise<void> {
      await retireTable(await opened(), request, now);
    },

    async dropTable(request: RetireTable): Promise<void> {
      await dropTable(await opened(), request);
    },

    async moveTable(request: { from: RetireTable; to: RetireTable }): Promise<void> {
      await moveTable(await opened(), request.from, request.to);
    },

    async moveStream(request: { from: string; to: string }): Promise<void> {
      const db = await opened();
      await db.transaction(() => moveSourceFacts(db, request.from, request.to));
    },

    async forgetStream(source: string): Promise<void> {
      const db = await opened();
      await db.transaction(async () => {
        await db.run(`DELETE FROM _sluice.streams WHERE source = ${literal(source)}`);
        await forgetProgressOfOthers(db, source, []);
      });
    },

    async restartStream(request: { source: string; addresses: readonly string[] }): Promise<void> {
      const db = await opened();
      await db.transaction(async () => {
        await db.run(`DELETE FROM _sluice.streams WHERE source = ${literal(request.source)}`);
        for (const address of request.addresses) await dropHeld(db, address);
      });
    },

    async makePlace(_: null): Promise<void> {
      await opened();
    },

    readTraffic: async (_: null): Promise<StoreTraffic | null> => null,

    release: (_: null): Promise<void> => home.release(),

    publish: (path: string): Promise<void> => home.publish(path),
  };
}

export type DuckDbSurface = ReturnType<typeof duckDbSurface>;
