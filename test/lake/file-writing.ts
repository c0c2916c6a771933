import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import { writeDataFiles } from '../../src/destination/delta/data-files.js';
import { DuckDbSession } from '../../src/destination/duckdb/session.js';
import { literal } from '../../src/destination/duckdb/sql-text.js';
import { FileCache } from '../../src/destination/lake/file-cache.js';
import type { LakeColumn } from '../../src/destination/lake/ledger.js';
import { LocalStore } from '../../src/destination/lake/store/local-store.js';
import { writeFiles } from '../../src/destination/parquet/data-files.js';
import { systemStoreDeps } from './store-deps.js';

export const FORMATS = ['delta', 'parquet'] as const;

/** Writes the files of one table in a folder, as either format does; for one test, after which nothing is left. */
export class FileWriting {
  readonly session: DuckDbSession;
  /** The written files, as a literal for read_parquet. */
  readonly files: string;
  readonly #folder: string;
  readonly #store: LocalStore;

  private constructor(folder: string, session: DuckDbSession) {
    this.#folder = folder;
    this.session = session;
    this.#store = new LocalStore(path.join(folder, 'lake'), systemStoreDeps);
    this.files = literal(path.join(folder, 'lake', 'public', 't', '**', '*.parquet'));
  }

  static async open(memoryLimitMb: number): Promise<FileWriting> {
    const folder = await mkdtemp(path.join(tmpdir(), 'sluice-files-'));
    const settings = { path: path.join(folder, 'w.duckdb'), memoryLimitMb, threads: 2, busyWaitMs: 0 };
    const writing = new FileWriting(folder, await DuckDbSession.open(settings, () => undefined));
    onTestFinished(async () => {
      writing.session.close();
      await writing.#store.close();
      await rm(folder, { recursive: true });
    });
    return writing;
  }

  /** @param query rows with a column `id` */
  async write(format: (typeof FORMATS)[number], query: string, columns: readonly LakeColumn[]): Promise<void> {
    const store = this.#store;
    const tools = {
      ...{ store, cache: new FileCache(store, path.join(this.#folder, 'cache'), 0) },
      ...{ folder: path.join(this.#folder, 'work'), targetFileMb: 32, now: () => new Date() },
    };
    const table = { folder: 'public/t', columns };
    if (format === 'delta') await writeDataFiles(this.session, query, table, true, tools);
    else await writeFiles(this.session, { ...table, query, sortedBy: ['id'], path: 'snapshots/1/part' }, tools);
  }
}
