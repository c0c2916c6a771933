import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type DuckDBConnection, DuckDBInstance, type Json } from '@duckdb/node-api';
import { causeText, SluiceError } from '../../error/sluice-error.js';
import { BatchScan } from './batch-scan.js';
import { INTERNAL_DDL, LAYOUT_VERSION } from './internal-schema.js';

export interface SessionSettings {
  readonly path: string;
  readonly memoryLimitMb: number;
  readonly threads: number;
  /** How long to wait for a file that another process holds. */
  readonly busyWaitMs: number;
}

const BUSY_POLL_MS = 200;

/**
 * What an INSERT that only passes rows through gets of the memory limit, a thread. DuckDB fills whatever it is given with
 * blocks that it has already written; with more than this a load was no faster (bench snapshot, narrow), only larger.
 */
const PASS_THROUGH_MB = 64;

/**
 * What a table of a page takes beside its rows: DuckDB gives each column of each table that a transaction writes to a
 * block, and a page writes to several for each of its own (its changes, their last images, the rows, the history).
 * Measured with a history at 10 columns: 0.8 MiB where they are numbers, 2.3 MiB where they are texts.
 */
const PAGE_TABLE_MB = 4;
/** So many have room in the smallest limit that can be set. */
const PAGE_TABLES_WITHIN = 16;

/** Of the limit, what may be held by tables whose rows are not in the file yet. */
const HELD_PART = 1 / 4;

/** A row group lies in memory until it is whole, and encoded and compressed beside that; each thread has one. */
const ROW_GROUP_PART = 1 / 8;
const MIB = 1024 * 1024;

/**
 * One open DuckDB file. It is opened for a batch and closed after it, so that other processes can open the file in
 * between; a file that somebody holds is waited for.
 */
export class DuckDbSession {
  readonly #instance: DuckDBInstance;
  readonly #settings: SessionSettings;
  #prepared = false;
  /** Added to the limit for the tables of a page. */
  #pageMb = 0;
  /** Called at the end of each transaction, before its COMMIT; what it throws takes the transaction back. */
  beforeCommit: (() => Promise<void>) | null = null;
  readonly connection: DuckDBConnection;
  readonly scan: BatchScan;

  private constructor(
    settings: SessionSettings,
    instance: DuckDBInstance,
    connection: DuckDBConnection,
    scan: BatchScan,
  ) {
    this.#settings = settings;
    this.#instance = instance;
    this.connection = connection;
    this.scan = scan;
  }

  /**
   * @param onWait called once with the reason when the file is held by another process
   * @throws SluiceError DESTINATION_BUSY after `busyWaitMs`, DESTINATION_FAILED
   */
  static async open(settings: SessionSettings, onWait: (what: string) => void): Promise<DuckDbSession> {
    const instance = await openFile(settings, onWait);
    try {
      const connection = await instance.connect();
      const scan = new BatchScan();
      scan.register(connection, settings.threads);
      const session = new DuckDbSession(settings, instance, connection, scan);
      await session.run("SET TimeZone = 'UTC'");
      return session;
    } catch (error) {
      instance.closeSync();
      throw error;
    }
  }

  /**
   * The version of Sluice's own tables in the file, 0 where it has none; nothing is made.
   * @throws SluiceError DESTINATION_FAILED when a newer Sluice made them
   */
  async layoutVersion(): Promise<number> {
    const known = await this.rows<{ n: number }>(
      "SELECT count(*)::INTEGER AS n FROM duckdb_tables() WHERE schema_name = '_sluice' AND table_name = 'layout'",
    );
    if (known[0]?.n === 0) return 0;
    const [layout] = await this.rows<{ version: number }>('SELECT max(version) AS version FROM _sluice.layout');
    if (layout !== undefined && layout.version > LAYOUT_VERSION) {
      throw new SluiceError({
        code: 'DESTINATION_FAILED',
        message: `${this.#settings.path} has layout ${layout.version}, this Sluice knows up to ${LAYOUT_VERSION}`,
        hint: 'use the newer Sluice that wrote the file',
      });
    }
    return layout?.version ?? 0;
  }

  /** Makes Sluice's own tables where they are missing or older; looks once a session. */
  async prepareLayout(): Promise<void> {
    if (this.#prepared) return;
    if ((await this.layoutVersion()) < LAYOUT_VERSION) {
      await this.transaction(async () => {
        for (const statement of INTERNAL_DDL) await this.run(statement);
        await this.run('DELETE FROM _sluice.layout');
        await this.run(`INSERT INTO _sluice.layout VALUES (${LAYOUT_VERSION})`);
      });
    }
    this.#prepared = true;
  }

  /**
   * How large a row group of a Parquet file may become (`ROW_GROUP_SIZE_BYTES`), as the memory limit says: without that
   * DuckDB counts rows, and wide ones do not fit.
   */
  get rowGroupBytes(): number {
    const { memoryLimitMb, threads } = this.#settings;
    return Math.floor(((memoryLimitMb * MIB) / threads) * ROW_GROUP_PART);
  }

  async run(sql: string): Promise<number> {
    try {
      const result = await this.connection.run(sql);
      return result.rowsChanged;
    } catch (error) {
      throw this.#wrap(error);
    }
  }

  /**
   * Does work that sorts and joins nothing with less of the memory limit.
   * @param work a transaction of its own, as settings cannot be changed in one that has failed
   */
  async passThrough<T>(work: () => Promise<T>): Promise<T> {
    const { memoryLimitMb, threads } = this.#settings;
    const limitMb = Math.min(memoryLimitMb, PASS_THROUGH_MB * threads);
    // Refused while other tables of the session hold more in memory; the statement then has the full limit.
    await this.connection.run(`SET memory_limit = '${limitMb}MB'`).catch(() => undefined);
    try {
      return await work();
    } finally {
      await this.takeFullMemory();
    }
  }

  /** For the rest of such work, which turned out to need it. */
  async takeFullMemory(): Promise<void> {
    await this.run(`SET memory_limit = '${this.#limitMb}MB'`);
  }

  get #limitMb(): number {
    return this.#settings.memoryLimitMb + this.#pageMb;
  }

  /** Raises the limit for a page that writes to so many tables, however few rows each has; 0: it is through. */
  async makeRoomForPage(tables: number): Promise<void> {
    const pageMb = Math.max(0, tables - PAGE_TABLES_WITHIN) * PAGE_TABLE_MB;
    if (pageMb === this.#pageMb) return;
    const before = this.#pageMb;
    this.#pageMb = pageMb;
    // DuckDB refuses a limit below what it holds at the moment; the next page asks again.
    await this.takeFullMemory().catch(() => {
      this.#pageMb = before;
    });
  }

  /** Rows as plain JSON: 64-bit numbers and times as text. */
  async rows<Row extends Record<string, Json>>(sql: string): Promise<Row[]> {
    try {
      const reader = await this.connection.runAndReadAll(sql);
      return reader.getRowObjectsJson() as Row[];
    } catch (error) {
      throw this.#wrap(error);
    }
  }

  #wrap(error: unknown): SluiceError {
    const failure = this.scan.takeFailure();
    if (failure instanceof SluiceError) return failure;
    const cause = failure ?? error;
    // The name of a kind of error, as DuckDB begins its messages.
    if (causeText(cause).startsWith('Out of Memory Error')) {
      return new SluiceError({
        code: 'DESTINATION_MEMORY',
        message: `DuckDB needs more than the ${this.#limitMb} MB that it may take: ${causeText(cause)}`,
        hint: 'give the destination a larger memory_limit_mb; rows of hundreds of kilobytes need it',
        cause,
      });
    }
    return new SluiceError({ code: 'DESTINATION_FAILED', message: `DuckDB: ${causeText(cause)}`, cause });
  }

  /**
   * Of what was committed DuckDB keeps in memory, and cannot give up, whatever is not in the file but in its WAL: little
   * for a table, much for a hundred.
   */
  async #makeRoom(): Promise<void> {
    const [memory] = await this.rows<{ held: string | null }>(
      "SELECT sum(memory_usage_bytes)::BIGINT AS held FROM duckdb_memory() WHERE tag = 'IN_MEMORY_TABLE'",
    );
    if (Number(memory?.held ?? 0) > this.#limitMb * MIB * HELD_PART) await this.run('CHECKPOINT');
  }

  async transaction<T>(work: () => Promise<T>): Promise<T> {
    await this.#makeRoom();
    await this.run('BEGIN TRANSACTION');
    try {
      const result = await work();
      await this.beforeCommit?.();
      await this.run('COMMIT');
      return result;
    } catch (error) {
      await this.connection.run('ROLLBACK').catch(() => undefined);
      throw error;
    }
  }

  /** Writes the WAL into the file and lets go of it. */
  close(): void {
    this.connection.closeSync();
    this.#instance.closeSync();
  }
}

async function openFile(settings: SessionSettings, onWait: (what: string) => void): Promise<DuckDBInstance> {
  await mkdir(dirname(settings.path), { recursive: true }).catch((error: unknown) => {
    throw cannotOpen(settings.path, error);
  });
  let waitedMs = 0;
  for (;;) {
    try {
      return await DuckDBInstance.create(settings.path, {
        memory_limit: `${settings.memoryLimitMb}MB`,
        threads: String(settings.threads),
        preserve_insertion_order: 'false',
        autoinstall_known_extensions: 'false',
        autoload_known_extensions: 'false',
      });
    } catch (error) {
      // DuckDB gives no code for a held file; this is the one place where its text is read.
      const text = causeText(error);
      if (!text.includes('Could not set lock on file')) throw cannotOpen(settings.path, error);
      if (waitedMs >= settings.busyWaitMs) {
        throw new SluiceError({
          code: 'DESTINATION_BUSY',
          message: `${settings.path} is held by another process`,
          hint: 'close it there, or give long readers a copy of their own: publish: { path, every } on the destination',
          cause: error,
        });
      }
      if (waitedMs === 0) onWait(`${settings.path} is held by another process`);
      await new Promise((resolve) => setTimeout(resolve, BUSY_POLL_MS));
      waitedMs += BUSY_POLL_MS;
    }
  }
}

/** DuckDB's text may go on over several lines (an SQLite file makes it speak of an extension); the first one says what is wrong. */
function cannotOpen(path: string, cause: unknown): SluiceError {
  return new SluiceError({
    code: 'DESTINATION_FAILED',
    message: `cannot open ${path}: ${causeText(cause).split('\n')[0]}`,
    cause,
    hint: "check the destination's path: it has to be a DuckDB file, or a place where one can be created",
  });
}
