import { type RecordBatch, Vector } from 'apache-arrow';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bufferParts } from '../../../test/batch/cells.js';
import { unchangedShape } from '../../../test/pgoutput/columns.js';
import { TYPE_CASES, TYPE_SETUP, type TypeCase } from '../../../test/pgoutput/type-cases.js';
import { startPostgres, type TestPostgres } from '../../../test/postgres/server.js';
import { ChangeDecoder, type ChangeEvent } from '../../pgoutput/change-decoder.js';
import { LSN_ZERO } from '../../pgoutput/lsn.js';
import { readCatalog } from '../catalog.js';
import type { ObservedTable } from '../catalog-model.js';
import { connectSource, type SourceConnection } from '../connect.js';
import { CopyTableDecoder, type DecodedColumn } from '../copy-decoder.js';
import { CopyFrameSplitter } from '../copy-frames.js';
import { CopyTupleReader } from '../copy-tuples.js';
import type { Dialect } from '../dialect.js';
import { logicalTypeOf, originalText, selectExpression, unrepresentablePredicate } from '../value-type.js';

/**
 * Law 3 on real servers: every value below goes through binary COPY and through pgoutput, and must leave the same bytes.
 * What one half rejects the other must reject too, and unrepresentablePredicate must find exactly those. Both dialects read
 * the same stream; what is text in a lake alone is held against Postgres's own text.
 */

const TABLE_NAME = 'c';
const DIALECTS: readonly Dialect[] = ['duckdb', 'lake'];
const FETCH_FROM_SLOT = `copy (select data from pg_catalog.pg_logical_slot_peek_binary_changes('agree', null, null,
  'proto_version', '1', 'publication_names', 'agree')) to stdout (format binary)`;

interface TestCase {
  readonly test: TypeCase;
  readonly table: ObservedTable;
  readonly columns: readonly DecodedColumn[];
}

/** What came of the stream and what there is to copy, in one dialect; by the position of the case. */
class Side {
  readonly dialect: Dialect;
  readonly prepared: TestCase[] = [];
  readonly streamed: RecordBatch[][] = [];
  readonly rejected: Extract<ChangeEvent, { kind: 'rejected' }>[][] = [];

  constructor(dialect: Dialect) {
    this.dialect = dialect;
  }

  prepare(test: TypeCase, table: ObservedTable): void {
    const columns = table.columns.map((column) => ({
      name: column.name,
      logical: logicalTypeOf(column, column.name === 'v' ? test.override : undefined, this.dialect).type,
      source: column.type,
    }));
    this.prepared.push({ test, table, columns });
    this.streamed.push([]);
    this.rejected.push([]);
  }

  decoder(): ChangeDecoder {
    return new ChangeDecoder({
      tables: this.prepared.map(({ table, columns }) => ({
        address: `test:agree.${table.name}`,
        oid: table.oid,
        columns,
        keyColumns: [0],
        ...unchangedShape(columns),
      })),
      confirmedLsn: LSN_ZERO,
      maxRows: 1_000_000,
      maxBytes: 1_000_000_000,
      onBatch: (index, batch) => this.streamed[index]?.push(batch),
      onEvent: (event) => {
        if (event.kind === 'rejected') this.rejected[event.tableIndex]?.push(event);
        if (event.kind === 'relation_mismatch') throw new Error(event.reason);
      },
    });
  }
}

describe.each([13, 17] as const)('Postgres %i', (major) => {
  const signal = new AbortController().signal;
  const cases = TYPE_CASES.filter((c) => (c.since ?? 0) <= major);
  const sides = DIALECTS.map((dialect) => new Side(dialect));
  let postgres: TestPostgres;
  let source: SourceConnection;

  beforeAll(async () => {
    postgres = await startPostgres({ major });
    await postgres.query(TYPE_SETUP);
    for (const [index, c] of cases.entries()) {
      await postgres.query(`create table agree.${TABLE_NAME}${index} (id int primary key, v ${c.type})`);
    }
    await postgres.query('create publication agree for all tables');
    await postgres.query(`select pg_create_logical_replication_slot('agree', 'pgoutput')`);
    for (const [index, c] of cases.entries()) {
      const values = ['null', ...c.values].map((value, id) => `(${id}, (${value})::${c.type})`).join(', ');
      const table = `agree.${TABLE_NAME}${index}`;
      await postgres.query(`insert into ${table} values ${values}`);
      if (c.generated !== undefined) {
        await postgres.query(`insert into ${table} select 1000 + row_number() over (), v from (${c.generated}) g(v)`);
      }
    }
    source = await connectSource(
      {
        name: 'agree',
        host: postgres.host,
        port: postgres.port,
        database: postgres.database,
        user: postgres.user,
        password: postgres.password,
        tls: { mode: 'disable', caFile: null, certFile: null, keyFile: null },
        tunnel: null,
        connectTimeoutMs: 10_000,
      },
      { purpose: 'test', signal },
    );
    const observed = await readCatalog(source, { schema: 'agree' }, signal);
    for (const [index, c] of cases.entries()) {
      const table = observed.tables.find((t) => t.name === `${TABLE_NAME}${index}`);
      if (table === undefined) throw new Error(`table of "${c.name}" was not found`);
      for (const side of sides) side.prepare(c, table);
    }
    for (const side of sides) await readStream(side);
  });

  afterAll(async () => {
    await source?.end();
    await postgres?.stop();
  });

  async function readStream(side: Side): Promise<void> {
    const decoder = side.decoder();
    const reader = new CopyTupleReader(1, (bytes) => {
      const at = reader.starts[0] ?? 0;
      decoder.push(bytes, at, at + (reader.lengths[0] ?? 0));
    });
    await copyOut(source, FETCH_FROM_SLOT, (bytes, start, end) => reader.feed(bytes, start, end));
    reader.finish();
    decoder.finish();
  }

  const rows = sides.flatMap((side) => cases.map((c, index) => ({ name: c.name, dialect: side.dialect, side, index })));
  test.each(rows)('$name in $dialect', async ({ side, index }) => {
    const { test: c, table, columns } = side.prepared[index]!;
    const different = side.dialect === 'lake' ? c.lake : undefined;
    const v = table.columns[1]!;
    const logical = columns[1]!.logical;
    expect(logical.kind).toBe(different?.kind ?? c.kind);

    const batches: RecordBatch[] = [];
    const decoder = new CopyTableDecoder(columns, { maxRows: 1_000_000, maxBytes: 1e9 }, (batch) =>
      batches.push(batch),
    );
    const list = table.columns.map((column, i) => selectExpression(column, columns[i]!.logical)).join(', ');
    const sql = `copy (select ${list} from agree.${table.name} order by id) to stdout (format binary)`;
    await copyOut(source, sql, (bytes, start, end) => decoder.feed(bytes, start, end));
    const copied = decoder.finish();
    const [batch] = batches;
    const [changes] = side.streamed[index]!;
    if (batch === undefined || changes === undefined) throw new Error('no rows');

    expect(changes.numRows).toBe(copied.rows);
    expect(bufferParts(changes.data.children[1]!)).toEqual(bufferParts(batch.data.children[1]!));

    const predicate = unrepresentablePredicate(v, logical);
    const unfit = await source.query<{ id: number; text: string }>(
      `select id, ${originalText(v)} as text from agree.${table.name} where ${predicate ?? 'false'} order by id`,
    );
    expect(copied.rejected).toEqual([0, unfit.length]);
    expect(unfit.filter((row) => row.id < 1000)).toHaveLength(different?.rejected ?? c.rejected ?? 0);
    expect(side.rejected[index]!.map((event) => ({ id: JSON.parse(event.key).id, text: event.text }))).toEqual(
      unfit.map((row) => ({ id: String(row.id), text: row.text })),
    );
    const nulls = await source.query<{ id: number }>(
      `select id from agree.${table.name} where not (v is distinct from null) ${predicate === null ? '' : `or ${predicate}`} order by id`,
    );
    expect(nullIds(batch)).toEqual(nulls.map((row) => row.id));

    if (different?.kind === undefined && different?.element === undefined) return;
    const isList = logical.kind === 'list';
    expect(isList ? logical.element.kind : logical.kind).toBe(different.element ?? different.kind);
    const text = isList ? 'array_to_json(v::text[])::text' : originalText(v);
    const own = await source.query<{ id: number; text: string }>(
      `select id, ${text} as text from agree.${table.name} where v is not null and not ${predicate ?? 'false'} order by id`,
    );
    expect(textCells(batch)).toEqual(own.map((row) => [row.id, row.text]));
  });
});

/** Runs a COPY TO STDOUT and passes on its payload. */
async function copyOut(
  source: SourceConnection,
  sql: string,
  onPayload: (bytes: Uint8Array, start: number, end: number) => void,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const splitter = new CopyFrameSplitter({
      onCopyData: (bytes, start, end) => onPayload(bytes, start, end),
      onError: (error) => reject(new Error(error.message)),
      onReady: () => {
        wire.release();
        resolve();
      },
    });
    const wire = source.takeOver((bytes, length) => {
      try {
        splitter.feed(bytes, 0, length);
      } catch (error) {
        reject(error);
      }
    }, reject);
    const text = Buffer.from(`${sql}\0`);
    const head = Buffer.alloc(5);
    head.write('Q', 'latin1');
    head.writeInt32BE(text.length + 4, 1);
    wire.write(Buffer.concat([head, text]));
  });
}

/** What is not NULL, by id: its text, or an array of texts as JSON. */
function textCells(batch: RecordBatch): [number, string][] {
  const ids = batch.getChildAt(0);
  const values = batch.getChildAt(1);
  const textOf = (cell: unknown): string | null => {
    if (cell instanceof Vector) return JSON.stringify([...cell].map(textOf));
    return cell === null ? null : String(cell);
  };
  return Array.from({ length: batch.numRows }, (_, row) => row)
    .filter((row) => values?.isValid(row))
    .map((row) => [Number(ids?.get(row)), textOf(values?.get(row)) ?? '']);
}

function nullIds(batch: RecordBatch): number[] {
  const ids = batch.getChildAt(0);
  const values = batch.data.children[1]!;
  return Array.from({ length: batch.numRows }, (_, row) => row)
    .filter((row) => !values.getValid(row))
    .map((row) => Number(ids?.get(row)));
}
