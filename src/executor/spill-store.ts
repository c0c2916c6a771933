import { closeSync, mkdirSync, openSync, read, rmSync, writeSync } from 'node:fs';
import { rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { causeText, SluiceError } from '../error/sluice-error.js';
import { failpoint } from '../thread/failpoint.js';

/**
 * Messages that cannot be handed on yet: those of transactions that are still open on the server, and those of the page
 * that fills up. Small ones stay in memory; beyond a budget over all of them the largest goes to a file. Files are of use
 * to nobody after a crash, as Postgres sends everything again that was not confirmed.
 */

/** Over all logs together. */
const MEMORY_BYTES = 16 * 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;
const READ_BYTES = 256 * 1024;
/** Tag and length. */
const HEADER_BYTES = 8;

export type OnRecord = (tag: number, bytes: Uint8Array, start: number, end: number) => void;

const readFrom = promisify(read);

/** Where the logs of one source lie: beside the state, so on a disk that its owner chose. */
export function spillFolder(statePath: string, source: string): string {
  return join(dirname(statePath), 'spill', source);
}

/** Removes what a process left that was killed. The state's lock must be held: a living process needs its files. */
export async function clearSpill(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  // Gone with its last source; another one's files keep it.
  await rmdir(dirname(folder)).catch(() => undefined);
}

export class SpillStore {
  readonly #folder: string;
  readonly #memoryBytes: number;
  readonly #logs = new Set<SpillLog>();
  #inMemory = 0;

  /** @param memoryBytes what all logs together may keep in memory */
  constructor(folder: string, memoryBytes: number = MEMORY_BYTES) {
    this.#folder = folder;
    this.#memoryBytes = memoryBytes;
  }

  /** A new, empty log. @param name the file's, should one be needed; unlike that of any other open log */
  open(name: string): SpillLog {
    const log: SpillLog = new SpillLog(join(this.#folder, `${name}.spill`), {
      kept: (bytes) => {
        this.#inMemory += bytes;
        while (this.#inMemory > this.#memoryBytes) this.#largest().toFile();
      },
      freed: (bytes) => {
        this.#inMemory -= bytes;
      },
      removed: () => {
        this.#logs.delete(log);
      },
    });
    this.#logs.add(log);
    return log;
  }

  /** Removes all logs and the folder. */
  async close(): Promise<void> {
    for (const log of this.#logs) log.remove();
    await clearSpill(this.#folder);
  }

  #largest(): SpillLog {
    let largest: SpillLog | null = null;
    for (const log of this.#logs) if (largest === null || log.inMemory > largest.inMemory) largest = log;
    if (largest === null)
      throw new SluiceError({ code: 'INTERNAL', message: 'a spill store without logs holds memory' });
    return largest;
  }
}

interface LogOwner {
  kept(bytes: number): void;
  freed(bytes: number): void;
  removed(): void;
}

/** Records in the order they were appended, each with a number of the caller's choice. */
export class SpillLog {
  readonly #path: string;
  readonly #owner: LogOwner;
  #file: number | null = null;
  #fileBytes = 0;
  /** Each holds whole records; all but the last are full. */
  #chunks: { readonly buffer: Buffer; used: number }[] = [];
  #inMemory = 0;

  constructor(path: string, owner: LogOwner) {
    this.#path = path;
    this.#owner = owner;
  }

  get inMemory(): number {
    return this.#inMemory;
  }

  /** Of all records, their headers among them. */
  get bytes(): number {
    return this.#fileBytes + this.#inMemory;
  }

  /** @throws SluiceError SPILL_FAILED when the disk is full or fails */
  append(tag: number, bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    const chunk = this.#chunkFor(HEADER_BYTES + length);
    chunk.buffer.writeUInt32BE(tag, chunk.used);
    chunk.buffer.writeUInt32BE(length, chunk.used + 4);
    chunk.buffer.set(bytes.subarray(start, end), chunk.used + HEADER_BYTES);
    chunk.used += HEADER_BYTES + length;
    this.#inMemory += HEADER_BYTES + length;
    this.#owner.kept(HEADER_BYTES + length);
  }

  /** Appends its records to another log and is empty then; for logs that never went to the file. */
  moveTo(other: SpillLog): void {
    const records = this.#chunks.map(({ buffer, used }) => ({ buffer, used }));
    // Before they are counted again, or the budget might send this log to its file in between.
    this.#forgetChunks();
    for (const { buffer, used } of records) other.#appendRecords(buffer, used);
  }

  #appendRecords(records: Buffer, length: number): void {
    const chunk = this.#chunkFor(length);
    records.copy(chunk.buffer, chunk.used, 0, length);
    chunk.used += length;
    this.#inMemory += length;
    this.#owner.kept(length);
  }

  /** Forgets the records of a log that never went to the file; it can be used on. */
  clear(): void {
    if (this.#file !== null) throw new SluiceError({ code: 'INTERNAL', message: `${this.#path} is not empty` });
    this.#forgetChunks();
  }

  /** Something of it lies on disk. */
  get onDisk(): boolean {
    return this.#file !== null;
  }

  #chunkFor(size: number): { readonly buffer: Buffer; used: number } {
    const last = this.#chunks.at(-1);
    if (last !== undefined && last.buffer.length - last.used >= size) return last;
    const chunk = { buffer: Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, size)), used: 0 };
    this.#chunks.push(chunk);
    return chunk;
  }

  /** Moves what is in memory to the file. @throws SluiceError SPILL_FAILED */
  toFile(): void {
    try {
      if (this.#file === null) {
        mkdirSync(dirname(this.#path), { recursive: true });
        this.#file = openSync(this.#path, 'w+', 0o600);
      }
      for (const { buffer, used } of this.#chunks) {
        for (let at = 0; at < used; ) at += writeSync(this.#file, buffer, at, used - at, this.#fileBytes + at);
        this.#fileBytes += used;
      }
    } catch (error) {
      throw this.#failure('write', error);
    }
    this.#forgetChunks();
    failpoint('in_spill').catch(() => undefined);
  }

  /**
   * Gives all records back, in their order; nothing may be appended meanwhile.
   * @param room awaited between pieces, so that the receiver sets the pace
   * @throws SluiceError SPILL_FAILED
   */
  async read(onRecord: OnRecord, room: () => Promise<void>): Promise<void> {
    if (this.#file !== null) await this.#readFile(this.#file, onRecord, room);
    for (const { buffer, used } of this.#chunks) {
      if (eachRecord(buffer, used, onRecord) !== used) throw this.#failure('read', 'a record is cut');
      await room();
    }
  }

  async #readFile(file: number, onRecord: OnRecord, room: () => Promise<void>): Promise<void> {
    let buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    let filled = 0;
    for (let at = 0; at < this.#fileBytes || filled > 0; ) {
      const wanted = Math.min(buffer.length - filled, this.#fileBytes - at);
      const { bytesRead } = await readFrom(file, buffer, filled, wanted, at).catch((error: unknown) => {
        throw this.#failure('read', error);
      });
      if (bytesRead === 0) throw this.#failure('read', 'it ends too early');
      at += bytesRead;
      filled += bytesRead;
      const taken = eachRecord(buffer, filled, onRecord);
      const left = filled - taken;
      const needed = left >= HEADER_BYTES ? HEADER_BYTES + buffer.readUInt32BE(taken + 4) : HEADER_BYTES;
      const next = needed > buffer.length ? Buffer.allocUnsafeSlow(needed) : buffer;
      buffer.copy(next, 0, taken, filled);
      buffer = next;
      filled = left;
      await room();
    }
  }

  /** Frees memory and file. Doing it twice is fine. */
  remove(): void {
    this.#forgetChunks();
    if (this.#file !== null) {
      closeSync(this.#file);
      this.#file = null;
      this.#fileBytes = 0;
      rmSync(this.#path, { force: true });
    }
    this.#owner.removed();
  }

  #forgetChunks(): void {
    this.#owner.freed(this.#inMemory);
    // One is kept for what comes next: a log that is emptied again and again allocates nothing.
    const [first] = this.#chunks;
    this.#chunks = [];
    if (first !== undefined && first.buffer.length === CHUNK_BYTES)
      this.#chunks.push(Object.assign(first, { used: 0 }));
    this.#inMemory = 0;
  }

  #failure(verb: 'read' | 'write', cause: unknown): SluiceError {
    return new SluiceError({
      code: 'SPILL_FAILED',
      message: `cannot ${verb} ${this.#path}: ${causeText(cause)}`,
      cause,
      hint: 'a large transaction is kept there until it has been committed: free space on that disk, or move the state to a larger one',
    });
  }
}

/** @returns where the first record begins that is not whole */
function eachRecord(buffer: Buffer, filled: number, onRecord: OnRecord): number {
  let at = 0;
  while (filled - at >= HEADER_BYTES) {
    const end = at + HEADER_BYTES + buffer.readUInt32BE(at + 4);
    if (end > filled) return at;
    onRecord(buffer.readUInt32BE(at), buffer, at + HEADER_BYTES, end);
    at = end;
  }
  return at;
}
