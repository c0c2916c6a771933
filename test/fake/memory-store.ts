import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import type { ObjectInfo, ObjectStore, PutCondition, StoredObject } from '../../src/destination/lake/object-store.js';
import { SluiceError } from '../../src/error/sluice-error.js';

/** What goes wrong with the next PUTs: the request never arrives, or it takes effect and its answer is lost. */
export type PutFault = 'request_lost' | 'answer_lost' | 'answer_becomes_refusal';

/** A bucket in memory, as exact as the interface asks; every call gives the others a turn first. */
export class MemoryStore implements ObjectStore {
  readonly place = 'memory';
  readonly folder = null;
  readonly objects = new Map<string, StoredObject>();
  /** Taken one for each PUT from the front; null for one that goes well. */
  readonly faults: (PutFault | null)[] = [];
  /** Called before a PUT takes effect: another writer's moment. */
  beforePut: ((key: string) => Promise<void>) | null = null;
  readonly #asked = { puts: 0, gets: 0, lists: 0, deletes: 0, bytesSent: 0, bytesReceived: 0 };
  #now = Date.parse('2026-03-02T12:00:00Z');

  get traffic(): ObjectStore['traffic'] {
    return { ...this.#asked };
  }

  setTime(time: string): void {
    this.#now = Date.parse(time);
  }

  async get(key: string): Promise<StoredObject | null> {
    await turn();
    this.#asked.gets += 1;
    const stored = this.objects.get(key) ?? null;
    this.#asked.bytesReceived += stored?.sizeBytes ?? 0;
    return stored;
  }

  async getIfChanged(key: string, etag: string): Promise<StoredObject | 'unchanged' | null> {
    const stored = await this.get(key);
    return stored !== null && stored.etag === etag ? 'unchanged' : stored;
  }

  async getRange(key: string, from: number, to: number): Promise<Uint8Array> {
    await turn();
    this.#asked.gets += 1;
    const bytes = this.#existing(this.objects.get(key) ?? null, key).body.slice(from, to);
    this.#asked.bytesReceived += bytes.length;
    return bytes;
  }

  async download(key: string, file: string): Promise<number> {
    const stored = this.#existing(await this.get(key), key);
    await writeFile(file, stored.body);
    return stored.sizeBytes;
  }

  async head(key: string): Promise<ObjectInfo | null> {
    return this.get(key);
  }

  async *list(prefix: string, options: { readonly startAfter?: string } = {}): AsyncIterable<ObjectInfo> {
    await turn();
    this.#asked.lists += 1;
    const keys = [...this.objects.keys()].filter(
      (key) => key.startsWith(prefix) && (options.startAfter === undefined || key > options.startAfter),
    );
    for (const key of keys.sort()) {
      const stored = this.objects.get(key);
      if (stored !== undefined) yield stored;
    }
  }

  async put(key: string, body: Uint8Array, condition: PutCondition | null) {
    await turn();
    await this.beforePut?.(key);
    this.#asked.puts += 1;
    const fault = this.faults.shift() ?? null;
    if (fault === 'request_lost') throw unreachable();
    const known = this.objects.get(key);
    if (condition?.kind === 'absent' && known !== undefined) return { kind: 'refused' as const };
    if (condition?.kind === 'etag' && known?.etag !== condition.etag) return { kind: 'refused' as const };
    const { etag } = this.set(key, body);
    if (fault === 'answer_lost') throw unreachable();
    if (fault === 'answer_becomes_refusal') return { kind: 'refused' as const };
    return { kind: 'written' as const, etag };
  }

  async upload(file: string, key: string): Promise<number> {
    return this.set(key, await readFile(file)).sizeBytes;
  }

  async delete(keys: readonly string[]): Promise<void> {
    await turn();
    this.#asked.deletes += 1;
    for (const key of keys) this.objects.delete(key);
  }

  /** Nothing is left behind in memory. */
  async abortLeftovers(): Promise<number> {
    await turn();
    return 0;
  }

  async serverTime(): Promise<Date> {
    await turn();
    return new Date(this.#now);
  }

  async close(): Promise<void> {
    await turn();
  }

  /** What somebody else puts there. */
  set(key: string, body: Uint8Array | string): StoredObject {
    const bytes = typeof body === 'string' ? Buffer.from(body) : Uint8Array.from(body);
    const etag = createHash('md5').update(bytes).digest('hex');
    const stored = { key, body: bytes, sizeBytes: bytes.length, etag, modifiedAt: new Date(this.#now) };
    this.objects.set(key, stored);
    return stored;
  }

  text(key: string): string {
    return Buffer.from(this.#existing(this.objects.get(key) ?? null, key).body).toString('utf8');
  }

  #existing(stored: StoredObject | null, key: string): StoredObject {
    if (stored !== null) return stored;
    throw new SluiceError({ code: 'STORE_OBJECT_MISSING', message: `${key} is not there` });
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function unreachable(): SluiceError {
  return new SluiceError({ code: 'STORE_UNREACHABLE', message: 'no answer' });
}
