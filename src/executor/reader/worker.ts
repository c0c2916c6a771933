import type { RecordBatch } from 'apache-arrow';
import { type BatchMessage, detachBatch } from '../../batch/transfer.js';
import type { LoadItem, PageItem, RejectedValue } from '../../destination/writer.js';
import { SluiceError } from '../../error/sluice-error.js';
import { ChangeDecoder, type DecoderTable } from '../../pgoutput/change-decoder.js';
import { formatLsn, lsnFromBigInt, parseLsn } from '../../pgoutput/lsn.js';
import { CODE } from '../../pgoutput/message.js';
import { isVisible, parseSnapshot } from '../../pgoutput/snapshot-visibility.js';
import { type ConnectTarget, connectSource, type SourceConnection } from '../../source/connect.js';
import { CopyTableDecoder } from '../../source/copy-decoder.js';
import { copyOut } from '../../source/copy-stream.js';
import { CopyTupleReader } from '../../source/copy-tuples.js';
import { sqlState } from '../../source/errors.js';
import { readPartitions } from '../../source/partition-leaf.js';
import { quoteLiteral, quoteQualified } from '../../source/sql-identifier.js';
import { BatchSender } from '../../thread/batch-channel.js';
import { emitEvent, serve } from '../../thread/call.js';
import { claimTask, isPauseAsked } from '../../thread/merged-channel.js';
import { type HeapRelation, TID_RANGE_VERSION } from '../heap-range.js';
import { FollowedStream } from './followed-stream.js';
import type {
  BeginSnapshot,
  CopyProgress,
  CopyRangesRequest,
  CopyRequest,
  CopySummary,
  FollowRequest,
  JoinSnapshot,
  PageRequest,
  PageSummary,
  PeekRequest,
  SnapshotTaken,
  StreamedPage,
  StreamLook,
} from './reader-thread.js';

/** A thread with one connection to the source: it receives and decodes; batches go straight to the writing thread. */

/** DuckDB's row group: more rows in a batch gain nothing. Rows of more than 35 bytes reach BATCH_BYTES first. */
const BATCH_ROWS = 122_880;
/**
 * DuckDB takes chunks of 2,048 rows, whatever a batch holds, so a small batch costs it nothing; with 32 MiB the process
 * took 60 MB more and as much CPU (bench snapshot). A batch holds at least one row, however large.
 */
const BATCH_BYTES = 4 * 1024 * 1024;
/** Batches under way between reading and writing; each may hold BATCH_BYTES. */
const WINDOW = 3;
const PROGRESS_MS = 200;
/** COPY feeds row by row; a look at the clock for each would be a noticeable part of the work. */
const PROGRESS_STEP_BYTES = 256 * 1024;
const REJECTED_CHUNK = 500;
/** Kept by the server for one peek before it goes to a temporary file. */
const PEEK_WORK_MEM = '64MB';

/**
 * A table that somebody alters for longer is left to the next sync: the other tables' loads wait behind it, and so does
 * everybody who wants to read it.
 */
const LOCK_WAIT = '60s';
const LOCK_NOT_AVAILABLE = '55P03';

let connection: SourceConnection | null = null;
let followed: FollowedStream | null = null;
const never = new AbortController().signal;

function connected(): SourceConnection {
  if (connection === null) throw new SluiceError({ code: 'INTERNAL', message: 'the reading thread is not connected' });
  return connection;
}

async function endTransaction(): Promise<void> {
  await connected().query('ROLLBACK', [], never);
}

async function lockTable(db: SourceConnection, table: BeginSnapshot): Promise<void> {
  await db.query(`SET LOCAL lock_timeout = ${quoteLiteral(LOCK_WAIT)}`, [], never);
  try {
    await db.query(`LOCK TABLE ${quoteQualified(table)} IN ACCESS SHARE MODE`, [], never);
  } catch (error) {
    if (sqlState(error) !== LOCK_NOT_AVAILABLE) throw error;
    throw new SluiceError({
      code: 'SNAPSHOT_WAIT_TIMEOUT',
      message: `another session has held the table in ACCESS EXCLUSIVE mode, or has waited for it, for ${LOCK_WAIT}`,
      hint: 'the load is tried again with the next sync; pg_locks shows who holds the table',
      cause: error,
    });
  }
  await db.query('SET LOCAL lock_timeout = 0', [], never);
}

interface HeapRow extends Omit<HeapRelation, 'filenode'>, Record<string, unknown> {
  readonly filenode: number | null;
  readonly readable: boolean;
}

/** Only ordinary heap tables have ctids of blocks; row security of a partition may differ from its root's. */
const heapSql = (tree: string, ownPolicies: string): string => `
  WITH RECURSIVE tree AS (${tree})
  SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, pg_catalog.pg_relation_filenode(c.oid) AS filenode,
    (pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::int8)::float8 AS blocks,
    c.relkind = 'r' AND a.amname = 'heap' AND ${ownPolicies} AS readable
  FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam
  WHERE c.relkind <> 'p' ORDER BY c.oid`;
const HEAP_SQL = {
  r: heapSql('SELECT $1::pg_catalog.oid AS oid', 'true'),
  p: heapSql(
    `SELECT $1::pg_catalog.oid AS oid UNION ALL
     SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree ON i.inhparent = tree.oid WHERE NOT i.inhdetachpending`,
    "pg_catalog.has_table_privilege(c.oid, 'select') AND pg_catalog.has_schema_privilege(n.oid, 'usage') AND NOT c.relrowsecurity",
  ),
};

const surface = {
  /** @returns what asks the server to end what this thread's session runs */
  async connect(request: { target: ConnectTarget; purpose: string }): Promise<Uint8Array | null> {
    connection = await connectSource(request.target, { purpose: request.purpose, signal: never });
    return connection.cancelRequest;
  },

  async beginSnapshot(request: BeginSnapshot): Promise<SnapshotTaken> {
    const db = connected();
    await db.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY', [], never);
    // The lock comes first and the snapshot after it: TRUNCATE and rewriting ALTERs are not MVCC-safe (DESIGN 3).
    if (request.lock) await lockTable(db, request);
    await checkShape(db, request);
    const [row] = await db.query<{ snapshot: string; lsn: string; at: string }>(
      `SELECT pg_catalog.pg_current_snapshot()::text AS snapshot,
         CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_insert_lsn() END::text AS lsn,
         pg_catalog.to_char(pg_catalog.clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at`,
      [],
      never,
    );
    if (row === undefined) throw new SluiceError({ code: 'INTERNAL', message: 'the server gave no snapshot' });
    const partitions = request.partitionsOf === null ? null : await readPartitions(db, request.partitionsOf, never);
    return { snapshot: row.snapshot, snapshotLsn: row.lsn, takenAt: row.at, partitions };
  },

  /** For {@link joinSnapshot} of other threads, while this one's transaction lasts. */
  async exportSnapshot(_: null): Promise<string> {
    const [row] = await connected().query<{ id: string }>('SELECT pg_catalog.pg_export_snapshot() AS id', [], never);
    return row?.id ?? '';
  },

  /**
   * Begins a transaction with another thread's snapshot.
   * @returns false where somebody waits for the table who would be waited for in turn: without this thread then
   */
  async joinSnapshot(request: JoinSnapshot): Promise<boolean> {
    const db = connected();
    await db.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY', [], never);
    await db.query(`SET TRANSACTION SNAPSHOT ${quoteLiteral(request.snapshot)}`, [], never);
    if (!request.lock) return true;
    try {
      await db.query(`LOCK TABLE ${quoteQualified(request)} IN ACCESS SHARE MODE NOWAIT`, [], never);
      return true;
    } catch (error) {
      if (sqlState(error) !== LOCK_NOT_AVAILABLE) throw error;
      await endTransaction();
      return false;
    }
  },

  /** The heap files of a table as the transaction's snapshot sees them; null where it cannot be read by ranges of blocks. */
  async heapRelations(table: { oid: number; kind: 'r' | 'p' }): Promise<readonly HeapRelation[] | null> {
    const db = connected();
    if (db.versionNum < TID_RANGE_VERSION) return null;
    const rows = await db.query<HeapRow>(HEAP_SQL[table.kind], [table.oid], never);
    if (rows.some((row) => !row.readable || row.filenode === null)) return null;
    return rows.map(({ readable: _, ...relation }) => ({ ...relation, filenode: relation.filenode ?? 0 }));
  },

  /** Reads one range after the other, as long as there are some that no other thread has taken. */
  async copyRanges(request: CopyRangesRequest): Promise<CopySummary> {
    const sender = new BatchSender<LoadItem<BatchMessage>>(request.channel, WINDOW);
    const progress = progressOf(request.address);
    const send: SendBatch = (batch, transfer) => sender.send({ kind: 'batch', batch }, transfer);
    const rejected = request.columns.map(() => 0);
    let bytes = 0;
    try {
      do {
        const task = claimTask(request.control, request.statements.length);
        if (task === null) break;
        const copied = { sql: request.statements[task] ?? '', columns: request.columns };
        const result = await copyTable(copied, sender, send, progress);
        for (const [position, count] of result.rejected.entries())
          rejected[position] = (rejected[position] ?? 0) + count;
        bytes += result.bytes;
      } while (!isPauseAsked(request.control));
      progress.tell();
      const columns = rejected.flatMap((count, position) => (count > 0 ? [position] : []));
      if (columns.length > 0) sender.send({ kind: 'rejected_columns', columns }, []);
      sender.end();
      return { rows: progress.rows, bytes, rejected };
    } catch (error) {
      sender.fail(error);
      throw error;
    }
  },

  async copy(request: CopyRequest): Promise<CopySummary> {
    const sender = new BatchSender<BatchMessage>(request.channel, WINDOW);
    try {
      const progress = progressOf(request.address);
      const send: SendBatch = (batch, transfer) => sender.send(batch, transfer);
      const result = await copyTable(request, sender, send, progress);
      progress.tell();
      sender.end();
      return result;
    } catch (error) {
      sender.fail(error);
      throw error;
    }
  },

  async endSnapshot(_: null): Promise<void> {
    await connected().query('COMMIT', [], never);
  },

  /** Leaves an open or failed transaction; connects anew where the connection is gone. */
  async resetSession(target: ConnectTarget): Promise<Uint8Array | null> {
    try {
      await endTransaction();
    } catch {
      connection?.destroy();
      connection = await connectSource(target, { purpose: 'read', signal: never });
    }
    return connected().cancelRequest;
  },

  async peekPage(request: PeekRequest): Promise<PageSummary> {
    const sender = new BatchSender<PageItem<BatchMessage>>(request.channel, WINDOW);
    try {
      const summary = await peek(request, sender);
      sender.end();
      return summary;
    } catch (error) {
      sender.fail(error);
      throw error;
    }
  },

  /** Begins to follow by the replication protocol. The plain session is not needed meanwhile and given back. */
  async startStream(request: FollowRequest): Promise<void> {
    await connection?.end();
    connection = null;
    followed = await FollowedStream.open(request, never);
  },

  async lookForPage(request: { waitMs: number; cut: boolean }): Promise<StreamLook> {
    return following().look(request);
  },

  async stageStreamed(request: PageRequest): Promise<StreamedPage> {
    const sender = new BatchSender<PageItem<BatchMessage>>(request.channel, WINDOW);
    try {
      const page = openPage(request, sender);
      await following().stage(page.decoder, () => (sender.isFull ? sender.waitForRoom(never) : Promise.resolve()));
      const summary = page.finish();
      sender.end();
      return summary;
    } catch (error) {
      sender.fail(error);
      throw error;
    }
  },

  async confirmStreamed(lsn: string): Promise<void> {
    following().committed(parseLsn(lsn));
  },

  async stopStream(_: null): Promise<void> {
    const stream = followed;
    followed = null;
    await stream?.close();
  },
};

type SendBatch = (batch: BatchMessage, transfer: readonly ArrayBuffer[]) => void;

/** One COPY into a channel, which stays open. */
async function copyTable(
  copied: Pick<CopyRequest, 'sql' | 'columns'>,
  room: Pick<BatchSender<unknown>, 'isFull' | 'waitForRoom'>,
  send: SendBatch,
  progress: ReturnType<typeof progressOf>,
): Promise<CopySummary> {
  const limits = { maxRows: BATCH_ROWS, maxBytes: BATCH_BYTES };
  const decoder = new CopyTableDecoder(copied.columns, limits, (batch: RecordBatch) => {
    progress.rows += batch.numRows;
    const { message, transfer } = detachBatch(batch);
    send(message, transfer);
  });
  await copyOut(
    connected(),
    copied.sql,
    {
      feed: (bytes, start, end) => {
        decoder.feed(bytes, start, end);
        progress.add(end - start);
      },
      get isFull() {
        return room.isFull;
      },
      waitForRoom: (signal) => room.waitForRoom(signal),
    },
    never,
  );
  return decoder.finish();
}

function following(): FollowedStream {
  if (followed === null) throw new SluiceError({ code: 'INTERNAL', message: 'the reading thread follows no stream' });
  return followed;
}

/**
 * Between the look at the catalog and the lock a table may have been altered, or another may have taken its name. What
 * COPY then sends could be read as something else of the same width, so it is not even asked for.
 */
async function checkShape(db: SourceConnection, { schema, name, expected }: BeginSnapshot): Promise<void> {
  const rows = await db.query<{ oid: string; attnum: number; name: string; type: string }>(
    `SELECT c.oid::text AS oid, a.attnum, a.attname AS name, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
     WHERE c.oid = $1::pg_catalog.regclass AND a.attnum > 0 AND NOT a.attisdropped`,
    [quoteQualified({ schema, name })],
    never,
  );
  const columns = new Map(rows.map((row) => [row.attnum, row]));
  const same =
    rows[0]?.oid === String(expected.oid) &&
    expected.columns.every((column) => {
      const found = columns.get(column.attnum);
      return found?.name === column.name && found.type === column.type;
    });
  if (same) return;
  throw new SluiceError({
    code: 'SCHEMA_MOVED',
    message: `${schema}.${name} was altered just before it was to be read`,
    hint: 'nothing was read; the next sync takes it as it is then',
  });
}

/** A decoder for one page, whose batches and rejected values go to `sender`. */
function openPage(request: PageRequest, sender: BatchSender<PageItem<BatchMessage>>) {
  const truncates: PageSummary['truncates'][number][] = [];
  const mismatches: PageSummary['mismatches'][number][] = [];
  const rejected = new Map<number, RejectedValue[]>();
  let lastCommitAt: string | null = null;
  const snapshot = request.snapshot === null ? null : parseSnapshot(request.snapshot);
  const unseen: number[] = [];
  const sendRejected = (table: number): void => {
    const values = rejected.get(table) ?? [];
    rejected.delete(table);
    if (values.length > 0) sender.send({ kind: 'rejected', table, values }, []);
  };
  const decoder = new ChangeDecoder({
    tables: request.tables.map(
      ({ gate, ...table }): DecoderTable => ({
        ...table,
        ...(gate === null
          ? {}
          : { gate: { ...parseSnapshot(gate.snapshot), snapshotLsn: parseLsn(gate.snapshotLsn) } }),
      }),
    ),
    confirmedLsn: parseLsn(request.confirmedLsn),
    maxRows: BATCH_ROWS,
    maxBytes: BATCH_BYTES,
    onBatch: (table, batch) => {
      const { message, transfer } = detachBatch(batch);
      sender.send({ kind: 'batch', table, batch: message }, transfer);
    },
    onEvent: (event) => {
      switch (event.kind) {
        case 'truncate':
          truncates.push({
            table: event.tableIndex,
            lsn: formatLsn(event.lsn),
            seq: event.seq,
            committedAt: commitTime(event.commitTs),
            xid: event.xid,
          });
          return;
        case 'relation_mismatch':
          mismatches.push({
            table: event.tableIndex,
            reason: event.reason,
            lsn: formatLsn(event.lsn),
            xid: event.xid,
          });
          return;
        case 'rejected': {
          const values = rejected.get(event.tableIndex) ?? [];
          values.push({
            key: event.key,
            column: event.column,
            text: event.text,
            reason: event.reason,
            lsn: formatLsn(event.lsn),
          });
          rejected.set(event.tableIndex, values);
          if (values.length >= REJECTED_CHUNK) sendRejected(event.tableIndex);
          return;
        }
        case 'commit':
          lastCommitAt = commitTime(event.commitTs);
          if (snapshot === null || !isVisible(event.xid, snapshot)) unseen.push(event.xid);
          return;
      }
    },
  });
  return {
    decoder,
    finish(): StreamedPage {
      const { transactions, changes, lastEndLsn } = decoder.finish();
      for (const table of [...rejected.keys()]) sendRejected(table);
      return {
        transactions,
        changes,
        lastEndLsn: lastEndLsn === null ? null : formatLsn(lastEndLsn),
        lastCommitAt,
        unseen,
        truncates,
        mismatches,
      };
    },
  };
}

async function peek(request: PeekRequest, sender: BatchSender<PageItem<BatchMessage>>): Promise<PageSummary> {
  const page = openPage(request, sender);
  let messages = 0;
  let size = 0;
  let cut = false;
  const tuples = new CopyTupleReader(3, (bytes) => {
    // What Postgres has made ready beyond the end of the page comes again with the next one.
    if (cut) return;
    messages += 1;
    const start = tuples.starts[2] ?? 0;
    const length = tuples.lengths[2] ?? 0;
    page.decoder.push(bytes, start, start + length, readLsn(bytes, tuples.starts[0] ?? 0));
    size += length;
    cut = size >= request.maxBytes && bytes[start] === CODE.commit;
  });
  const db = connected();
  await db.query(`SET work_mem = ${quoteLiteral(PEEK_WORK_MEM)}`, [], never);
  const options = `'proto_version', '1', 'publication_names', ${quoteLiteral(publicationOption(request.publication))}`;
  await copyOut(
    db,
    `COPY (SELECT lsn, xid, data FROM pg_catalog.pg_logical_slot_peek_binary_changes(${quoteLiteral(request.slot)}, NULL, ${request.maxChanges}, ${options})) TO STDOUT (FORMAT binary)`,
    {
      feed: (bytes, start, end) => tuples.feed(bytes, start, end),
      get isFull() {
        return sender.isFull;
      },
      waitForRoom: (signal) => sender.waitForRoom(signal),
    },
    never,
  );
  tuples.finish();
  return { ...page.finish(), messages, cut };
}

/** pgoutput splits the option at commas like an identifier list, so the name is quoted as an identifier inside it. */
function publicationOption(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function readLsn(bytes: Uint8Array, at: number): ReturnType<typeof lsnFromBigInt> {
  return lsnFromBigInt(Buffer.from(bytes.buffer, bytes.byteOffset + at, 8).readBigUInt64BE());
}

/** @param micros since 1970, UTC */
function commitTime(micros: bigint): string {
  const ms = micros / 1000n;
  const rest = ((micros % 1_000_000n) + 1_000_000n) % 1_000_000n;
  const whole = new Date(Number(ms)).toISOString();
  return `${whole.slice(0, whole.indexOf('.'))}.${rest.toString().padStart(6, '0')}Z`;
}

function progressOf(address: string | null): { rows: number; add: (bytes: number) => void; tell: () => void } {
  let bytes = 0;
  let lookAt = PROGRESS_STEP_BYTES;
  let toldAt = performance.now();
  const progress = {
    rows: 0,
    add(more: number): void {
      bytes += more;
      if (bytes < lookAt) return;
      lookAt = bytes + PROGRESS_STEP_BYTES;
      if (performance.now() - toldAt >= PROGRESS_MS) progress.tell();
    },
    tell(): void {
      toldAt = performance.now();
      if (address === null) return;
      emitEvent({ kind: 'copy_progress', address, rows: progress.rows, bytes } satisfies CopyProgress);
    },
  };
  return progress;
}

export type ReaderSurface = typeof surface;

serve(surface);
