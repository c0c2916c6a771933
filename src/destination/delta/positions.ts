import type { RecordBatch } from 'apache-arrow';
import { columnData, recordBatch } from '../../batch/arrow-data.js';
import { arrowSchema, arrowType } from '../../batch/arrow-schema.js';
import type { DuckDbSession } from '../duckdb/session.js';
import { DeletionVector } from './deletion-vector/deletion-vector.js';

/** Deleted rows of data files, between deletion vectors and tables of (`__file`, `__row`) in DuckDB. */

const COLUMNS = [
  { name: '__file', type: { kind: 'int32' } },
  { name: '__row', type: { kind: 'int64' } },
] as const;

/** Makes a table of the deleted rows of files, by their index. @param into temporary where its name says nothing else */
export async function deletedRowsTable(
  session: DuckDbSession,
  into: string,
  vectors: ReadonlyMap<number, DeletionVector>,
): Promise<void> {
  const source = session.scan.add({ columns: [...COLUMNS], next: batchesOf(vectors) });
  await session.run(`CREATE OR REPLACE TEMP TABLE ${into} AS SELECT * FROM ${source}`);
}

function batchesOf(vectors: ReadonlyMap<number, DeletionVector>): () => RecordBatch | null {
  const schema = arrowSchema([...COLUMNS]);
  const [file, row] = COLUMNS;
  function* batches(): Generator<RecordBatch> {
    for (const [index, vector] of vectors) {
      for (const positions of vector.widePositions()) {
        const { length } = positions;
        yield recordBatch(
          schema,
          [
            columnData(arrowType(file.type), length, 0, { values: new Int32Array(length).fill(index) }),
            columnData(arrowType(row.type), length, 0, { values: positions }),
          ],
          length,
        );
      }
    }
  }
  const iterator = batches();
  return () => {
    const { done, value } = iterator.next();
    return done === true ? null : value;
  };
}

/** The rows that a table of (`__file`, `__row`) names, as a vector for each file. */
export async function vectorsOf(session: DuckDbSession, relation: string): Promise<Map<number, DeletionVector>> {
  const result = await session.connection.stream(
    `SELECT __file::INTEGER AS __file, __row::BIGINT AS __row FROM ${relation} WHERE __file IS NOT NULL ORDER BY __file, __row`,
  );
  const vectors = new Map<number, DeletionVector>();
  let file: number | null = null;
  let rows: bigint[] = [];
  const flush = (): void => {
    if (file !== null && rows.length > 0) {
      const vector = DeletionVector.of(BigInt64Array.from(rows));
      vectors.set(file, (vectors.get(file) ?? DeletionVector.EMPTY).union(vector));
    }
    rows = [];
  };
  for (;;) {
    const chunk = await result.fetchChunk();
    if (chunk === null || chunk.rowCount === 0) break;
    const files = chunk.getColumnValues(0);
    const positions = chunk.getColumnValues(1);
    for (let i = 0; i < chunk.rowCount; i += 1) {
      const index = Number(files[i]);
      if (index !== file || rows.length >= FLUSH_ROWS) {
        flush();
        file = index;
      }
      rows.push(BigInt(String(positions[i])));
    }
  }
  flush();
  return vectors;
}

/** Positions that are gathered before they become part of a vector, which takes a hundredth of their memory. */
const FLUSH_ROWS = 1_000_000;
