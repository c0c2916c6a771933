import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { bufferParts, cellsOf } from '../../test/batch/cells.js';
import { recordBatch } from './arrow-data.js';
import { arrowSchema, logicalTypeOfField } from './arrow-schema.js';
import { HeapBuilder, ListBuilder, WordBuilder } from './column-builder.js';
import type { LogicalType } from './logical-type.js';
import { attachBatch, type BatchMessage, detachBatch } from './transfer.js';

const TAGS: LogicalType = { kind: 'list', element: { kind: 'varchar' } };
const PRICE: LogicalType = { kind: 'decimal', precision: 30, scale: 2 };

function sampleBatch(rows: number) {
  const id = new WordBuilder({ kind: 'int64' }, 2, 10);
  const price = new WordBuilder(PRICE, 4, 10);
  const text = new HeapBuilder({ kind: 'varchar' }, 10);
  const tags = new ListBuilder(TAGS, text, 10);
  for (let row = 0; row < rows; row++) {
    id.appendSafe(row);
    if (row % 2 === 0) price.appendNull();
    else price.appendQuad(row, 0, 0, 0);
    text.append(Buffer.from('tag'), 0, 3);
    tags.appendList();
  }
  const schema = arrowSchema([
    { name: 'id', type: { kind: 'int64' } },
    { name: 'price', type: PRICE },
    { name: 'tags', type: TAGS },
  ]);
  return recordBatch(schema, [id.build(), price.build(), tags.build()], rows);
}

/** Through a real port, as between threads. */
function send(message: BatchMessage, transfer: ArrayBuffer[]): BatchMessage {
  const { port1, port2 } = new MessageChannel();
  port1.postMessage(message, transfer);
  const received: { message: BatchMessage } | undefined = receiveMessageOnPort(port2);
  port1.close();
  if (received === undefined) throw new Error('nothing arrived');
  return received.message;
}

describe('a batch moved to another thread', () => {
  test.each([
    { name: 'with rows', rows: 9 },
    { name: 'with none', rows: 0 },
  ])('$name is the same', ({ rows }) => {
    const batch = sampleBatch(rows);
    const before = batch.data.children.map(bufferParts);
    const { message, transfer } = detachBatch(batch);
    const arrived = attachBatch(send(message, transfer));
    expect(arrived.numRows).toBe(rows);
    expect(arrived.data.children.map(bufferParts)).toEqual(before);
    expect(arrived.schema.fields.map((field) => [field.name, logicalTypeOfField(field)])).toEqual([
      ['id', { kind: 'int64' }],
      ['price', PRICE],
      ['tags', TAGS],
    ]);
  });

  test('takes its memory along', () => {
    const batch = sampleBatch(3);
    const { message, transfer } = detachBatch(batch);
    send(message, transfer);
    expect(transfer.map((buffer) => buffer.byteLength)).toEqual(transfer.map(() => 0));
    expect(batch.data.children[0]?.values.byteLength).toBe(0);
  });

  test('can be moved on', () => {
    const first = detachBatch(sampleBatch(4));
    const second = detachBatch(attachBatch(send(first.message, first.transfer)));
    const arrived = attachBatch(send(second.message, second.transfer));
    expect(cellsOf(arrived.data.children[2]!)).toEqual([['746167'], ['746167'], ['746167'], ['746167']]);
  });
});

test('a field of another hand is refused', () => {
  const field = arrowSchema([{ name: 'a', type: { kind: 'date' } }]).fields[0]!.clone({ metadata: new Map() });
  expect(() => logicalTypeOfField(field)).toThrowError(/carries no sluice.type/);
});
