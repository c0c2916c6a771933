import { CHANGE_COLUMNS, unchangedColumnNames } from '../../batch/change-columns.js';
import type { LogicalType } from '../../batch/logical-type.js';
import { attachBatch, type BatchMessage } from '../../batch/transfer.js';
import { asSluiceError, type PlainError, toPlain } from '../../error/sluice-error.js';
import { BatchReceiver, type ChannelEnd } from '../../thread/batch-channel.js';
import { historyName, type TargetTable } from '../target-table.js';
import type { CommitPage, PageItem, PageOutcome, PageTable, PageTableOutcome, RejectedValue } from '../writer.js';
import { alignColumns } from './align-columns.js';
import { applyChanges } from './apply-changes.js';
import { writeRun, writeStream, writeTableFacts } from './facts-store.js';
import { hasHeld, heldTable, hold, holdGap, visibleIn } from './held-changes.js';
import { alignHeld } from './held-layout.js';
import { lsnNumber } from './lsn-number.js';
import { closeHistoryStatements } from './merge-sql.js';
import type { DuckDbSession } from './session.js';
import { forgetProgressOfOthers } from './snapshot-progress.js';
import { literal } from './sql-text.js';
import { liveRows, tableExists } from './target-ddl.js';

/**
 * A page of the stream: whole transactions, first staged into temporary tables (which spill to disk), then committed in
 * one transaction together with the checkpoint.
 */

const REJECTED_STAGE = 'page_rejected';

export function stageName(index: number): string {
  return `page_changes_${index}`;
}

/** A staged batch's columns: the table's, then those of batch/change-columns.ts. */
export function changeBatchColumns(table: TargetTable): { name: string; type: LogicalType }[] {
  return [
    ...table.columns,
    ...CHANGE_COLUMNS,
    ...unchangedColumnNames(table.columns.length).map((name) => ({ name, type: { kind: 'int32' } as const })),
  ];
}

export class StagedPage {
  readonly #staged = new Set<number>();
  #rejected = false;

  /** Takes everything from the channel; leftovers of a page that was never committed are dropped first. */
  async take(session: DuckDbSession, tables: readonly TargetTable[], channel: ChannelEnd): Promise<void> {
    await this.drop(session, tables.length);
    const receiver = new BatchReceiver<PageItem<BatchMessage>>(channel);
    try {
      for (;;) {
        const item = receiver.next();
        if (item === null || item === 'interrupted') return;
        if (item.kind === 'rejected')
          await this.#stageRejected(session, tables[item.table]?.address ?? '', item.table, item.values);
        else await this.#stageBatch(session, item.table, tables[item.table], item.batch);
      }
    } finally {
      receiver.close();
    }
  }

  has(index: number): boolean {
    return this.#staged.has(index);
  }

  get hasRejected(): boolean {
    return this.#rejected;
  }

  async #stageBatch(
    session: DuckDbSession,
    index: number,
    table: TargetTable | undefined,
    message: BatchMessage,
  ): Promise<void> {
    if (table === undefined) return;
    let pending: BatchMessage | null = message;
    const source = session.scan.add({
      columns: changeBatchColumns(table),
      next: () => {
        const batch = pending === null ? null : attachBatch(pending);
        pending = null;
        return batch;
      },
    });
    if (this.#staged.has(index)) {
      await session.run(`INSERT INTO ${stageName(index)} SELECT * FROM ${source}`);
      return;
    }
    await session.makeRoomForPage(this.#staged.size + 1);
    await session.run(`CREATE TEMP TABLE ${stageName(index)} AS SELECT * FROM ${source}`);
    this.#staged.add(index);
  }

  async #stageRejected(
    session: DuckDbSession,
    address: string,
    index: number,
    values: readonly RejectedValue[],
  ): Promise<void> {
    if (values.length === 0) return;
    if (!this.#rejected) {
      await session.run(
        `CREATE TEMP TABLE ${REJECTED_STAGE} ("table" INTEGER, address VARCHAR, key VARCHAR, "column" VARCHAR, source_text VARCHAR, reason VARCHAR, lsn VARCHAR)`,
      );
      this.#rejected = true;
    }
    const rows = values.map(
      (v) => `(${[index, address, v.key, v.column, v.text, v.reason, v.lsn].map(literal).join(', ')})`,
    );
    await session.run(`INSERT INTO ${REJECTED_STAGE} VALUES ${rows.join(', ')}`);
  }

  async drop(session: DuckDbSession, tables: number): Promise<void> {
    for (let index = 0; index < tables; index += 1) await session.run(`DROP TABLE IF EXISTS ${stageName(index)}`);
    await session.run(`DROP TABLE IF EXISTS ${REJECTED_STAGE}`);
    this.#staged.clear();
    this.#rejected = false;
    await session.makeRoomForPage(0);
  }
}

/** A table's own trouble, as told from the destination's: the page is committed again with that table held. */
class TableTrouble extends Error {
  constructor(
    readonly index: number,
    readonly reason: unknown,
  ) {
    super('a table of the page failed');
  }
}

/** Commits the staged page. A table whose merge fails is held and marked; its neighbours and the checkpoint go on. */
export async function commitPage(
  session: DuckDbSession,
  staged: StagedPage,
  page: CommitPage,
  now: () => Date,
): Promise<PageOutcome> {
  const troubled = new Map<number, PlainError>();
  for (const { index, trouble } of page.tables) {
    if (trouble !== null && trouble !== undefined) troubled.set(index, trouble);
  }
  for (;;) {
    try {
      const outcome = await session.transaction(() => commitOnce(session, staged, page, troubled, now));
      await staged.drop(session, page.tables.length);
      return outcome;
    } catch (error) {
      if (!(error instanceof TableTrouble)) throw error;
      troubled.set(error.index, toPlain(asSluiceError(error.reason)));
    }
  }
}

async function commitOnce(
  session: DuckDbSession,
  staged: StagedPage,
  page: CommitPage,
  troubled: ReadonlyMap<number, PlainError>,
  now: () => Date,
): Promise<PageOutcome> {
  const outcomes: PageTableOutcome[] = [];
  for (const entry of page.tables) {
    const error = troubled.get(entry.index) ?? null;
    try {
      const outcome = await commitTable(session, staged, entry, error, page, now);
      if (outcome !== null) outcomes.push(outcome);
    } catch (reason) {
      if (error !== null) throw reason;
      throw new TableTrouble(entry.index, reason);
    }
  }
  // The checkpoint moves on: a load can only be gone on with while all changes of its table are held.
  const holding = page.tables.filter((t) => t.mode === 'hold' && t.mismatch === null && t.truncates.length === 0);
  await forgetProgressOfOthers(
    session,
    page.source,
    holding.map((entry) => entry.table.address),
  );
  await writeStream(session, {
    source: page.source,
    slot: page.slot,
    slotCreatedLsn: page.slotCreatedLsn,
    systemIdentifier: page.systemIdentifier,
    timelineId: page.timelineId,
    unseen: page.unseen,
    confirmedLsn: page.confirmedLsn,
    confirmedAt: page.confirmedAt,
    updatedAt: now().toISOString(),
  });
  return { recorded: true, tables: outcomes };
}

async function commitTable(
  session: DuckDbSession,
  staged: StagedPage,
  entry: PageTable,
  error: PlainError | null,
  page: CommitPage,
  now: () => Date,
): Promise<PageTableOutcome | null> {
  const { table } = entry;
  const hasChanges = staged.has(entry.index);
  // A TRUNCATE ends what the snapshot was to be compared with, so its page is merged as any other.
  const upTo = entry.mode === 'merge' && error === null && entry.truncates.length === 0 ? (entry.upTo ?? null) : null;
  const held = entry.mode === 'merge' && error === null && upTo === null && (await hasHeld(session, table.address));
  const quiet = !hasChanges && entry.truncates.length === 0 && entry.mismatch === null && !held && error === null;
  // Without held changes the staged ones are used as they are; a rollback brings them back.
  const changes = held ? `table_changes_${entry.index}` : stageName(entry.index);
  if (table.widened && (hasChanges || held)) await alignColumns(session, table, now);
  let counts = { inserted: 0, updated: 0, deleted: 0 };
  let resnapshot: string | null = entry.mismatch?.reason ?? null;

  if (held) {
    await alignHeld(session, table);
    await session.run(`DROP TABLE IF EXISTS ${changes}`);
    const parts = [
      `SELECT * FROM ${heldTable(table.address)}`,
      ...(hasChanges ? [`SELECT * FROM ${stageName(entry.index)}`] : []),
    ];
    await session.run(`CREATE TEMP TABLE ${changes} AS ${parts.join(' UNION ALL BY NAME ')}`);
    await session.run(`DROP TABLE ${heldTable(table.address)}`);
  }
  const present = hasChanges || held;
  if (entry.mode === 'hold' || error !== null) {
    if (present) {
      await hold(session, table, changes);
      await session.run(`DROP TABLE ${changes}`);
    }
    if (entry.truncates.length > 0) resnapshot ??= 'TRUNCATE';
    for (const truncate of entry.truncates) await holdGap(session, table.address, truncate, 'TRUNCATE');
    // A load that is running may end after this; only one whose snapshot saw the change of columns makes the table whole.
    if (entry.mismatch !== null) {
      const { reason, lsn } = entry.mismatch;
      // It names the first transaction whose changes are not in the page; later ones may still be hidden from snapshots.
      for (const xid of new Set([entry.mismatch.xid, ...page.unseen])) {
        await holdGap(session, table.address, { lsn, xid }, reason);
      }
    }
    if (entry.mode === 'merge' && entry.truncates.length > 0) await closeHistory(session, entry);
  } else if (entry.truncates.length > 0) {
    resnapshot ??= 'TRUNCATE';
    const [first] = entry.truncates;
    if (present && first !== undefined) {
      // What follows the TRUNCATE waits for the new snapshot; what came before it still belongs to the old rows.
      const before = `(__lsn, __seq) < (${lsnNumber(first.lsn)}::BIGINT, ${first.seq}::BIGINT)`;
      const later = `${changes}_later`;
      await session.run(`DROP TABLE IF EXISTS ${later}`);
      await session.run(`CREATE TEMP TABLE ${later} AS SELECT * FROM ${changes} WHERE NOT (${before})`);
      await session.run(`DELETE FROM ${changes} WHERE NOT (${before})`);
      counts = await applyChanges(session, table, changes);
      await hold(session, table, later);
      await session.run(`DROP TABLE ${later}`);
    }
    await closeHistory(session, entry);
  } else if (present) {
    if (upTo !== null) await holdUnseen(session, table, changes, upTo);
    counts = await applyChanges(session, table, changes);
  }

  const rejected = staged.hasRejected ? await keepRejected(session, entry, now) : 0;
  if (quiet) return null;
  const endedAt = now().toISOString();
  const live = entry.mode === 'merge' && error === null && upTo === null;
  await writeTableFacts(session, table, {
    ...(resnapshot === null ? {} : { resnapshot_reason: resnapshot }),
    ...(live ? { rows: await liveRows(session, table), as_of_lsn: page.confirmedLsn, as_of: page.confirmedAt } : {}),
    last_run_at: endedAt,
    error_code: error?.code ?? null,
    error_message: error?.message ?? null,
    error_at: error === null ? null : endedAt,
  });
  if (entry.mode === 'merge') {
    await writeRun(session, {
      runId: page.runId,
      source: page.source,
      address: table.address,
      kind: 'stream',
      status: error === null ? 'ok' : 'failed',
      startedAt: page.startedAt,
      endedAt,
      rows: counts.inserted + counts.updated + counts.deleted,
      ...counts,
      rejected,
      fromLsn: null,
      toLsn: page.confirmedLsn,
      errorCode: error?.code ?? null,
      errorMessage: error?.message ?? null,
    });
  }
  return { index: entry.index, ...counts, rejected, needsLoad: resnapshot !== null, error };
}

/** Moves the changes that a snapshot does not see to the held ones. */
async function holdUnseen(
  session: DuckDbSession,
  table: TargetTable,
  changes: string,
  snapshot: string,
): Promise<void> {
  const unseen = `${changes}_unseen`;
  const seen = visibleIn(snapshot, '__xid');
  await session.run(`DROP TABLE IF EXISTS ${unseen}`);
  await session.run(`CREATE TEMP TABLE ${unseen} AS SELECT * FROM ${changes} WHERE NOT ${seen}`);
  const moved = await session.run(`DELETE FROM ${changes} WHERE NOT ${seen}`);
  if (moved > 0) await hold(session, table, unseen);
  await session.run(`DROP TABLE ${unseen}`);
}

async function closeHistory(session: DuckDbSession, entry: PageTable): Promise<void> {
  const { table } = entry;
  const [first] = entry.truncates;
  if (table.output === 'consolidated' || first === undefined) return;
  if (!(await tableExists(session, { schema: table.schema, name: historyName(table) }))) return;
  for (const statement of closeHistoryStatements(
    table,
    `TIMESTAMPTZ ${literal(first.committedAt)}`,
    'truncated_versions',
  )) {
    await session.run(statement);
  }
}

async function keepRejected(session: DuckDbSession, entry: PageTable, now: () => Date): Promise<number> {
  const rejected = await session.run(
    `INSERT INTO _sluice.rejected_values SELECT address, key, "column", source_text, reason, lsn, TIMESTAMPTZ ${literal(now().toISOString())}
     FROM ${REJECTED_STAGE} WHERE "table" = ${entry.index}`,
  );
  if (rejected > 0) {
    const address = literal(entry.table.address);
    await writeTableFacts(session, entry.table, {});
    await session.run(
      `UPDATE _sluice.tables SET rejected_values = coalesce(rejected_values, 0) + ${rejected} WHERE address = ${address}`,
    );
  }
  return rejected;
}
