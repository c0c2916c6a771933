import type { RecordBatch } from 'apache-arrow';
import { OP_DELETE, OP_INSERT, OP_UPDATE } from '../batch/change-columns.js';
import { assertNever, SluiceError } from '../error/sluice-error.js';
import { type BatchFlags, ChangeBuilder, type ChangeOp } from './change-builder.js';
import { decodeMessage } from './decode-message.js';
import { formatLsn, type Lsn } from './lsn.js';
import { CODE, describeByte, MARK } from './message.js';
import { type BoundRelation, RelationCache, type RelationTarget } from './relation-cache.js';
import { isVisible, type PgSnapshot } from './snapshot-visibility.js';
import { sameField, TupleFields } from './tuple-fields.js';

/** Transactions that a table's snapshot has seen; their changes to it are skipped. */
export interface SnapshotGate extends PgSnapshot {
  /** WAL position read after the snapshot: what commits later cannot be visible in it. */
  readonly snapshotLsn: Lsn;
}

export interface DecoderTable extends RelationTarget {
  /** `source:schema.table`, for errors. */
  readonly address: string;
  readonly gate?: SnapshotGate | undefined;
}

interface EventPlace {
  readonly tableIndex: number;
  /** Commit LSN of the transaction. */
  readonly lsn: Lsn;
  /** Microseconds since 1970 UTC. */
  readonly commitTs: bigint;
  readonly xid: number;
}

export type ChangeEvent =
  /** The table's earlier changes have been handed on as a batch before this. */
  | ({ readonly kind: 'truncate'; readonly seq: number } & EventPlace)
  /** From here on the table's changes are dropped: only a new snapshot makes it whole. Said once a table. */
  | ({ readonly kind: 'relation_mismatch'; readonly reason: string } & EventPlace)
  | ({
      readonly kind: 'rejected';
      /** JSON object: key column to its text. */
      readonly key: string;
      readonly column: string;
      readonly text: string;
      readonly reason: string;
    } & EventPlace)
  /** The transaction's rows may still be waiting for their batch. */
  | {
      readonly kind: 'commit';
      readonly lsn: Lsn;
      readonly endLsn: Lsn;
      readonly commitTs: bigint;
      readonly xid: number;
      /** Row messages of the transaction that went into batches. */
      readonly changes: number;
    };

export interface ChangeDecoderOptions {
  readonly tables: readonly DecoderTable[];
  /** The destination holds everything up to here: transactions that end at or before it are skipped. */
  readonly confirmedLsn: Lsn;
  /** Rows of one table's batch. */
  readonly maxRows: number;
  /** Message bytes that may wait in all tables together before all of them are handed on. */
  readonly maxBytes: number;
  readonly onBatch: (tableIndex: number, batch: RecordBatch, flags: BatchFlags) => void;
  readonly onEvent: (event: ChangeEvent) => void;
}

export interface StreamResult {
  /** Transactions that were not skipped as a whole. */
  readonly transactions: number;
  /** Row messages that went into batches. */
  readonly changes: number;
  /** Row messages of relations that are not among the tables. */
  readonly unknownChanges: number;
  /** End and time (microseconds since 1970 UTC) of the last whole transaction that was not skipped. */
  readonly lastEndLsn: Lsn | null;
  readonly lastCommitTs: bigint | null;
}

/** The transaction being read. The halves of its LSN are kept ready for the rows. */
interface Transaction {
  readonly finalLsn: Lsn;
  readonly lsnLow: number;
  readonly lsnHigh: number;
  readonly commitTs: number;
  readonly xid: number;
  readonly skipped: boolean;
}

/** What the decoder knows of one of its tables. */
interface TableState {
  readonly table: DecoderTable;
  readonly builder: ChangeBuilder;
  /** The transaction that `gated` was worked out for. */
  gatedFor: Transaction | null;
  gated: boolean;
  /** Set by the first mismatch. */
  broken: boolean;
}

/**
 * Turns pgoutput messages (protocol 1) into batches of changes, table by table, straight from the bytes. Messages come
 * whole and in the order of the slot: committed transactions one after the other.
 */
export class ChangeDecoder {
  private readonly options: ChangeDecoderOptions;
  private readonly relations: RelationCache;
  private readonly states: readonly TableState[];
  private readonly row = new TupleFields();
  private readonly old = new TupleFields();
  private transaction: Transaction | null = null;
  private seq = 0;
  private transactionChanges = 0;
  private pendingBytes = 0;
  private transactions = 0;
  private changes = 0;
  private unknownChanges = 0;
  private lastEndLsn: Lsn | null = null;
  private lastCommitTs: bigint | null = null;

  constructor(options: ChangeDecoderOptions) {
    this.options = options;
    this.relations = new RelationCache(options.tables);
    this.states = options.tables.map((table, tableIndex) => {
      const builder = new ChangeBuilder(table, table.address, options.maxRows, (rejection) => {
        const { column, key, text, reason } = rejection;
        const name = table.columns[column]?.name ?? '';
        options.onEvent({ kind: 'rejected', ...this.place(tableIndex), key, column: name, text, reason });
      });
      return { table, builder, gatedFor: null, gated: false, broken: false };
    });
  }

  /**
   * The next message; its bytes may be reused after the call.
   * @param lsn where it stands in the WAL, for error messages
   * @throws SluiceError PROTOCOL_VIOLATION; VALUE_MALFORMED and KEY_NOT_REPRESENTABLE with the table's address
   */
  push(bytes: Uint8Array, start: number, end: number, lsn?: Lsn): void {
    if (start >= end || end > bytes.length) throw violation('an empty or cut pgoutput message', lsn);
    const code = bytes[start]!;
    try {
      switch (code) {
        case CODE.insert: // I
          this.insert(bytes, start, end);
          break;
        case CODE.update: // U
          this.update(bytes, start, end);
          break;
        case CODE.delete: // D
          this.delete(bytes, start, end);
          break;
        default:
          this.control(bytes, start, end);
      }
    } catch (error) {
      if (!(error instanceof SluiceError) || error.code !== 'PROTOCOL_VIOLATION') throw error;
      throw violation(`pgoutput message ${describeByte(code)}: ${error.message}`, lsn, error);
    }
  }

  /** Hands on what waits in the builders. */
  flush(): void {
    for (let index = 0; index < this.states.length; index++) this.flushTable(index);
  }

  /**
   * Ends the page and hands on the rest.
   * @param partial allows it to end within a transaction
   * @throws SluiceError PROTOCOL_VIOLATION
   */
  finish({ partial = false }: { readonly partial?: boolean } = {}): StreamResult {
    if (this.transaction !== null && !partial) throw violation('the stream ended within a transaction');
    this.flush();
    const { transactions, changes, unknownChanges, lastEndLsn, lastCommitTs } = this;
    return { transactions, changes, unknownChanges, lastEndLsn, lastCommitTs };
  }

  private insert(bytes: Uint8Array, start: number, end: number): void {
    const relation = this.relationOf(bytes, start, end);
    const rowEnd = this.scanNewRow(bytes, start + 5, end);
    if (rowEnd !== end) throw violation(`${end - rowEnd} bytes too many`);
    const seq = ++this.seq;
    const builder = this.builderFor(relation);
    if (builder === null) return;
    this.checkColumns(relation, this.row);
    this.append(builder, OP_INSERT, bytes, relation, false, null, seq, false);
    this.settle(relation.tableIndex, builder, end - start);
  }

  private update(bytes: Uint8Array, start: number, end: number): void {
    const relation = this.relationOf(bytes, start, end);
    const mark = bytes[start + 5];
    const hasOld = mark === MARK.key || mark === MARK.full;
    const rowStart = hasOld ? this.old.scan(bytes, start + 6, end) : start + 5;
    const rowEnd = this.scanNewRow(bytes, rowStart, end);
    if (rowEnd !== end) throw violation(`${end - rowEnd} bytes too many`);
    const seq = ++this.seq;
    const builder = this.builderFor(relation);
    if (builder === null) return;
    this.checkColumns(relation, this.row);
    if (hasOld) this.checkColumns(relation, this.old);
    const old = hasOld ? this.old : null;
    if (old !== null && this.keyDiffers(bytes, relation)) {
      this.append(builder, OP_DELETE, bytes, relation, mark === MARK.key, null, seq, true);
      this.seq++;
      this.append(builder, OP_INSERT, bytes, relation, false, old, seq + 1, true);
    } else {
      this.append(builder, OP_UPDATE, bytes, relation, false, old, seq, false);
    }
    this.settle(relation.tableIndex, builder, end - start);
  }

  private delete(bytes: Uint8Array, start: number, end: number): void {
    const relation = this.relationOf(bytes, start, end);
    const mark = bytes[start + 5];
    if (mark !== MARK.key && mark !== MARK.full) throw violation(`${describeByte(mark)} where an old row was due`);
    const rowEnd = this.old.scan(bytes, start + 6, end);
    if (rowEnd !== end) throw violation(`${end - rowEnd} bytes too many`);
    const seq = ++this.seq;
    const builder = this.builderFor(relation);
    if (builder === null) return;
    this.checkColumns(relation, this.old);
    this.append(builder, OP_DELETE, bytes, relation, mark === MARK.key, null, seq, false);
    this.settle(relation.tableIndex, builder, end - start);
  }

  /** Everything that comes once a transaction or more rarely. */
  private control(bytes: Uint8Array, start: number, end: number): void {
    const message = decodeMessage(bytes, start, end);
    switch (message.kind) {
      case 'begin':
        this.begin(message.finalLsn, message.commitTs, message.xid);
        return;
      case 'commit':
        this.commit(message.commitLsn, message.endLsn, message.commitTs);
        return;
      case 'relation':
        this.relations.set(message.relation);
        return;
      case 'truncate':
        this.truncate(message.relationOids);
        return;
      case 'origin':
      case 'type':
      case 'message':
        return;
      case 'stream_start':
      case 'stream_stop':
      case 'stream_commit':
      case 'stream_abort':
        throw violation('streaming of open transactions was not asked for');
      case 'insert':
      case 'update':
      case 'delete':
        throw new SluiceError({ code: 'INTERNAL', message: `a ${message.kind} went the slow way` });
      default:
        assertNever(message);
    }
  }

  private begin(finalLsn: Lsn, commitTs: bigint, xid: number): void {
    if (this.transaction !== null) throw violation('a transaction within a transaction');
    const micros = Number(commitTs);
    if (!Number.isSafeInteger(micros)) throw violation('a commit time out of range');
    // A commit record ends behind its own LSN, so the transaction ends at or before the confirmed LSN exactly when its
    // commit begins before it: a confirmed LSN never lies within a record. commit() checks that this held.
    const skipped = finalLsn < this.options.confirmedLsn;
    this.transaction = {
      finalLsn,
      lsnLow: Number(BigInt.asIntN(32, finalLsn)),
      lsnHigh: Number(BigInt.asIntN(32, finalLsn >> 32n)),
      commitTs: micros,
      xid,
      skipped,
    };
    this.seq = 0;
    this.transactionChanges = 0;
  }

  private commit(commitLsn: Lsn, endLsn: Lsn, commitTs: bigint): void {
    const transaction = this.current();
    const { finalLsn, xid, skipped } = transaction;
    if (commitLsn !== finalLsn) {
      throw violation(`commit at ${formatLsn(commitLsn)} of a transaction announced for ${formatLsn(finalLsn)}`);
    }
    if (skipped !== endLsn <= this.options.confirmedLsn) {
      throw violation(`the confirmed LSN ${formatLsn(this.options.confirmedLsn)} lies within a commit record`);
    }
    this.transaction = null;
    if (skipped) return;
    this.transactions++;
    this.lastEndLsn = endLsn;
    this.lastCommitTs = commitTs;
    this.options.onEvent({ kind: 'commit', lsn: commitLsn, endLsn, commitTs, xid, changes: this.transactionChanges });
  }

  private truncate(relationOids: readonly number[]): void {
    this.current();
    for (const oid of relationOids) {
      const seq = ++this.seq;
      const relation = this.relations.get(oid);
      if (relation === undefined) throw violation(`relation ${oid} was never described`);
      if (this.builderFor(relation) === null) continue;
      const { tableIndex } = relation;
      this.flushTable(tableIndex);
      this.options.onEvent({ kind: 'truncate', ...this.place(tableIndex), seq });
    }
  }

  private current(): Transaction {
    if (this.transaction === null) throw violation('outside of a transaction');
    return this.transaction;
  }

  private relationOf(bytes: Uint8Array, start: number, end: number): BoundRelation {
    if (end - start < 6) throw violation('cut short');
    if (this.transaction === null) throw violation('outside of a transaction');
    const at = start + 1;
    const oid = ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
    const relation = this.relations.get(oid);
    if (relation === undefined) throw violation(`relation ${oid} was never described`);
    return relation;
  }

  private scanNewRow(bytes: Uint8Array, at: number, end: number): number {
    if (at >= end) throw violation('cut short');
    if (bytes[at] !== MARK.newRow) throw violation(`${describeByte(bytes[at])} where a new row was due`);
    return this.row.scan(bytes, at + 1, end);
  }

  /** The builder that a change of the relation goes to; null where it is to be passed over. */
  private builderFor(relation: BoundRelation): ChangeBuilder | null {
    const transaction = this.current();
    const state = this.states[relation.tableIndex];
    if (state === undefined) {
      this.unknownChanges++;
      return null;
    }
    if (transaction.skipped || state.broken) return null;
    if (state.gatedFor !== transaction) {
      state.gatedFor = transaction;
      state.gated = isGated(transaction, state.table.gate);
    }
    if (state.gated) return null;
    // Only now: a relation may have had another shape in transactions that the table's snapshot already covers.
    if (relation.mismatch !== null) {
      state.broken = true;
      this.flushTable(relation.tableIndex);
      const place = this.place(relation.tableIndex);
      this.options.onEvent({ kind: 'relation_mismatch', ...place, reason: relation.mismatch });
      return null;
    }
    return state.builder;
  }

  private checkColumns({ relation }: BoundRelation, fields: TupleFields): void {
    if (fields.count !== relation.columns.length) {
      throw violation(
        `${fields.count} values for the ${relation.columns.length} columns of ${relation.schema}.${relation.name}`,
      );
    }
  }

  /** Compares the bytes of the key columns in the old and the new row; a value that was not sent has not changed. */
  private keyDiffers(bytes: Uint8Array, { tableIndex, fieldOf }: BoundRelation): boolean {
    for (const column of this.states[tableIndex]!.table.keyColumns) {
      const field = fieldOf[column]!;
      if (this.row.kinds[field] !== MARK.unchanged && !sameField(bytes, this.old, this.row, field)) return true;
    }
    return false;
  }

  private append(
    builder: ChangeBuilder,
    op: ChangeOp,
    bytes: Uint8Array,
    relation: BoundRelation,
    keyOnly: boolean,
    old: TupleFields | null,
    seq: number,
    keyChange: boolean,
  ): void {
    const fields = op === OP_DELETE ? this.old : this.row;
    builder.append(op, { bytes, fields, old, keyOnly, fieldOf: relation.fieldOf }, this.current(), seq, keyChange);
  }

  /** After the rows of one message: counts it, and hands batches on when a limit is reached. */
  private settle(tableIndex: number, builder: ChangeBuilder, messageBytes: number): void {
    this.changes++;
    this.transactionChanges++;
    builder.bytes += messageBytes;
    this.pendingBytes += messageBytes;
    if (builder.rows >= this.options.maxRows) this.flushTable(tableIndex);
    if (this.pendingBytes >= this.options.maxBytes) this.flush();
  }

  private flushTable(tableIndex: number): void {
    const builder = this.states[tableIndex]!.builder;
    if (builder.rows === 0) return;
    this.pendingBytes -= builder.bytes;
    const { batch, flags } = builder.build();
    this.options.onBatch(tableIndex, batch, flags);
  }

  private place(tableIndex: number): EventPlace {
    const { finalLsn, commitTs, xid } = this.current();
    return { tableIndex, lsn: finalLsn, commitTs: BigInt(commitTs), xid };
  }
}

function isGated(transaction: Transaction, gate: SnapshotGate | undefined): boolean {
  return gate !== undefined && transaction.finalLsn <= gate.snapshotLsn && isVisible(transaction.xid, gate);
}

function violation(message: string, lsn?: Lsn, cause?: unknown): SluiceError {
  const place = lsn === undefined ? '' : ` (at ${formatLsn(lsn)})`;
  return new SluiceError({ code: 'PROTOCOL_VIOLATION', message: `${message}${place}`, cause });
}
