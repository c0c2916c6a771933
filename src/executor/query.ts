import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import type { Config, DestinationConfig } from '../config/config.js';
import type { SecretDeps } from '../config/secret.js';
import { RETIRED_SCHEMA } from '../destination/duckdb/internal-schema.js';
import { identifier, literal } from '../destination/duckdb/sql-text.js';
import { firstWord, writesTables } from '../destination/duckdb/statement.js';
import { readLake } from '../destination/lake/lake-reader.js';
import type { LakeThreadSettings } from '../destination/lake/lake-writer.js';
import { openLake } from '../destination/lake/open-lake.js';
import { systemDeps } from '../destination/lake/store/system-deps.js';
import { causeText, SluiceError } from '../error/sluice-error.js';
import { lakeThreadSettings } from './destinations.js';
import type { QueryAccess } from './query-answer.js';

/**
 * Runs SQL on a destination, for reading only: on a DuckDB file, or on views of a lake's tables. Tables are found without
 * their schema, too.
 * @param use reads the answer, for which the destination stays open
 * @throws SluiceError QUERY_READ_ONLY, ADDRESS_UNKNOWN, DESTINATION_FAILED, DESTINATION_BUSY, and what a lake's store throws
 */
export async function queryDestination<T>(
  config: Config,
  secrets: SecretDeps,
  { destination: name, sql }: { readonly destination: string | null; readonly sql: string },
  use: (access: QueryAccess) => Promise<T>,
): Promise<T> {
  if (writesTables(sql)) throw readOnly(sql);
  const destination = chosen(config, name);
  return destination.type === 'duckdb'
    ? queryFile(destination.path, sql, use)
    : queryLake(await lakeThreadSettings(destination, secrets), sql, use);
}

type Use<T> = (access: QueryAccess) => Promise<T>;

async function queryFile<T>(path: string, sql: string, use: Use<T>): Promise<T> {
  const instance = await openReadOnly(path);
  let connection: DuckDBConnection | null = null;
  try {
    connection = await instance.connect();
    await connection.run("SET TimeZone = 'UTC'");
    await findTables(connection);
    return await use({ connection, sql, afterFailure: async () => undefined });
  } finally {
    // The file stays locked for as long as one of its connections is open.
    connection?.closeSync();
    instance.closeSync();
  }
}

async function queryLake<T>(settings: LakeThreadSettings, sql: string, use: Use<T>): Promise<T> {
  const lake = await openLake(settings, systemDeps('sluice query'));
  const { memoryLimitMb, threads } = settings.session;
  try {
    const session = await readLake({ memoryLimitMb, threads, workFolder: settings.workFolder }, lake, sql);
    try {
      // Nothing would come of a write to the views, and nobody would hear of it.
      const begin = (): Promise<number> => session.run('BEGIN TRANSACTION READ ONLY');
      await begin();
      await findTables(session.connection);
      const afterFailure = async (): Promise<void> => {
        await session.run('ROLLBACK');
        await begin();
      };
      return await use({ connection: session.connection, sql, afterFailure });
    } finally {
      session.close();
    }
  } finally {
    await lake.store.close();
  }
}

/** SHOW TABLES lists, and names without a schema are looked up in, all schemas but Sluice's own. */
async function findTables(connection: DuckDBConnection): Promise<void> {
  const reader = await connection.runAndReadAll(
    `SELECT DISTINCT schema_name FROM duckdb_schemas() WHERE database_name = current_database()
       AND schema_name NOT IN ('information_schema', 'pg_catalog', '_sluice', ${literal(RETIRED_SCHEMA)}) ORDER BY schema_name`,
  );
  const schemas = reader.getRows().map(([name]) => identifier(String(name)));
  await connection.run(`SET search_path = ${literal(schemas.join(','))}`);
}

function readOnly(sql: string): SluiceError {
  return new SluiceError({
    code: 'QUERY_READ_ONLY',
    message: `${firstWord(sql).toUpperCase()} changes tables, and sluice query only reads: what is in a destination is written by syncs`,
    hint: "to keep a result, write it to a file: sluice query --format csv, or COPY (SELECT ...) TO 'result.parquet'",
  });
}

function chosen(config: Config, name: string | null): DestinationConfig {
  const all = Object.values(config.destinations);
  const found = name === null ? (all.length === 1 ? all[0] : undefined) : config.destinations[name];
  if (found !== undefined) return found;
  const names = all.map((destination) => destination.name).join(', ');
  throw new SluiceError({
    code: 'ADDRESS_UNKNOWN',
    message:
      name === null ? `there are several destinations: ${names}` : `no destination "${name}"; there are: ${names}`,
    hint: 'name one with --destination',
  });
}

async function openReadOnly(path: string): Promise<DuckDBInstance> {
  try {
    return await DuckDBInstance.create(path, { access_mode: 'READ_ONLY' });
  } catch (error) {
    const text = causeText(error);
    if (text.includes('Could not set lock on file')) {
      throw new SluiceError({
        code: 'DESTINATION_BUSY',
        message: `${path} is being written at the moment`,
        hint: 'try again, or give readers a copy of their own: publish: { path, every } on the destination',
        cause: error,
      });
    }
    throw new SluiceError({
      code: 'DESTINATION_FAILED',
      message: `cannot open ${path}: ${text}`,
      hint: 'has anything been synced yet? run: sluice status',
      cause: error,
    });
  }
}
