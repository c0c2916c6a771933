import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import type { Config, DestinationConfig } from '../config/config.js';
import { assertNever, causeText, SluiceError } from '../error/sluice-error.js';
import type { QueryResult } from './engine.js';

/** Runs SQL on a destination's file, opened for reading only. @throws SluiceError ADDRESS_UNKNOWN, DESTINATION_FAILED, DESTINATION_BUSY */
export async function queryDestination(config: Config, name: string | null, sql: string): Promise<QueryResult> {
  const instance = await openReadOnly(fileOf(chosen(config, name)));
  let connection: DuckDBConnection | null = null;
  try {
    connection = await instance.connect();
    await connection.run("SET TimeZone = 'UTC'");
    const reader = await connection.runAndReadAll(sql);
    const types = reader.columnTypes();
    return {
      columns: reader.columnNames().map((column, i) => ({ name: column, type: String(types[i]) })),
      rows: reader.getRows().map((row) => row.map((cell) => (cell === null ? null : String(cell)))),
    };
  } catch (error) {
    throw new SluiceError({ code: 'DESTINATION_FAILED', message: causeText(error), cause: error });
  } finally {
    // The file stays locked for as long as one of its connections is open.
    connection?.closeSync();
    instance.closeSync();
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

/** What query can open. */
function fileOf(destination: DestinationConfig): string {
  switch (destination.type) {
    case 'duckdb':
      return destination.path;
    case 's3':
    case 'local': {
      const { name, format } = destination;
      const place = destination.type === 's3' ? `s3://${destination.bucket}/${destination.prefix}` : destination.path;
      throw new SluiceError({
        code: 'NOT_SUPPORTED_YET',
        message: `query reads DuckDB files; "${name}" holds ${format} tables, which any reader of ${format} can open below ${place}`,
        hint:
          format === 'delta'
            ? `in DuckDB: INSTALL delta; SELECT * FROM delta_scan('${place.replace(/[/]$/, '')}/<schema>/<table>')`
            : 'the documentation has a query that gives the current rows',
      });
    }
    default:
      return assertNever(destination);
  }
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
