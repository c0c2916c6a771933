import { Buffer } from 'node:buffer';
import {
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll } from 'vitest';

/** A server with one bucket, however it was started. */
export interface S3UnderTest {
  readonly endpoint: string;
  readonly bucket: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  stop(): Promise<void>;
}

/**
 * Where a server is known to do otherwise than Amazon. Each is demanded where it is named and forbidden where it is not,
 * so that the list tells what is true.
 */
export type Difference =
  | 'a quiet deletion of many names all keys'
  | 'an object cannot lie below another one'
  | 'an unknown access key is 404 XAdminUserNotFound';

/** A client as Sluice makes it: path style, static keys. One attempt, so that a test sees each answer. */
export function clientOf(server: S3UnderTest, options: S3ClientConfig = {}): S3Client {
  const { endpoint, accessKeyId, secretAccessKey } = server;
  return new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
    maxAttempts: 1,
    ...options,
  });
}

/** A bucket as the suites write it down. */
export class TestBucket {
  constructor(
    readonly client: S3Client,
    readonly name: string,
  ) {}

  /** @returns the ETag */
  async put(key: string, body: string | Uint8Array, condition: { IfMatch?: string; IfNoneMatch?: string } = {}) {
    const answer = await this.client.send(
      new PutObjectCommand({ Bucket: this.name, Key: key, Body: body, ...condition }),
    );
    return told(answer.ETag);
  }

  async get(key: string, range?: string): Promise<{ text: string; etag: string; contentRange: string | undefined }> {
    const answer = await this.client.send(
      new GetObjectCommand({ Bucket: this.name, Key: key, ...(range === undefined ? {} : { Range: range }) }),
    );
    return {
      text: (await answer.Body?.transformToString('latin1')) ?? '',
      etag: told(answer.ETag),
      contentRange: answer.ContentRange,
    };
  }

  /** Puts small objects, a few at a time. */
  async fill(keys: readonly string[]): Promise<void> {
    const waiting = [...keys];
    const worker = async () => {
      for (let key = waiting.pop(); key !== undefined; key = waiting.pop()) await this.put(key, '.');
    };
    await Promise.all(Array.from({ length: 16 }, worker));
  }

  /** All pages of a listing: the keys, and the common prefixes with a star behind them, as they come. */
  async list(options: {
    prefix: string;
    startAfter?: string;
    delimiter?: string;
    pageLength?: number;
  }): Promise<{ names: string[]; pages: number }> {
    const names: string[] = [];
    let pages = 0;
    let token: string | undefined;
    do {
      const page = await this.client.send(
        new ListObjectsV2Command({
          Bucket: this.name,
          Prefix: options.prefix,
          StartAfter: options.startAfter,
          Delimiter: options.delimiter,
          MaxKeys: options.pageLength,
          ContinuationToken: token,
        }),
      );
      pages += 1;
      const entries = [
        ...(page.Contents ?? []).map((object) => told(object.Key)),
        ...(page.CommonPrefixes ?? []).map((prefix) => `${told(prefix.Prefix)}*`),
      ];
      names.push(...entries.sort(byBytes));
      token = page.IsTruncated === true ? told(page.NextContinuationToken) : undefined;
    } while (token !== undefined);
    return { names, pages };
  }
}

/** What a call was refused with: S3's code and the status. A success is an error of the test. */
export async function refusal(call: Promise<unknown>): Promise<{ code: string; status: number | undefined }> {
  const error: unknown = await call.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (error instanceof S3ServiceException) return { code: error.name, status: error.$metadata.httpStatusCode };
  throw new Error(error === null ? 'the call went through' : 'the call did not end with an answer of S3', {
    cause: error,
  });
}

/** Each outcome of concurrent calls, in order: `ok`, or the code it was refused with. */
export async function outcomes(calls: readonly Promise<unknown>[]): Promise<string[]> {
  return Promise.all(
    calls.map((call) =>
      call.then(
        () => 'ok',
        (error: unknown) => (error instanceof S3ServiceException ? error.name : String(error)),
      ),
    ),
  );
}

/** The order of S3's listings. */
export function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** What every server must tell. */
export function told(value: string | undefined): string {
  if (value === undefined) throw new Error('the answer lacks a field that S3 always gives');
  return value;
}

/** The server of a suite, from its beforeAll on. */
export interface World {
  readonly server: S3UnderTest;
  readonly bucket: TestBucket;
  differs(difference: Difference): boolean;
}

/** Starts the server before a suite's tests and stops it after them. */
export function underTest(start: () => Promise<S3UnderTest>, differences: readonly Difference[]): World {
  let running: { readonly server: S3UnderTest; readonly bucket: TestBucket } | null = null;
  const now = () => {
    if (running === null) throw new Error('the server runs only while the tests do');
    return running;
  };
  beforeAll(async () => {
    const server = await start();
    running = { server, bucket: new TestBucket(clientOf(server), server.bucket) };
  });
  afterAll(async () => {
    running?.bucket.client.destroy();
    await running?.server.stop();
    running = null;
  });
  return {
    get server() {
      return now().server;
    },
    get bucket() {
      return now().bucket;
    },
    differs: (difference) => differences.includes(difference),
  };
}
