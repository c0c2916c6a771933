import { BufferType, Data, type DataType, RecordBatch, type Schema, Struct } from 'apache-arrow';

/** The parts of a column; what a layout does not have is left out. */
export interface ColumnBuffers {
  readonly offsets?: Int32Array | null;
  readonly values?: ArrayBufferView | null;
  /** One bit a cell, 1 = valid; absent where no cell is NULL. */
  readonly validity?: Uint8Array | null;
  readonly children?: Data[];
}

/** Arrow data over buffers that already have the layout of `type`; nothing is copied or converted. */
export function columnData(type: DataType, length: number, nullCount: number, parts: ColumnBuffers): Data {
  const buffers: {
    [BufferType.OFFSET]?: Int32Array;
    [BufferType.DATA]?: ArrayBufferView;
    [BufferType.VALIDITY]: Uint8Array;
  } = {
    [BufferType.VALIDITY]: parts.validity ?? new Uint8Array(0),
  };
  if (parts.offsets != null) buffers[BufferType.OFFSET] = parts.offsets;
  if (parts.values != null) buffers[BufferType.DATA] = parts.values;
  return new Data(type, 0, length, nullCount, buffers, parts.children ?? []);
}

/** A batch of columns that all have `length` rows, in the schema's order. */
export function recordBatch(schema: Schema, columns: Data[], length: number): RecordBatch {
  return new RecordBatch(schema, columnStruct(schema, columns, length));
}

function columnStruct(schema: Schema, columns: Data[], length: number): Data<Struct> {
  return new Data(new Struct(schema.fields), 0, length, 0, {}, columns);
}
