import { type DuckDBConnection, DuckDBTableFunction } from '@duckdb/node-api';
import duckdb from '@duckdb/node-bindings';
import type { RecordBatch } from 'apache-arrow';
import type { LogicalType } from '../../batch/logical-type.js';
import { attachBatch, type BatchMessage } from '../../batch/transfer.js';
import { assertNever, causeText, SluiceError } from '../../error/sluice-error.js';
import type { BatchReceiver } from '../../thread/batch-channel.js';
import { fillVector, VECTOR_ROWS } from './vector-fill.js';

/**
 * Lets SQL read record batches: `INSERT INTO t SELECT * FROM sluice_batches(7)` pulls the batches of source 7 until it
 * says that there are no more. The callback runs on this thread and may block it while it waits for the next batch;
 * DuckDB compresses and writes row groups on its own threads meanwhile, so backpressure comes by itself.
 */

export interface BatchSource {
  readonly columns: readonly { readonly name: string; readonly type: LogicalType }[];
  /** The next batch, blocking for it; null ends the scan. */
  next(): RecordBatch | null;
}

/**
 * The batches that arrive on a channel, until its end or until somebody asks for a pause.
 * @param onPause called when the scan ends because of a pause: there is more to come
 */
export function receivedBatches(
  columns: BatchSource['columns'],
  receiver: BatchReceiver<BatchMessage>,
  onPause: () => void = () => undefined,
): BatchSource {
  return {
    columns,
    next: () => {
      const message = receiver.next();
      if (message === 'interrupted') onPause();
      return message === null || message === 'interrupted' ? null : attachBatch(message);
    },
  };
}

interface OpenSource {
  readonly source: BatchSource;
  batch: RecordBatch | null;
  row: number;
}

interface BindData {
  readonly id: number;
}

export const BATCH_FUNCTION = 'sluice_batches';

export class BatchScan {
  readonly #sources = new Map<number, OpenSource>();
  #nextId = 1;
  #failure: unknown = null;

  /** Makes the table function known to a connection's database. */
  register(connection: DuckDBConnection, threads: number): void {
    const scan = new DuckDBTableFunction();
    const handle = scan.table_function;
    duckdb.table_function_set_name(handle, BATCH_FUNCTION);
    duckdb.table_function_add_parameter(handle, duckdb.create_logical_type(duckdb.Type.INTEGER));
    duckdb.table_function_set_bind(handle, (info) => {
      const id = duckdb.get_int32(duckdb.bind_get_parameter(info, 0));
      const source = this.#sources.get(id)?.source;
      if (source === undefined) {
        duckdb.bind_set_error(info, `no batch source ${id}`);
        return;
      }
      for (const column of source.columns) duckdb.bind_add_result_column(info, column.name, duckdbType(column.type));
      duckdb.bind_set_bind_data(info, { id } satisfies BindData);
    });
    duckdb.table_function_set_init(handle, (info) => duckdb.init_set_max_threads(info, threads));
    duckdb.table_function_set_function(handle, (info, chunk) => {
      const { id } = duckdb.function_get_bind_data(info) as BindData;
      try {
        duckdb.data_chunk_set_size(chunk, this.#fill(id, chunk));
      } catch (error) {
        this.#failure ??= error;
        this.#sources.delete(id);
        duckdb.function_set_error(info, causeText(error));
      }
    });
    connection.registerTableFunction(scan);
  }

  /** @returns rows written; 0 ends the scan */
  #fill(id: number, chunk: duckdb.DataChunk): number {
    const open = this.#sources.get(id);
    if (open === undefined) return 0;
    while (open.batch === null || open.row >= open.batch.numRows) {
      open.batch = open.source.next();
      open.row = 0;
      if (open.batch === null) {
        this.#sources.delete(id);
        return 0;
      }
    }
    const count = Math.min(VECTOR_ROWS, open.batch.numRows - open.row);
    // The size has to be set before the vectors are written.
    duckdb.data_chunk_set_size(chunk, count);
    for (const [index, column] of open.source.columns.entries()) {
      const data = open.batch.data.children[index];
      if (data === undefined) {
        throw new SluiceError({ code: 'INTERNAL', message: `a batch lacks column ${column.name}` });
      }
      fillVector(duckdb.data_chunk_get_vector(chunk, index), column.type, data, open.row, count);
    }
    open.row += count;
    return count;
  }

  /** @returns the table expression that reads the source once */
  add(source: BatchSource): string {
    const id = this.#nextId;
    this.#nextId += 1;
    this.#sources.set(id, { source, batch: null, row: 0 });
    return `${BATCH_FUNCTION}(${id})`;
  }

  /** The error that ended a scan, as it was thrown: DuckDB's own report of it has only the text. */
  takeFailure(): unknown {
    const failure = this.#failure;
    this.#failure = null;
    return failure;
  }
}

function duckdbType(type: LogicalType): duckdb.LogicalType {
  switch (type.kind) {
    case 'boolean':
      return duckdb.create_logical_type(duckdb.Type.BOOLEAN);
    case 'int16':
      return duckdb.create_logical_type(duckdb.Type.SMALLINT);
    case 'int32':
      return duckdb.create_logical_type(duckdb.Type.INTEGER);
    case 'int64':
      return duckdb.create_logical_type(duckdb.Type.BIGINT);
    case 'uint32':
      return duckdb.create_logical_type(duckdb.Type.UINTEGER);
    case 'float32':
      return duckdb.create_logical_type(duckdb.Type.FLOAT);
    case 'float64':
      return duckdb.create_logical_type(duckdb.Type.DOUBLE);
    case 'decimal':
      return duckdb.create_decimal_type(type.precision, type.scale);
    case 'varchar':
      return duckdb.create_logical_type(duckdb.Type.VARCHAR);
    case 'json': {
      // JSON is VARCHAR under another name; with the name set, inserting needs no cast, which would parse every value.
      const json = duckdb.create_logical_type(duckdb.Type.VARCHAR);
      duckdb.logical_type_set_alias(json, 'JSON');
      return json;
    }
    case 'blob':
      return duckdb.create_logical_type(duckdb.Type.BLOB);
    case 'uuid':
      return duckdb.create_logical_type(duckdb.Type.UUID);
    case 'date':
      return duckdb.create_logical_type(duckdb.Type.DATE);
    case 'time':
      return duckdb.create_logical_type(duckdb.Type.TIME);
    case 'timetz':
      return duckdb.create_logical_type(duckdb.Type.TIME_TZ);
    case 'timestamp':
      return duckdb.create_logical_type(duckdb.Type.TIMESTAMP);
    case 'timestamptz':
      return duckdb.create_logical_type(duckdb.Type.TIMESTAMP_TZ);
    case 'interval':
      return duckdb.create_logical_type(duckdb.Type.INTERVAL);
    case 'list':
      return duckdb.create_list_type(duckdbType(type.element));
    default:
      return assertNever(type);
  }
}
