import type { RecordBatch, Schema } from 'apache-arrow';
import { recordBatch } from '../batch/arrow-data.js';
import { arrowSchema } from '../batch/arrow-schema.js';
import {
  CHANGE_COLUMNS,
  OP_DELETE,
  OP_INSERT,
  OP_UPDATE,
  UNCHANGED_BITS,
  unchangedColumnNames,
} from '../batch/change-columns.js';
import { ShortBuilder, WordBuilder } from '../batch/column-builder.js';
import type { LogicalType } from '../batch/logical-type.js';
import { SluiceError } from '../error/sluice-error.js';
import type { ColumnCodec } from '../source/codec/column-codec.js';
import { columnCodec, keyHint, rejectionReason } from '../source/codec/column-codec-table.js';
import { inColumn } from '../source/copy-decoder.js';
import { describeByte, MARK } from './message.js';
import type { RelationTarget } from './relation-cache.js';
import type { TupleFields } from './tuple-fields.js';

export type ChangeOp = typeof OP_INSERT | typeof OP_UPDATE | typeof OP_DELETE;

/** What is in a batch of changes, so that the writer can leave out steps that it does not need. */
export interface BatchFlags {
  readonly rows: number;
  readonly inserts: number;
  readonly updates: number;
  readonly deletes: number;
  /** An I or U row lacks values that were not sent (unchanged TOAST). D rows nearly always lack all but the key. */
  readonly unchanged: boolean;
  /** The batch holds halves of key changes (D and I with __key_change = 1). */
  readonly keyChange: boolean;
}

/** A value that became NULL because the destination cannot hold it. */
export interface Rejection {
  /** Position of the column in the table's columns. */
  readonly column: number;
  /** As the type's output function wrote it. */
  readonly text: string;
  readonly reason: string;
  /** JSON object: key column to its text. */
  readonly key: string;
}

/** The transaction that the changes belong to; 64-bit numbers in halves, so that no bigint is made for a row. */
export interface ChangeOrigin {
  readonly lsnLow: number;
  readonly lsnHigh: number;
  /** Microseconds since 1970 UTC. */
  readonly commitTs: number;
  readonly xid: number;
}

/** A row image: where its values lie, and how to read them. */
export interface RowImage {
  readonly bytes: Uint8Array;
  readonly fields: TupleFields;
  /** The old row, where one was sent: its values stand in for unchanged ones. */
  readonly old: TupleFields | null;
  /** True for a delete of which only the key was sent. */
  readonly keyOnly: boolean;
  readonly fieldOf: Int32Array;
}

const WORD: LogicalType = { kind: 'int32' };

/** The changes of one table on their way into a batch: its columns through the codecs' text half, then CHANGE_COLUMNS. */
export class ChangeBuilder {
  /** Message bytes since the last batch. */
  bytes = 0;
  rows = 0;
  private readonly table: RelationTarget;
  private readonly address: string;
  private readonly onRejected: (rejection: Rejection) => void;
  private readonly codecs: readonly ColumnCodec[];
  private readonly isKey: readonly boolean[];
  private readonly op: ShortBuilder;
  private readonly lsn: WordBuilder;
  private readonly seq: WordBuilder;
  private readonly commitTs: WordBuilder;
  private readonly xid: WordBuilder;
  private readonly keyChange: ShortBuilder;
  private readonly unchanged: readonly WordBuilder[];
  private readonly schema: Schema;
  private inserts = 0;
  private updates = 0;
  private deletes = 0;
  private anyUnchanged = false;
  private anyKeyChange = false;

  constructor(table: RelationTarget, address: string, rowLimit: number, onRejected: (rejection: Rejection) => void) {
    this.table = table;
    this.address = address;
    this.onRejected = onRejected;
    this.codecs = table.columns.map((column) => columnCodec(column, rowLimit));
    this.isKey = table.columns.map((_, index) => table.keyColumns.includes(index));
    const [op, lsn, seq, commitTs, xid, keyChange] = CHANGE_COLUMNS;
    this.op = new ShortBuilder(op.type, rowLimit);
    this.lsn = new WordBuilder(lsn.type, 2, rowLimit);
    this.seq = new WordBuilder(seq.type, 2, rowLimit);
    this.commitTs = new WordBuilder(commitTs.type, 2, rowLimit);
    this.xid = new WordBuilder(xid.type, 1, rowLimit);
    this.keyChange = new ShortBuilder(keyChange.type, rowLimit);
    const words = unchangedColumnNames(table.columns.length);
    this.unchanged = words.map(() => new WordBuilder(WORD, 1, rowLimit));
    this.schema = arrowSchema([
      ...table.columns.map((column) => ({ name: column.name, type: column.logical })),
      ...CHANGE_COLUMNS,
      ...words.map((name) => ({ name, type: WORD })),
    ]);
  }

  /**
   * Appends one change.
   * @throws SluiceError VALUE_MALFORMED, KEY_NOT_REPRESENTABLE, PROTOCOL_VIOLATION, with the table's address
   */
  append(op: ChangeOp, row: RowImage, origin: ChangeOrigin, seq: number, keyChange: boolean): void {
    let unsent = false;
    for (let word = 0; word < this.unchanged.length; word++) {
      const bits = this.appendColumns(op, row, word * UNCHANGED_BITS);
      this.unchanged[word]!.append(bits);
      if (bits !== 0) unsent = true;
    }
    this.op.append(op);
    this.lsn.appendPair(origin.lsnLow, origin.lsnHigh);
    this.seq.appendSafe(seq);
    this.commitTs.appendSafe(origin.commitTs);
    this.xid.append(origin.xid | 0);
    this.keyChange.append(keyChange ? 1 : 0);
    this.rows++;
    if (op === OP_INSERT) this.inserts++;
    else if (op === OP_UPDATE) this.updates++;
    else this.deletes++;
    if (unsent && op !== OP_DELETE) this.anyUnchanged = true;
    if (keyChange) this.anyKeyChange = true;
  }

  /** The changes so far; the builder is empty afterwards. */
  build(): { readonly batch: RecordBatch; readonly flags: BatchFlags } {
    const { rows, inserts, updates, deletes } = this;
    const columns = this.codecs.map((codec, column) => {
      try {
        return codec.build();
      } catch (error) {
        throw this.located(error, column);
      }
    });
    const { op, lsn, seq, commitTs, xid, keyChange } = this;
    for (const builder of [op, lsn, seq, commitTs, xid, keyChange, ...this.unchanged]) columns.push(builder.build());
    const flags = { rows, inserts, updates, deletes, unchanged: this.anyUnchanged, keyChange: this.anyKeyChange };
    this.rows = 0;
    this.bytes = 0;
    this.inserts = 0;
    this.updates = 0;
    this.deletes = 0;
    this.anyUnchanged = false;
    this.anyKeyChange = false;
    return { batch: recordBatch(this.schema, columns, rows), flags };
  }

  /** The 30 columns from `first` on; returns their bits of values that were not sent. */
  private appendColumns(op: ChangeOp, row: RowImage, first: number): number {
    const { codecs } = this;
    const { fieldOf } = row;
    const last = Math.min(first + UNCHANGED_BITS, codecs.length);
    let bits = 0;
    let column = first;
    try {
      for (; column < last; column++) {
        const codec = codecs[column]!;
        const field = fieldOf[column]!;
        if (field < 0) {
          // The table did not have the column yet, or the publication did not send it: what the row has there stays.
          if (op !== OP_INSERT) bits |= 1 << (column - first);
          codec.putNull();
          continue;
        }
        let { fields } = row;
        let kind = fields.kinds[field]!;
        if (kind === MARK.unchanged && row.old !== null && row.old.kinds[field] === MARK.text) {
          fields = row.old;
          kind = MARK.text;
        }
        if (kind === MARK.unchanged || (row.keyOnly && !this.isKey[column])) {
          if (this.isKey[column]) throw this.keyNotSent(column);
          bits |= 1 << (column - first);
          codec.putNull();
        } else if (kind === MARK.null) {
          codec.putNull();
        } else if (kind === MARK.text) {
          const start = fields.starts[field]!;
          const length = fields.lengths[field]!;
          if (!codec.putText(row.bytes, start, length)) this.rejected(op, row, column, start, length);
        } else {
          throw violation(`a value of kind ${describeByte(kind)}, but only text was asked for`);
        }
      }
    } catch (error) {
      throw this.located(error, column);
    }
    return bits;
  }

  private rejected(op: ChangeOp, row: RowImage, column: number, start: number, length: number): void {
    const { name, logical } = this.table.columns[column]!;
    const reason = rejectionReason(logical);
    if (this.isKey[column]) {
      throw new SluiceError({
        code: 'KEY_NOT_REPRESENTABLE',
        message: `a key value ${reason}`,
        hint: keyHint(name, logical),
      });
    }
    // It was recorded when it came in with an insert, an update or a snapshot.
    if (op === OP_DELETE) return;
    this.onRejected({ column, text: textAt(row.bytes, start, length), reason, key: this.keyText(row) });
  }

  private keyText(row: RowImage): string {
    const pairs = this.table.keyColumns.map((column) => {
      const field = row.fieldOf[column]!;
      const fields = row.fields.kinds[field] === MARK.unchanged && row.old !== null ? row.old : row.fields;
      const text = fields.kinds[field] === MARK.text;
      const value = text ? textAt(row.bytes, fields.starts[field]!, fields.lengths[field]!) : null;
      return `${JSON.stringify(this.table.columns[column]?.name)}:${JSON.stringify(value)}`;
    });
    return `{${pairs.join(',')}}`;
  }

  private keyNotSent(column: number): SluiceError {
    return violation(`no value for the key column "${this.table.columns[column]?.name}"`);
  }

  private located(error: unknown, column: number): unknown {
    const named = inColumn(error, this.table.columns[column]);
    if (!(named instanceof SluiceError)) return named;
    const { code, message, hint } = named;
    return new SluiceError({ code, message: `${this.address}: ${message}`, hint, address: this.address, cause: error });
  }
}

function textAt(bytes: Uint8Array, start: number, length: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, length).toString('utf8');
}

function violation(message: string): SluiceError {
  return new SluiceError({ code: 'PROTOCOL_VIOLATION', message });
}
