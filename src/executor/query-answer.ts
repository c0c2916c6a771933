import { type DuckDBConnection, type DuckDBDataChunk, type DuckDBResult, ResultReturnType } from '@duckdb/node-api';
import { type RecordBatch, Schema } from 'apache-arrow';
import { recordBatch } from '../batch/arrow-data.js';
import { columnForm, formField } from '../destination/duckdb/result-column.js';
import { causeText, SluiceError } from '../error/sluice-error.js';
import type { QueryBatches, QueryPages } from './engine.js';

/** A query on a session in which its tables are found. */
export interface QueryAccess {
  readonly connection: DuckDBConnection;
  /** One statement. */
  readonly sql: string;
  /** To be called when a statement has failed, before the next one: a transaction that it stood in takes no more. */
  readonly afterFailure: () => Promise<void>;
}

/**
 * The answer as DuckDB's own text, a page at a time. DuckDB itself makes the text where the statement may stand in a FROM;
 * of the others (EXPLAIN, PRAGMA, CALL) its client does.
 * @throws SluiceError QUERY_FAILED, also while pages are read
 */
export async function openPages(access: QueryAccess, signal: AbortSignal): Promise<QueryPages> {
  return telling(async () => {
    const { connection, sql } = access;
    const inner = innerSql(sql);
    // In this order: another query on the session would end a stream.
    const columns = (await columnsOf(connection, inner)) ?? (await columnsOfFrom(access, inner));
    const texts = columns === null ? null : await streamOrNull(access, `SELECT COLUMNS(*)::VARCHAR FROM (${inner}\n)`);
    const result = texts ?? (await connection.stream(sql));
    return { columns: columns ?? namesAndTypes(result), pages: pagesOf(chunks(result, access, signal)) };
  });
}

/**
 * The answer as Arrow, a batch for each of DuckDB's chunks (2,048 rows at most).
 * @throws SluiceError QUERY_FAILED, QUERY_UNREPRESENTABLE, both also while batches are read
 */
export async function openBatches(access: QueryAccess, signal: AbortSignal): Promise<QueryBatches> {
  return telling(async () => {
    const result = await access.connection.stream(access.sql);
    // Libraries find columns by name: of several with one name the later are "x:1", "x:2".
    const names = result.deduplicatedColumnNames();
    const forms = result.columnTypes().map((type, i) => columnForm(type, names[i] ?? ''));
    const schema = new Schema(forms.map((form, i) => formField(names[i] ?? '', form)));
    return { schema, batches: batchesOf(schema, forms, chunks(result, access, signal)) };
  });
}

async function* pagesOf(all: AsyncIterable<DuckDBDataChunk>): QueryPages['pages'] {
  for await (const chunk of all) {
    yield chunk.getRows().map((row) => row.map((cell) => (cell === null ? null : String(cell))));
  }
}

async function* batchesOf(
  schema: Schema,
  forms: readonly ReturnType<typeof columnForm>[],
  all: AsyncIterable<DuckDBDataChunk>,
): AsyncGenerator<RecordBatch> {
  for await (const chunk of all) {
    const columns = forms.map((form, i) => form.data(chunk.getColumnValues(i)));
    yield recordBatch(schema, columns, chunk.rowCount);
  }
}

/** The chunks that are not empty, one after the other; an abort ends the query that makes them. */
async function* chunks(
  result: DuckDBResult,
  access: QueryAccess,
  signal: AbortSignal,
): AsyncGenerator<DuckDBDataChunk> {
  const interrupt = (): void => access.connection.interrupt();
  signal.addEventListener('abort', interrupt, { once: true });
  try {
    for (;;) {
      signal.throwIfAborted();
      const chunk = await telling(() => result.fetchChunk());
      signal.throwIfAborted();
      if (chunk === null || chunk.rowCount === 0) break;
      yield chunk;
    }
    // A stream that fails on its way just ends; only its type tells that it did.
    if (result.returnType === ResultReturnType.INVALID) throw await reasonOfBreak(access);
  } finally {
    signal.removeEventListener('abort', interrupt);
  }
}

/** The client does not hand over why a stream broke off, so the query is run again, for its error alone. */
async function reasonOfBreak({ connection, sql, afterFailure }: QueryAccess): Promise<SluiceError> {
  try {
    await afterFailure();
    await telling(() => connection.run(`SELECT count(COLUMNS(*)) FROM (${innerSql(sql)}\n)`));
  } catch (error) {
    if (error instanceof SluiceError) return error;
  }
  return new SluiceError({ code: 'QUERY_FAILED', message: 'the query broke off before its end' });
}

/** Without what may follow a statement, so that it can stand in brackets. */
function innerSql(sql: string): string {
  return sql.trimEnd().replace(/;$/, '');
}

/** Null where DuckDB makes several statements of it, as of PIVOT. @throws what is wrong with the statement */
async function columnsOf(connection: DuckDBConnection, sql: string): Promise<QueryPages['columns'] | null> {
  const extracted = await connection.extractStatements(sql);
  if (extracted.count !== 1) return null;
  const statement = await extracted.prepare(0);
  try {
    return Array.from({ length: statement.columnCount }, (_, i) => ({
      name: statement.columnName(i),
      type: String(statement.columnType(i)),
    }));
  } finally {
    statement.destroySync();
  }
}

async function columnsOfFrom(access: QueryAccess, inner: string): Promise<QueryPages['columns'] | null> {
  const empty = await streamOrNull(access, `SELECT * FROM (${inner}\n) LIMIT 0`);
  return empty === null ? null : namesAndTypes(empty);
}

function namesAndTypes(result: DuckDBResult): QueryPages['columns'] {
  const types = result.columnTypes();
  return result.columnNames().map((name, i) => ({ name, type: String(types[i]) }));
}

async function streamOrNull(access: QueryAccess, sql: string): Promise<DuckDBResult | null> {
  try {
    return await access.connection.stream(sql);
  } catch {
    // What is wrong with the statement itself is told by running it as it is.
    await access.afterFailure();
    return null;
  }
}

async function telling<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof SluiceError) throw error;
    throw new SluiceError({ code: 'QUERY_FAILED', message: reasonOf(error), cause: error });
  }
}

/** DuckDB's reason on one line, with the line of the query that it points at. */
function reasonOf(error: unknown): string {
  const [reason = '', ...rest] = causeText(error)
    .replace(/^Failed to extract statements: /, '')
    .split('\n');
  const place = rest.find((line) => /^LINE \d+: /.test(line));
  return place === undefined ? reason : `${reason} (${place.trim()})`;
}
