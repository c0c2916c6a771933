import { createHash, type Hash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { crc32 } from 'node:zlib';
import { BytesKeeper, type KeptBytes } from './kept-bytes.js';
import { S3Error } from './s3-error.js';
import type { PayloadPromise } from './signature.js';

/** The checksums of which the server knows how to compute them; a request with another one is refused. */
export type ChecksumAlgorithm = 'crc32' | 'sha1' | 'sha256';

export interface Checksum {
  readonly algorithm: ChecksumAlgorithm;
  /** As in the header: base64. */
  readonly value: string;
}

export interface Payload {
  readonly bytes: KeptBytes;
  /** In hex: the ETag of an object that was sent whole. */
  readonly md5: string;
  /** The checksum that was sent along, and held. */
  readonly checksum: Checksum | null;
}

/**
 * Takes in a request's body and holds it against everything that its headers promise: length, SHA-256, MD5, checksum in
 * a header or in a trailer, and the signatures of its chunks.
 * @param file where a long body goes
 * @throws S3Error when a promise does not hold; nothing is kept then. Another error when the connection breaks.
 * @see Amazon S3 API, "Checking object integrity" and "Signature calculations: transferring payload in multiple chunks"
 */
export async function receivePayload(
  request: IncomingMessage,
  promise: PayloadPromise,
  file: { readonly folder: string; readonly name: string },
): Promise<Payload> {
  const { headers } = request;
  const streaming = promise.contentSha256.startsWith('STREAMING-');
  if (headers['transfer-encoding'] !== undefined && !streaming) {
    throw new S3Error('NotImplemented', { Header: 'Transfer-Encoding' });
  }
  const keeper = new BytesKeeper(file.folder, file.name);
  try {
    const md5 = createHash('md5');
    const sha256 = createHash('sha256');
    const trailerName = textHeader(request, 'x-amz-trailer')?.toLowerCase() ?? null;
    const claimed = claimedChecksum(headers, trailerName);
    const running = claimed === null ? null : runningChecksum(claimed.algorithm);
    let sizeBytes = 0;
    const take = async (chunk: Buffer) => {
      sizeBytes += chunk.length;
      md5.update(chunk);
      sha256.update(chunk);
      running?.update(chunk);
      await keeper.add(chunk);
    };

    let trailers: ReadonlyMap<string, string> = new Map();
    if (streaming) {
      trailers = await receiveChunks(request, promise, take);
    } else {
      for await (const chunk of request) await take(asBuffer(chunk));
    }

    const expectedBytes = headers[streaming ? 'x-amz-decoded-content-length' : 'content-length'];
    if (expectedBytes === undefined ? streaming : Number(expectedBytes) !== sizeBytes) {
      throw new S3Error(expectedBytes === undefined ? 'MissingContentLength' : 'IncompleteBody');
    }
    if (!streaming && promise.contentSha256 !== 'UNSIGNED-PAYLOAD') {
      if (sha256.digest('hex') !== promise.contentSha256) throw new S3Error('XAmzContentSHA256Mismatch');
    }
    const digest = md5.digest();
    const contentMd5 = headers['content-md5'];
    if (contentMd5 !== undefined && contentMd5 !== digest.toString('base64')) throw new S3Error('BadDigest');
    let checksum: Checksum | null = null;
    if (claimed !== null && running !== null) {
      const value = claimed.value ?? trailers.get(trailerName ?? '');
      if (value === undefined) throw new S3Error('InvalidRequest', { Message: 'The promised trailer is missing' });
      if (value !== running.base64()) throw new S3Error('BadDigest');
      checksum = { algorithm: claimed.algorithm, value };
    }
    return { bytes: await keeper.keep(), md5: digest.toString('hex'), checksum };
  } catch (error) {
    await keeper.abandon();
    throw error;
  }
}

function claimedChecksum(
  headers: IncomingMessage['headers'],
  trailerName: string | null,
): { readonly algorithm: ChecksumAlgorithm; readonly value: string | null } | null {
  const named = Object.entries(headers).filter(
    ([name]) => /^x-amz-checksum-/.test(name) && !/-(algorithm|mode|type)$/.test(name),
  );
  if (named.length > 1 || (named.length === 1 && trailerName !== null)) {
    throw new S3Error('InvalidRequest', { Message: 'Expecting a single x-amz-checksum- header' });
  }
  const [name, value] = named[0] ?? [trailerName, null];
  if (name === null) return null;
  return {
    algorithm: checksumAlgorithm(name.replace(/^x-amz-checksum-/, '')),
    value: value === null ? null : String(value),
  };
}

/** @throws S3Error NotImplemented for CRC32C and CRC64NVME, which nothing here sends */
export function checksumAlgorithm(name: string): ChecksumAlgorithm {
  const lower = name.toLowerCase();
  if (lower === 'crc32' || lower === 'sha1' || lower === 'sha256') return lower;
  throw new S3Error('NotImplemented', { Header: `x-amz-checksum-${lower}` });
}

function runningChecksum(algorithm: ChecksumAlgorithm): { update(chunk: Buffer): void; base64(): string } {
  if (algorithm !== 'crc32') {
    const hash: Hash = createHash(algorithm);
    return { update: (chunk) => void hash.update(chunk), base64: () => hash.digest('base64') };
  }
  let sum = 0;
  return {
    update: (chunk) => {
      sum = crc32(chunk, sum);
    },
    base64: () => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(sum);
      return bytes.toString('base64');
    },
  };
}

/**
 * Decodes an aws-chunked body: `<hex length>[;chunk-signature=<hex>]`, the data, ..., a chunk of length 0, and trailing
 * headers, all with CRLF.
 * @returns the trailing headers, names in lower case
 */
async function receiveChunks(
  request: AsyncIterable<unknown>,
  promise: PayloadPromise,
  take: (chunk: Buffer) => Promise<void>,
): Promise<ReadonlyMap<string, string>> {
  const signed = promise.contentSha256.startsWith('STREAMING-AWS4-HMAC-SHA256-PAYLOAD');
  if (!signed && promise.contentSha256 !== 'STREAMING-UNSIGNED-PAYLOAD-TRAILER') {
    throw new S3Error('NotImplemented', { Header: 'x-amz-content-sha256' });
  }
  const bytes = new ByteReader(request);
  for (;;) {
    const line = await bytes.line();
    const [, hex, signature = null] = /^([0-9a-f]+)(?:;chunk-signature=([0-9a-f]{64}))?$/i.exec(line) ?? [];
    if (hex === undefined) throw new S3Error('IncompleteBody', { Message: 'A chunk does not begin with its length' });
    const length = Number.parseInt(hex, 16);
    const sha256 = createHash('sha256');
    for await (const piece of bytes.exactly(length)) {
      sha256.update(piece);
      await take(piece);
    }
    if (signed) promise.chunks.checkChunk(sha256.digest('hex'), signature);
    if (length === 0) break;
    if ((await bytes.line()) !== '') throw new S3Error('IncompleteBody', { Message: 'A chunk is longer than it says' });
  }
  const trailers = new Map<string, string>();
  for (let line = await bytes.line(); line !== ''; line = await bytes.line()) {
    const at = line.indexOf(':');
    trailers.set(line.slice(0, at).trim().toLowerCase(), line.slice(at + 1).trim());
  }
  if (promise.contentSha256 === 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER') {
    const signature = trailers.get('x-amz-trailer-signature') ?? null;
    trailers.delete('x-amz-trailer-signature');
    promise.chunks.checkTrailers([...trailers].map(([name, value]) => `${name}:${value}\n`).join(''), signature);
  }
  return trailers;
}

/** Lines and counted bytes out of chunks that were cut anywhere. */
class ByteReader {
  readonly #source: AsyncIterator<unknown>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<unknown>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Up to the next CRLF, without it; at the end of the body what is left. */
  async line(): Promise<string> {
    for (;;) {
      const at = this.#rest.indexOf('\r\n');
      if (at >= 0) {
        const line = this.#rest.subarray(0, at).toString('utf8');
        this.#rest = this.#rest.subarray(at + 2);
        return line;
      }
      if (this.#rest.length > 16_384) throw new S3Error('IncompleteBody', { Message: 'A line does not end' });
      const more = await this.#next();
      if (more === null) {
        const line = this.#rest.toString('utf8');
        this.#rest = Buffer.alloc(0);
        return line;
      }
      this.#rest = Buffer.concat([this.#rest, more]);
    }
  }

  async *exactly(length: number): AsyncGenerator<Buffer, void> {
    let missing = length;
    while (missing > 0) {
      if (this.#rest.length === 0) {
        const more = await this.#next();
        if (more === null) throw new S3Error('IncompleteBody');
        this.#rest = more;
      }
      const piece = this.#rest.subarray(0, missing);
      this.#rest = this.#rest.subarray(piece.length);
      missing -= piece.length;
      yield piece;
    }
  }

  async #next(): Promise<Buffer | null> {
    const { value, done } = await this.#source.next();
    return done === true ? null : asBuffer(value);
  }
}

function asBuffer(chunk: unknown): Buffer {
  if (!Buffer.isBuffer(chunk)) throw new Error('a request without encoding is read as buffers');
  return chunk;
}

function textHeader(request: IncomingMessage, name: string): string | null {
  const value = request.headers[name];
  return typeof value === 'string' ? value : null;
}
