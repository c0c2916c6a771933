import { type Data, type DataType, Field, type RecordBatch, Schema } from 'apache-arrow';
import { SluiceError } from '../error/sluice-error.js';
import { columnData, recordBatch } from './arrow-data.js';
import { arrowType, logicalTypeOfField } from './arrow-schema.js';
import type { LogicalType } from './logical-type.js';

/** A RecordBatch as plain data that structured clone carries; the buffers are moved, not copied. */
export interface BatchMessage {
  readonly rows: number;
  readonly fields: readonly {
    readonly name: string;
    readonly type: LogicalType;
    readonly metadata: readonly (readonly [string, string])[];
  }[];
  readonly columns: readonly ColumnMessage[];
}

export interface ColumnMessage {
  readonly length: number;
  readonly nullCount: number;
  /** Absent where no cell is NULL. */
  readonly validity: Uint8Array | null;
  readonly offsets: Int32Array | null;
  readonly values: ArrayBufferView | null;
  readonly children: readonly ColumnMessage[];
}

/**
 * Takes a batch apart for `postMessage(message, transfer)`. The batch must not be used afterwards: its memory goes along.
 * @throws SluiceError INTERNAL for a batch that begins within its buffers or that another hand made
 */
export function detachBatch(batch: RecordBatch): { readonly message: BatchMessage; readonly transfer: ArrayBuffer[] } {
  const transfer = new Set<ArrayBuffer>();
  const columns = batch.data.children.map((column) => detachColumn(column, transfer));
  const fields = batch.schema.fields.map((field) => ({
    name: field.name,
    type: logicalTypeOfField(field),
    metadata: [...field.metadata],
  }));
  return { message: { rows: batch.numRows, fields, columns }, transfer: [...transfer] };
}

/** The other end of {@link detachBatch}. */
export function attachBatch(message: BatchMessage): RecordBatch {
  const fields = message.fields.map(
    (field) =>
      new Field(field.name, arrowType(field.type), true, new Map(field.metadata.map(([key, value]) => [key, value]))),
  );
  const columns = message.columns.map((column, index) => attachColumn(column, fields[index]?.type));
  return recordBatch(new Schema(fields), columns, message.rows);
}

function detachColumn(data: Data, transfer: Set<ArrayBuffer>): ColumnMessage {
  if (data.offset !== 0) throw new SluiceError({ code: 'INTERNAL', message: 'a sliced batch cannot be moved' });
  const offsets: unknown = data.valueOffsets;
  const values: unknown = data.values;
  const validity = data.nullCount === 0 ? null : data.nullBitmap;
  return {
    length: data.length,
    nullCount: data.nullCount,
    validity: moved(validity, transfer) ? validity : null,
    offsets: offsets instanceof Int32Array && moved(offsets, transfer) ? offsets : null,
    values: moved(values, transfer) ? values : null,
    children: data.children.map((child) => detachColumn(child, transfer)),
  };
}

function moved(view: unknown, transfer: Set<ArrayBuffer>): view is ArrayBufferView {
  if (!ArrayBuffer.isView(view) || !(view.buffer instanceof ArrayBuffer)) return false;
  transfer.add(view.buffer);
  return true;
}

function attachColumn(column: ColumnMessage, type: DataType | undefined): Data {
  if (type === undefined) throw new SluiceError({ code: 'INTERNAL', message: 'a moved batch lacks a field' });
  const children = column.children.map((child, index) => attachColumn(child, childType(type, index)));
  return columnData(type, column.length, column.nullCount, { ...column, children });
}

function childType(type: DataType, index: number): DataType | undefined {
  const fields: unknown = type.children?.[index];
  return fields instanceof Field ? fields.type : undefined;
}
