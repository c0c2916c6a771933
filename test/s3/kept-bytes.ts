import { createReadStream } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import path from 'node:path';

/** Longer bodies lie in a file, so that tests with gigabytes of data do not hold them in memory. */
const MEMORY_LIMIT_BYTES = 1 << 20;

/** One stored piece: an object's body, or a part of it. */
type Piece =
  | { readonly kind: 'memory'; readonly bytes: Buffer }
  | { readonly kind: 'file'; readonly file: string; readonly sizeBytes: number };

/** The bytes of an object or of an upload's part. They never change; a discarded body stays readable to its end. */
export class KeptBytes {
  readonly sizeBytes: number;
  readonly #pieces: readonly Piece[];
  #readers = 0;
  #discarded = false;

  constructor(pieces: readonly Piece[]) {
    this.#pieces = pieces;
    this.sizeBytes = pieces.reduce((sum, piece) => sum + sizeOf(piece), 0);
  }

  /** The parts of an upload, one after the other; they are this body's from now on. */
  static joined(parts: readonly KeptBytes[]): KeptBytes {
    return new KeptBytes(parts.flatMap((part) => part.#pieces));
  }

  /** Bytes `from` up to, but without, `to`. */
  async *read(from = 0, to = this.sizeBytes): AsyncGenerator<Buffer, void> {
    this.#readers += 1;
    try {
      let start = 0;
      for (const piece of this.#pieces) {
        const size = sizeOf(piece);
        const first = Math.max(from - start, 0);
        const end = Math.min(to - start, size);
        if (first < end) yield* readPiece(piece, first, end);
        start += size;
      }
    } finally {
      this.#readers -= 1;
      if (this.#discarded && this.#readers === 0) await this.#remove();
    }
  }

  async whole(): Promise<Buffer> {
    const chunks: Buffer[] = [];
    for await (const chunk of this.read()) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  /** Nothing refers to it any more: its files go when the last reader has ended. */
  async discard(): Promise<void> {
    this.#discarded = true;
    if (this.#readers === 0) await this.#remove();
  }

  async #remove(): Promise<void> {
    for (const piece of this.#pieces) if (piece.kind === 'file') await unlink(piece.file);
  }
}

/** Takes in a body of unknown length: in memory first, in a file of `folder` when it grows. */
export class BytesKeeper {
  readonly #folder: string;
  readonly #name: string;
  #chunks: Buffer[] = [];
  #file: FileHandle | null = null;
  #sizeBytes = 0;

  constructor(folder: string, name: string) {
    this.#folder = folder;
    this.#name = name;
  }

  async add(chunk: Buffer): Promise<void> {
    this.#sizeBytes += chunk.length;
    if (this.#file !== null) {
      await this.#file.appendFile(chunk);
      return;
    }
    this.#chunks.push(chunk);
    if (this.#sizeBytes <= MEMORY_LIMIT_BYTES) return;
    this.#file = await open(this.#path(), 'wx');
    await this.#file.appendFile(Buffer.concat(this.#chunks));
    this.#chunks = [];
  }

  async keep(): Promise<KeptBytes> {
    if (this.#file === null) return new KeptBytes([{ kind: 'memory', bytes: Buffer.concat(this.#chunks) }]);
    await this.#file.close();
    return new KeptBytes([{ kind: 'file', file: this.#path(), sizeBytes: this.#sizeBytes }]);
  }

  /** The body was cut off or refused. */
  async abandon(): Promise<void> {
    this.#chunks = [];
    if (this.#file === null) return;
    await this.#file.close();
    await unlink(this.#path());
  }

  #path(): string {
    return path.join(this.#folder, this.#name);
  }
}

function sizeOf(piece: Piece): number {
  return piece.kind === 'memory' ? piece.bytes.length : piece.sizeBytes;
}

async function* readPiece(piece: Piece, from: number, to: number): AsyncGenerator<Buffer, void> {
  if (piece.kind === 'memory') {
    yield piece.bytes.subarray(from, to);
    return;
  }
  for await (const chunk of createReadStream(piece.file, { start: from, end: to - 1 })) {
    if (!Buffer.isBuffer(chunk)) throw new Error('a file without encoding is read as buffers');
    yield chunk;
  }
}
