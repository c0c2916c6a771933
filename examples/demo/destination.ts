import path from 'node:path';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { deltaFiles } from './delta-files.js';

/** Where the demo keeps its copy, and the words for it. */
export interface Destination {
  /** In a sentence. */
  readonly name: string;
  /** At the head of a column. */
  readonly title: string;
  /** Its line in sources.yaml. */
  readonly line: string;
  /** What Sluice keeps in step. */
  readonly what: string;
  /** How rows and checkpoint come in together. */
  readonly commit: string;
  /** How one asks it. */
  readonly asking: string;
  /** Opens what is in the demo's folder for the judge, without any code of Sluice; its tables are in the schema public. */
  open(folder: string, tables: readonly string[]): Promise<{ readonly duckdb: DuckDBConnection; close(): void }>;
}

const DUCKDB_FILE = 'warehouse.duckdb';

export const duckDbFile: Destination = {
  name: 'DuckDB',
  title: 'DUCKDB',
  line: `warehouse: { type: duckdb, path: ${DUCKDB_FILE} }`,
  what: 'a DuckDB file',
  commit: 'are committed in one DuckDB transaction',
  asking: 'The file is an ordinary DuckDB file that any client can open; sluice query is the shortest way to ask.',
  open: (folder) => openDuckDbFile(path.join(folder, DUCKDB_FILE)),
};

/** For reading only. */
export function openDuckDbFile(file: string): ReturnType<Destination['open']> {
  return opened(file, { access_mode: 'READ_ONLY' });
}

const LAKE_FOLDER = 'lake';

export const deltaLake: Destination = {
  name: 'the lake',
  title: 'LAKE',
  line: `warehouse: { type: local, format: delta, path: ${LAKE_FOLDER} } # or type: s3 with a bucket`,
  what: 'a lake of Delta tables in a folder',
  commit: 'become visible with one commit',
  asking: `The tables are ordinary Delta tables, each in lake/public/<table>, for DuckDB, Spark, Trino, Polars and others;
    sluice query is the shortest way to ask.`,
  async open(folder, tables) {
    const reader = await opened(':memory:');
    try {
      await reader.duckdb.run('CREATE SCHEMA public');
      for (const table of tables) {
        await createView(reader.duckdb, path.join(folder, LAKE_FOLDER, 'public', table), table);
      }
      return reader;
    } catch (error) {
      reader.close();
      throw error;
    }
  },
};

async function createView(duckdb: DuckDBConnection, folder: string, table: string): Promise<void> {
  const files = await deltaFiles(folder);
  const gone = files.flatMap(({ path: file, deleted }) => deleted.map((row) => `(${quoted(file)}, ${row})`));
  await duckdb.run(`CREATE TABLE "gone ${table}" (filename VARCHAR, file_row_number BIGINT)`);
  if (gone.length > 0) await duckdb.run(`INSERT INTO "gone ${table}" VALUES ${gone.join(', ')}`);
  await duckdb.run(`CREATE VIEW public."${table}" AS SELECT * EXCLUDE (filename, file_row_number)
    FROM read_parquet([${files.map((file) => quoted(file.path)).join(', ')}],
      filename = true, file_row_number = true, union_by_name = true) AS present
    ANTI JOIN "gone ${table}" USING (filename, file_row_number)`);
}

async function opened(file: string, options: Record<string, string> = {}): ReturnType<Destination['open']> {
  const instance = await DuckDBInstance.create(file, options);
  const duckdb = await instance.connect();
  return {
    duckdb,
    // A file stays locked for as long as one of its connections is open.
    close() {
      duckdb.closeSync();
      instance.closeSync();
    },
  };
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
