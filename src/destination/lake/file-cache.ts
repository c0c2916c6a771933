import { createHash, randomUUID } from 'node:crypto';
import type { Stats } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { isFileError } from '../../state/replace-file.js';
import type { DuckDbSession } from '../duckdb/session.js';
import { fetchColumns, type PartialFile } from './column-fetch.js';
import { eachAtOnce } from './each-at-once.js';
import { bootOfMachine } from './machine-boot.js';
import type { ObjectStore } from './object-store.js';

/** How many files are fetched at once: of each, some ranges of a part's size are in memory. */
const PARALLEL_DOWNLOADS = 2;
/** A smaller file is fetched whole: asking for its parts takes as long. */
const PARTIAL_FROM_BYTES = 2 * 1024 * 1024;
/** Tells since which start of the machine the copies are made. */
const BOOT_FILE = 'boot';
const PARTIAL = '.partial';

/** A data file of the lake. */
export interface LakeFile {
  readonly key: string;
  readonly sizeBytes: number;
}

/** By its name on the disk. */
type KnownCopies = Map<string, { readonly bytes: number; readonly usedMs: number }>;

/**
 * Data files of the lake on the local disk, where DuckDB reads them: whole, or some of their columns. They never change
 * under their name, so a copy is good for ever; the least recently used ones go when the cache is full. Copies are not
 * flushed to the disk, so none outlives a start of the machine. Of a lake in a folder nothing is copied.
 */
export class FileCache {
  readonly #store: ObjectStore;
  readonly #folder: string;
  readonly #limitBytes: number;
  readonly #partialFromBytes: number;
  #known: KnownCopies | null = null;

  /** @param partialFromBytes smaller files are always fetched whole */
  constructor(store: ObjectStore, folder: string, limitBytes: number, partialFromBytes = PARTIAL_FROM_BYTES) {
    this.#store = store;
    this.#folder = folder;
    this.#limitBytes = limitBytes;
    this.#partialFromBytes = partialFromBytes;
  }

  /** Where these files can be read; what is missing is fetched. They stay until the next call of {@link trim}. */
  async files(keys: readonly string[]): Promise<string[]> {
    const { folder } = this.#store;
    if (folder !== null) return keys.map((key) => path.join(folder, key));
    const known = await this.#load();
    const missing: string[] = [];
    for (const key of new Set(keys)) if (!(await this.#use(nameOf(key)))) missing.push(key);
    await eachAtOnce(PARALLEL_DOWNLOADS, missing, async (key) => {
      const file = this.#path(nameOf(key));
      const partial = `${file}.${randomUUID()}${PARTIAL}`;
      try {
        const bytes = await this.#store.download(key, partial);
        await rename(partial, file);
        touch(known, nameOf(key), bytes);
      } finally {
        await rm(partial, { force: true });
      }
    });
    return keys.map((key) => this.#path(nameOf(key)));
  }

  /** Whether all of these can be read whole without a request, or with so few that nothing is spared by reading less. */
  async areNear(files: readonly LakeFile[]): Promise<boolean> {
    if (this.#store.folder !== null) return true;
    await this.#load();
    for (const { key, sizeBytes } of files) {
      if (sizeBytes >= this.#partialFromBytes && !(await this.#use(nameOf(key)))) return false;
    }
    return true;
  }

  /**
   * Where some columns of these files can be read, and no others: of large files that are not here only those are fetched.
   * @param columns their names; columns that a file lacks are no error
   */
  async columns(session: DuckDbSession, files: readonly LakeFile[], columns: readonly string[]): Promise<string[]> {
    const keys = files.map(({ key }) => key);
    const { folder } = this.#store;
    if (folder !== null) return keys.map((key) => path.join(folder, key));
    const known = await this.#load();
    const parts = new Map<string, string>();
    const missing: PartialFile[] = [];
    for (const { key, sizeBytes } of files) {
      if (sizeBytes < this.#partialFromBytes || (await this.#use(nameOf(key)))) continue;
      const part = nameOf(key, columns);
      parts.set(key, part);
      if (!(await this.#use(part))) {
        missing.push({ key, sizeBytes, target: `${this.#path(part)}.${randomUUID()}${PARTIAL}` });
      }
    }
    try {
      const outcome = await fetchColumns(session, this.#store, missing, columns);
      for (const [i, { key, target }] of missing.entries()) {
        const part = parts.get(key);
        if (part !== undefined && outcome[i] === 'columns') {
          await rename(target, this.#path(part));
          touch(known, part, bytesOnDisk(await stat(this.#path(part))));
        } else {
          parts.delete(key);
        }
      }
    } finally {
      for (const { target } of missing) await rm(target, { force: true });
    }
    await this.files(keys.filter((key) => !parts.has(key)));
    return keys.map((key) => this.#path(parts.get(key) ?? nameOf(key)));
  }

  /** Takes a local file over that has just been sent; it is gone from where it was. */
  async adopt(file: string, key: string): Promise<void> {
    if (this.#store.folder !== null) {
      await rm(file, { force: true });
      return;
    }
    const known = await this.#load();
    const { size } = await stat(file);
    await rename(file, this.#path(nameOf(key)));
    touch(known, nameOf(key), size);
  }

  /** Removes the least recently used files until the rest fits. */
  async trim(): Promise<void> {
    if (this.#store.folder !== null) return;
    const known = await this.#load();
    let total = [...known.values()].reduce((sum, { bytes }) => sum + bytes, 0);
    for (const [name, { bytes }] of [...known].sort((a, b) => a[1].usedMs - b[1].usedMs)) {
      if (total <= this.#limitBytes) return;
      await rm(this.#path(name), { force: true });
      known.delete(name);
      total -= bytes;
    }
  }

  /** Whether there is such a copy; it counts as used now. */
  async #use(name: string): Promise<boolean> {
    const known = await this.#load();
    const entry = known.get(name);
    if (entry === undefined) return false;
    const now = new Date();
    try {
      // Another process that trims the same folder goes by the file's own time.
      await utimes(this.#path(name), now, now);
    } catch (error) {
      if (!isFileError(error, 'ENOENT')) throw error;
      // It has trimmed this one.
      known.delete(name);
      return false;
    }
    touch(known, name, entry.bytes, now.getTime());
    return true;
  }

  async #load(): Promise<KnownCopies> {
    if (this.#known !== null) return this.#known;
    await mkdir(this.#folder, { recursive: true });
    const known: KnownCopies = new Map();
    const boot = bootOfMachine();
    const isSameBoot = (await readFile(this.#path(BOOT_FILE), 'utf8').catch(() => null)) === boot;
    for (const name of await readdir(this.#folder)) {
      if (name === BOOT_FILE) continue;
      const file = this.#path(name);
      const found = await stat(file).catch(() => null);
      if (found === null) continue;
      if (name.endsWith(PARTIAL) || !isSameBoot) await rm(file, { force: true });
      else known.set(name, { bytes: bytesOnDisk(found), usedMs: found.mtimeMs });
    }
    if (!isSameBoot) await writeFile(this.#path(BOOT_FILE), boot);
    this.#known = known;
    return known;
  }

  #path(name: string): string {
    return path.join(this.#folder, name);
  }
}

/** The map's order is that of use, which tells apart what is used in one millisecond. */
function touch(known: KnownCopies, name: string, bytes: number, usedMs = Date.now()): void {
  known.delete(name);
  known.set(name, { bytes, usedMs });
}

/** A key may be longer than a file's name can be. What a file holds never changes: another choice of columns is another file. */
function nameOf(key: string, columns: readonly string[] | null = null): string {
  const what = columns === null ? key : `${key}\n${JSON.stringify(columns.toSorted())}`;
  return `${createHash('sha256').update(what).digest('hex').slice(0, 40)}.parquet`;
}

/** A file of which only some columns are there has holes, which take no room. */
function bytesOnDisk({ size, blocks }: Pick<Stats, 'size' | 'blocks'>): number {
  return Math.min(size, blocks * 512);
}
