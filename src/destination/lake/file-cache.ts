import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import path from 'node:path';
import type { ObjectStore } from './object-store.js';

/** How many files are fetched at once. */
const PARALLEL_DOWNLOADS = 4;

/**
 * Data files of the lake on the local disk, where DuckDB reads them. They never change under their name, so a copy is good
 * for ever; the least recently used ones go when the cache is full. Of a lake in a folder nothing is copied.
 */
export class FileCache {
  readonly #store: ObjectStore;
  readonly #folder: string;
  readonly #limitBytes: number;
  #known: Map<string, { bytes: number; usedMs: number }> | null = null;

  constructor(store: ObjectStore, folder: string, limitBytes: number) {
    this.#store = store;
    this.#folder = folder;
    this.#limitBytes = limitBytes;
  }

  /** Where these files can be read; what is missing is fetched. They stay until the next call of {@link trim}. */
  async files(keys: readonly string[]): Promise<string[]> {
    if (this.#store.folder !== null) {
      const { folder } = this.#store;
      return keys.map((key) => path.join(folder, key));
    }
    const known = await this.#load();
    const missing = keys.filter((key) => !known.has(nameOf(key)));
    const queue = [...new Set(missing)];
    const fetchNext = async (): Promise<void> => {
      for (let key = queue.shift(); key !== undefined; key = queue.shift()) {
        const file = this.#path(key);
        const partial = `${file}.${randomUUID()}.partial`;
        try {
          const bytes = await this.#store.download(key, partial);
          await rename(partial, file);
          known.set(nameOf(key), { bytes, usedMs: Date.now() });
        } finally {
          await rm(partial, { force: true });
        }
      }
    };
    await Promise.all(Array.from({ length: PARALLEL_DOWNLOADS }, fetchNext));
    const now = new Date();
    for (const key of keys) {
      const entry = known.get(nameOf(key));
      if (entry !== undefined) entry.usedMs = now.getTime();
      // Another process that trims the same folder goes by the file's own time.
      await utimes(this.#path(key), now, now);
    }
    return keys.map((key) => this.#path(key));
  }

  /** Takes a local file over that has just been sent; it is gone from where it was. */
  async adopt(file: string, key: string): Promise<void> {
    if (this.#store.folder !== null) {
      await rm(file, { force: true });
      return;
    }
    const known = await this.#load();
    const { size } = await stat(file);
    await rename(file, this.#path(key));
    known.set(nameOf(key), { bytes: size, usedMs: Date.now() });
  }

  /** Removes the least recently used files until the rest fits. */
  async trim(): Promise<void> {
    if (this.#store.folder !== null) return;
    const known = await this.#load();
    let total = [...known.values()].reduce((sum, { bytes }) => sum + bytes, 0);
    for (const [name, { bytes }] of [...known].sort((a, b) => a[1].usedMs - b[1].usedMs)) {
      if (total <= this.#limitBytes) return;
      await rm(path.join(this.#folder, name), { force: true });
      known.delete(name);
      total -= bytes;
    }
  }

  async #load(): Promise<Map<string, { bytes: number; usedMs: number }>> {
    if (this.#known !== null) return this.#known;
    await mkdir(this.#folder, { recursive: true });
    const known = new Map<string, { bytes: number; usedMs: number }>();
    for (const name of await readdir(this.#folder)) {
      const found = await stat(path.join(this.#folder, name)).catch(() => null);
      if (found === null) continue;
      if (name.endsWith('.partial')) await rm(path.join(this.#folder, name), { force: true });
      else known.set(name, { bytes: found.size, usedMs: found.mtimeMs });
    }
    this.#known = known;
    return known;
  }

  #path(key: string): string {
    return path.join(this.#folder, nameOf(key));
  }
}

/** A key may be longer than a file's name can be. */
function nameOf(key: string): string {
  return `${createHash('sha256').update(key).digest('hex').slice(0, 40)}.parquet`;
}
