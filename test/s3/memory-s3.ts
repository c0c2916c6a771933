import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Bucket } from './bucket.js';
import type { Answer, Call } from './call.js';
import { errorOf, type Fault, Faults, holdUp, type PlacedFault } from './fault.js';
import { KeptBytes } from './kept-bytes.js';
import { receivePayload } from './payload.js';
import { type Address, findRoute, parseAddress } from './route.js';
import { S3Error } from './s3-error.js';
import { verifySignature } from './signature.js';

export interface MemoryS3Options {
  /** It exists from the start. */
  readonly bucket: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** What requests must be signed for. Default us-east-1. */
  readonly region?: string;
  /** For signatures' age, Date and Last-Modified. Default the wall clock. */
  readonly now?: () => Date;
  /** Headers that it takes no notice of, as servers do that do not know conditional writes. */
  readonly deafTo?: readonly string[];
}

/** One request that came in, answered or not. */
export interface RecordedRequest {
  readonly method: string;
  readonly bucket: string;
  /** Without the bucket; empty for requests to the bucket itself. */
  readonly key: string;
  /** S3's name of the operation, such as PutObject; `Unknown` for what no route takes. */
  readonly operation: string;
  /** All but the authorization. */
  readonly headers: IncomingHttpHeaders;
  /** What was answered; `broken` where a fault or the client broke the connection; null as long as it is under way. */
  readonly status: number | 'broken' | null;
}

export interface ObjectSeen {
  readonly key: string;
  readonly sizeBytes: number;
  /** With its quotes. */
  readonly etag: string;
}

export interface MemoryS3 {
  /** `http://127.0.0.1:<port>`; buckets are named in the path. */
  readonly endpoint: string;
  readonly bucket: string;
  /** Everything that came in, in order; it goes on growing. */
  readonly requests: readonly RecordedRequest[];
  /** Lets something go wrong; the next request that it fits is struck. */
  fault(fault: Fault): PlacedFault;
  /** What is in the bucket, in the order of a listing. */
  objects(): readonly ObjectSeen[];
  /** The whole body; rejects where there is no such key. */
  read(key: string): Promise<Buffer>;
  /** Writes behind everybody's back: no request, no condition, no fault. */
  write(key: string, bytes: Uint8Array): void;
  /** Deletes likewise; a key that is not there is no error. */
  remove(key: string): void;
  /** Multipart uploads that were neither completed nor aborted. */
  uploads(): readonly { readonly key: string; readonly uploadId: string; readonly parts: number }[];
  /** Breaks all connections and removes the temporary files. */
  stop(): Promise<void>;
}

/**
 * Starts an S3 server in this process, as faithful as Sluice needs it: conditional writes that are atomic, listings,
 * ranges, multipart uploads, verified signatures and checksums, and faults on demand. Held to the same conformance suite
 * as real servers (conformance.ts); what it does not know is refused with NotImplemented.
 */
export async function startMemoryS3(options: MemoryS3Options): Promise<MemoryS3> {
  const folder = await mkdtemp(path.join(tmpdir(), 'sluice-s3-'));
  const server = new MemoryServer(options, folder);
  const http = createServer((request, response) => {
    server
      .serve(request, response)
      .catch((error: unknown) => response.destroy(error instanceof Error ? error : undefined));
  });
  // Longer than a test's pauses: a connection that closes just when a client uses it again looks like a fault.
  http.keepAliveTimeout = 600_000;
  await new Promise<void>((resolve, reject) => {
    http.once('error', reject);
    http.listen(0, '127.0.0.1', resolve);
  });
  const address = http.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  const bucket = server.createBucket(options.bucket);
  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    bucket: options.bucket,
    requests: server.requests,
    fault: (fault) => server.faults.place(fault),
    objects: () => bucket.objects().map(({ key, etag, bytes }) => ({ key, etag, sizeBytes: bytes.sizeBytes })),
    read: async (key) => bucket.object(key).bytes.whole(),
    write: (key, bytes) => {
      const copy = Buffer.from(bytes);
      const payload = {
        bytes: new KeptBytes([{ kind: 'memory', bytes: copy }]),
        md5: createHash('md5').update(copy).digest('hex'),
        checksum: null,
      };
      bucket.put(key, payload, 'binary/octet-stream', { ifMatch: null, ifNoneMatch: null });
    },
    remove: (key) => bucket.delete(key),
    uploads: () => bucket.uploads().map(({ key, id, parts }) => ({ key, uploadId: id, parts: parts.size })),
    stop: async () => {
      server.stop();
      const closed = new Promise((resolve) => http.close(resolve));
      http.closeAllConnections();
      await closed;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Headers that would change what a request does, and that nothing here sends. */
const UNKNOWN_HEADERS = [
  'if-modified-since',
  'if-unmodified-since',
  'x-amz-copy-source',
  'x-amz-server-side-encryption-customer-algorithm',
  'x-amz-write-offset-bytes',
];

class MemoryServer {
  readonly requests: (RecordedRequest & { status: number | 'broken' | null })[] = [];
  readonly faults = new Faults();
  readonly #options: MemoryS3Options;
  readonly #folder: string;
  readonly #buckets = new Map<string, Bucket>();
  readonly #stopping = new AbortController();
  #bodies = 0;

  constructor(options: MemoryS3Options, folder: string) {
    this.#options = options;
    this.#folder = folder;
  }

  /** @throws S3Error BucketAlreadyOwnedByYou */
  createBucket(name: string): Bucket {
    if (this.#buckets.has(name)) throw new S3Error('BucketAlreadyOwnedByYou', { BucketName: name });
    const bucket = new Bucket(name, this.#now);
    this.#buckets.set(name, bucket);
    return bucket;
  }

  stop(): void {
    this.#stopping.abort(new Error('the server stops'));
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const address = parseAddress(request.method ?? '', request.url ?? '/');
    const route = findRoute(address);
    const { method, bucket, key } = address;
    const { authorization: _, ...headers } = request.headers;
    const operation = route?.operation ?? 'Unknown';
    const record: (typeof this.requests)[number] = { method, bucket, key, operation, headers, status: null };
    this.requests.push(record);
    response.once('close', () => {
      if (record.status === null) record.status = 'broken';
    });
    response.setHeader('date', this.#now().toUTCString());

    const effect = this.faults.strike({ method, key, operation });
    if (effect === 'drop') return breakOff(response);
    await holdUp(effect, this.#stopping.signal);
    let answer: Answer;
    try {
      const fault = errorOf(effect);
      if (fault !== null) throw new S3Error(fault);
      if (route === null) throw new S3Error('NotImplemented');
      const unknown = UNKNOWN_HEADERS.find((name) => request.headers[name] !== undefined);
      if (unknown !== undefined) throw new S3Error('NotImplemented', { Header: unknown });
      const call = this.#verified(request, address);
      answer = await route.handle(call, {
        faults: this.faults,
        createBucket: () => this.createBucket(bucket),
      });
      // Whatever a request without a use for it has as a body.
      request.resume();
    } catch (error) {
      if (!(error instanceof S3Error)) throw error;
      await drained(request);
      const requestId = String(this.requests.length).padStart(16, '0');
      answer = {
        status: error.status,
        headers: error.headers,
        ...(error.code === 'NotModified' ? {} : { body: error.xml(address.path, requestId) }),
      };
    }
    if (effect === 'lose_answer') return breakOff(response);
    const cutAfterBytes =
      effect !== null && typeof effect === 'object' && 'cutAfterBytes' in effect ? effect.cutAfterBytes : null;
    await send(response, method, answer, cutAfterBytes, () => {
      record.status = cutAfterBytes === null ? answer.status : 'broken';
    });
  }

  #verified(request: IncomingMessage, address: Address): Call {
    const { accessKeyId, secretAccessKey, region = 'us-east-1', deafTo = [] } = this.#options;
    const signed = { method: address.method, path: address.path, query: address.rawQuery, headers: request.headers };
    const promise = verifySignature(signed, { accessKeyId, secretAccessKey, region }, this.#now());
    return {
      key: address.key,
      query: address.query,
      headers: Object.fromEntries(Object.entries(request.headers).filter(([name]) => !deafTo.includes(name))),
      bucket: () => {
        const bucket = this.#buckets.get(address.bucket);
        if (bucket === undefined) throw new S3Error('NoSuchBucket', { BucketName: address.bucket });
        return bucket;
      },
      receive: () => {
        this.#bodies += 1;
        return receivePayload(request, promise, { folder: this.#folder, name: `body-${this.#bodies}` });
      },
    };
  }

  readonly #now = (): Date => this.#options.now?.() ?? new Date();
}

/** The client sees a connection that was reset. */
function breakOff(response: ServerResponse): void {
  response.destroy();
}

/** An answer that comes before the end of a body would look like a broken connection to the one who sends it. */
async function drained(request: IncomingMessage): Promise<void> {
  if (request.readableEnded || request.destroyed) return;
  await new Promise((resolve) => {
    request.once('end', resolve).once('close', resolve);
    request.resume();
  });
}

async function send(
  response: ServerResponse,
  method: string,
  answer: Answer,
  cutAfterBytes: number | null,
  onSent: () => void,
): Promise<void> {
  const { body } = answer;
  const text = typeof body === 'string' ? Buffer.from(body) : null;
  const sizeBytes = text?.length ?? (typeof body === 'object' ? body.sizeBytes : 0);
  response.writeHead(answer.status, {
    ...(text === null ? {} : { 'content-type': 'application/xml' }),
    ...answer.headers,
    ...(answer.status === 204 || answer.status === 304 ? {} : { 'content-length': String(sizeBytes) }),
    server: 'AmazonS3',
  });
  if (method !== 'HEAD') {
    const chunks = text !== null ? [text] : typeof body === 'object' ? body.chunks() : [];
    let missing = cutAfterBytes ?? Number.POSITIVE_INFINITY;
    for await (const chunk of chunks) {
      if (response.destroyed) return;
      const part = chunk.subarray(0, missing);
      missing -= part.length;
      // The callback: backpressure, and with a cut all that comes before it has gone out.
      await new Promise<void>((resolve) => response.write(part, () => resolve()));
      if (missing <= 0) break;
    }
  }
  onSent();
  if (cutAfterBytes !== null) breakOff(response);
  else response.end();
}
