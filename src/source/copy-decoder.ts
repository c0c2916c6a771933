import type { RecordBatch, Schema } from 'apache-arrow';
import { recordBatch } from '../batch/arrow-data.js';
import { arrowSchema } from '../batch/arrow-schema.js';
import { SluiceError } from '../error/sluice-error.js';
import type { ColumnCodec } from './codec/column-codec.js';
import { columnCodec, type DecodedColumn } from './codec/column-codec-table.js';
import { CopyTupleReader } from './copy-tuples.js';

export type { DecodedColumn } from './codec/column-codec-table.js';

export interface BatchLimits {
  /** Rows of a batch; 122,880 is a row group of DuckDB. */
  readonly maxRows: number;
  /** Bytes of COPY payload after which a batch is handed on early. */
  readonly maxBytes: number;
}

export interface CopyResult {
  readonly rows: number;
  /** Bytes of the tuples, as they came. */
  readonly bytes: number;
  /** Per column: values that the destination cannot hold, now NULL. */
  readonly rejected: readonly number[];
}

/**
 * Decodes the payload of `COPY (SELECT ...) TO STDOUT (FORMAT binary)` into record batches, column by column straight
 * from the bytes. The select list must be selectExpression() of the columns, in their order.
 */
export class CopyTableDecoder {
  private readonly columns: readonly DecodedColumn[];
  private readonly codecs: readonly ColumnCodec[];
  private readonly schema: Schema;
  private readonly limits: BatchLimits;
  private readonly onBatch: (batch: RecordBatch) => void;
  private readonly reader: CopyTupleReader;
  private readonly rejected: number[];
  private rows = 0;
  private bytes = 0;
  private batchRows = 0;
  private batchBytes = 0;

  constructor(columns: readonly DecodedColumn[], limits: BatchLimits, onBatch: (batch: RecordBatch) => void) {
    this.columns = columns;
    this.codecs = columns.map((column) => columnCodec(column, limits.maxRows));
    this.schema = arrowSchema(columns.map((column) => ({ name: column.name, type: column.logical })));
    this.limits = limits;
    this.onBatch = onBatch;
    this.rejected = columns.map(() => 0);
    this.reader = new CopyTupleReader(columns.length, (bytes, start, end) => this.decodeTuple(bytes, start, end));
  }

  /**
   * The next piece of the payload, cut anywhere; the bytes may be reused after the call.
   * @throws SluiceError PROTOCOL_VIOLATION, VALUE_MALFORMED
   */
  feed(bytes: Uint8Array, start: number, end: number): void {
    this.reader.feed(bytes, start, end);
  }

  /**
   * Hands on the last batch.
   * @throws SluiceError PROTOCOL_VIOLATION when the payload ended before its trailer
   */
  finish(): CopyResult {
    this.reader.finish();
    this.flush();
    return { rows: this.rows, bytes: this.bytes, rejected: this.rejected };
  }

  private decodeTuple(bytes: Uint8Array, start: number, end: number): void {
    const { codecs } = this;
    const { starts, lengths } = this.reader;
    let column = 0;
    try {
      for (; column < codecs.length; column++) {
        const length = lengths[column]!;
        const codec = codecs[column]!;
        if (length < 0) codec.putNull();
        else if (!codec.putBinary(bytes, starts[column]!, length)) this.rejected[column]!++;
      }
    } catch (error) {
      throw inColumn(error, this.columns[column]);
    }
    this.batchRows++;
    this.batchBytes += end - start;
    if (this.batchRows >= this.limits.maxRows || this.batchBytes >= this.limits.maxBytes) this.flush();
  }

  private flush(): void {
    const { batchRows } = this;
    if (batchRows === 0) return;
    const columns = this.codecs.map((codec, index) => {
      try {
        return codec.build();
      } catch (error) {
        throw inColumn(error, this.columns[index]);
      }
    });
    this.rows += batchRows;
    this.bytes += this.batchBytes;
    this.batchRows = 0;
    this.batchBytes = 0;
    this.onBatch(recordBatch(this.schema, columns, batchRows));
  }
}

/** The same error with the column's name in front. */
export function inColumn(error: unknown, column: DecodedColumn | undefined): unknown {
  if (!(error instanceof SluiceError) || column === undefined) return error;
  return new SluiceError({
    code: error.code,
    message: `column "${column.name}": ${error.message}`,
    hint: error.hint,
    cause: error,
  });
}
