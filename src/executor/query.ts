import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import type { Config, DestinationConfig } from '../config/config.js';
import type { SecretDeps } from '../config/secret.js';
import { readLake } from '../destination/lake/lake-reader.js';
import type { LakeThreadSettings } from '../destination/lake/lake-writer.js';
import { openLake } from '../destination/lake/open-lake.js';
import { systemDeps } from '../destination/lake/store/system-deps.js';
import { causeText, SluiceError } from '../error/sluice-error.js';
import { lakeThreadSettings } from './destinations.js';
import type { QueryResult } from './engine.js';

/**
 * Runs SQL on a destination, for reading only: on a DuckDB file, or on views of a lake's tables.
 * @throws SluiceError ADDRESS_UNKNOWN, DESTINATION_FAILED, DESTINATION_BUSY, and what a lake's store throws
 */
export async function queryDestination(
  config: Config,
  secrets: SecretDeps,
  name: string | null,
  sql: string,
): Promise<QueryResult> {
  const destination = chosen(config, name);
  return destination.type === 'duckdb'
    ? queryFile(destination.path, sql)
    : queryLake(await lakeThreadSettings(destination, secrets), sql);
}

async function queryFile(path: string, sql: string): Promise<QueryResult> {
  const instance = await openReadOnly(path);
  let connection: DuckDBConnection | null = null;
  try {
    connection = await instance.connect();
    await connection.run("SET TimeZone = 'UTC'");
    return await answer(connection, sql);
  } finally {
    // The file stays locked for as long as one of its connections is open.
    connection?.closeSync();
    instance.closeSync();
  }
}

async function queryLake(settings: LakeThreadSettings, sql: string): Promise<QueryResult> {
  const lake = await openLake(settings, systemDeps('sluice query'));
  const { memoryLimitMb, threads } = settings.session;
  try {
    const session = await readLake({ memoryLimitMb, threads, workFolder: settings.workFolder }, lake, sql);
    try {
      return await answer(session.connection, sql);
    } finally {
      session.close();
    }
  } finally {
    await lake.store.close();
  }
}

async function answer(connection: DuckDBConnection, sql: string): Promise<QueryResult> {
  try {
    const reader = await connection.runAndReadAll(sql);
    const types = reader.columnTypes();
    return {
      columns: reader.columnNames().map((column, i) => ({ name: column, type: String(types[i]) })),
      rows: reader.getRows().map((row) => row.map((cell) => (cell === null ? null : String(cell)))),
    };
  } catch (error) {
    throw new SluiceError({ code: 'DESTINATION_FAILED', message: causeText(error), cause: error });
  }
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
