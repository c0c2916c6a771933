import {
  type _Error as DeleteError,
  DeleteObjectsCommand,
  GetObjectCommand,
  type GetObjectCommandInput,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import type { ObjectInfo, ObjectStore, PutCondition, PutResult, StoredObject, StoreTraffic } from '../object-store.js';
import { checkKey } from './key.js';
import { missingError, shortError } from './object-error.js';
import { type BucketAccess, etagIn, isMissing, readBody } from './s3-access.js';
import { openS3Client } from './s3-client.js';
import { downloadObject } from './s3-download.js';
import { S3Requests } from './s3-requests.js';
import type { S3Settings } from './s3-settings.js';
import { S3Uploads } from './s3-upload.js';
import type { StoreDeps } from './store-deps.js';
import { TrafficMeter } from './traffic.js';

/** As many as one DeleteObjects takes. */
const DELETED_AT_ONCE = 1_000;
/** Failed keys that a message names. */
const NAMED_KEYS = 3;

/**
 * A bucket's prefix as an object store.
 * @throws SluiceError STORE_TLS_UNVERIFIED where the file of certificates cannot be read; nothing is asked of the bucket yet
 */
export async function openS3Store(settings: S3Settings, deps: StoreDeps): Promise<ObjectStore> {
  const client = await openS3Client(settings);
  const meter = new TrafficMeter();
  return new S3Store(client, settings, meter, new S3Requests(client, settings, meter, deps), deps);
}

class S3Store implements ObjectStore {
  readonly place: string;
  readonly folder = null;
  /** Prefix with a slash at its end, or nothing. */
  private readonly root: string;
  private readonly access: BucketAccess;
  private readonly uploads: S3Uploads;

  constructor(
    private readonly client: S3Client,
    settings: S3Settings,
    private readonly meter: TrafficMeter,
    private readonly requests: S3Requests,
    private readonly deps: StoreDeps,
  ) {
    const prefix = settings.prefix.replace(/^\/+|\/+$/g, '');
    this.root = prefix === '' ? '' : `${prefix}/`;
    this.place = prefix === '' ? `s3://${settings.bucket}` : `s3://${settings.bucket}/${prefix}`;
    this.access = { client, settings, meter, requests };
    this.uploads = new S3Uploads(this.access);
  }

  get traffic(): StoreTraffic {
    return this.meter.read();
  }

  async get(key: string, signal?: AbortSignal): Promise<StoredObject | null> {
    const found = await this.fetch(key, {}, signal);
    // Without a condition nothing is unchanged.
    return found === 'unchanged' ? null : found;
  }

  async getIfChanged(key: string, etag: string, signal?: AbortSignal): Promise<StoredObject | 'unchanged' | null> {
    return await this.fetch(key, { IfNoneMatch: etag }, signal);
  }

  async getRange(key: string, from: number, to: number, signal?: AbortSignal): Promise<Uint8Array> {
    if (from >= to) return new Uint8Array();
    const bytes = await this.requests.run<Uint8Array | null>(
      {
        operation: 'GetObject',
        target: this.targetOf(key),
        send: async (options) => {
          const input = { ...this.objectOf(key), Range: `bytes=${from}-${to - 1}` };
          return await readBody(await this.client.send(new GetObjectCommand(input), options), this.meter);
        },
        answerTo: (failure) => {
          if (failure.status === 416) return new Uint8Array();
          return isMissing(failure) ? null : undefined;
        },
      },
      signal,
    );
    if (bytes === null) throw missingError(this.place, key);
    if (bytes.length < to - from) throw shortError(this.place, key, to, from + bytes.length);
    // A server may answer a range with the whole object.
    return bytes.length === to - from ? bytes : bytes.subarray(from, to);
  }

  async download(key: string, file: string, signal?: AbortSignal): Promise<number> {
    const from = { place: this.place, key, target: this.targetOf(key), objectKey: this.objectOf(key).Key };
    return await downloadObject(this.access, from, file, `${file}.${this.deps.newToken()}.part`, signal);
  }

  async head(key: string, signal?: AbortSignal): Promise<ObjectInfo | null> {
    return await this.requests.run<ObjectInfo | null>(
      {
        operation: 'HeadObject',
        target: this.targetOf(key),
        send: async (options) => {
          const answer = await this.client.send(new HeadObjectCommand(this.objectOf(key)), options);
          return { key, sizeBytes: answer.ContentLength ?? 0, modifiedAt: answer.LastModified ?? new Date(0) };
        },
        answerTo: (failure) => (isMissing(failure) ? null : undefined),
      },
      signal,
    );
  }

  async *list(
    prefix: string,
    options: { readonly startAfter?: string } = {},
    signal?: AbortSignal,
  ): AsyncGenerator<ObjectInfo> {
    const { startAfter } = options;
    for (let token: string | null = null, more = true; more; ) {
      const page = await this.listPage(prefix, startAfter, token, signal);
      for (const { Key, Size, LastModified } of page.Contents ?? []) {
        if (Key === undefined || Size === undefined || LastModified === undefined) continue;
        yield { key: Key.slice(this.root.length), sizeBytes: Size, modifiedAt: LastModified };
      }
      token = page.NextContinuationToken ?? null;
      more = page.IsTruncated === true && token !== null;
    }
  }

  async put(key: string, body: Uint8Array, condition: PutCondition | null, signal?: AbortSignal): Promise<PutResult> {
    return await this.requests.run<PutResult>(
      {
        operation: 'PutObject',
        target: this.targetOf(key),
        bytesSent: body.length,
        conditional: condition !== null,
        send: async (options) => {
          const input = { ...this.objectOf(key), ...this.uploads.encryption, Body: body, ...headersOf(condition) };
          const answer = await this.client.send(new PutObjectCommand(input), options);
          return { kind: 'written', etag: etagIn(answer) };
        },
        answerTo: (failure) => {
          if (condition === null) return undefined;
          const overNothing = condition.kind === 'etag' && isMissing(failure);
          return failure.status === 412 || overNothing ? { kind: 'refused' } : undefined;
        },
      },
      signal,
    );
  }

  async upload(file: string, key: string, signal?: AbortSignal): Promise<number> {
    return await this.uploads.upload(file, { target: this.targetOf(key), key: this.objectOf(key).Key }, signal);
  }

  async delete(keys: readonly string[], signal?: AbortSignal): Promise<void> {
    for (let start = 0; start < keys.length; start += DELETED_AT_ONCE) {
      await this.deleteMany(keys.slice(start, start + DELETED_AT_ONCE), signal);
    }
  }

  async abortLeftovers(prefix: string, olderThan: Date, signal?: AbortSignal): Promise<number> {
    return await this.uploads.abortLeftovers(
      { target: this.targetOf(prefix), key: this.root + prefix },
      olderThan,
      signal,
    );
  }

  async serverTime(signal?: AbortSignal): Promise<Date | null> {
    await this.listPage('', undefined, null, signal, 1);
    return this.requests.serverDate;
  }

  close(): Promise<void> {
    this.client.destroy();
    return Promise.resolve();
  }

  private async fetch(
    key: string,
    condition: Pick<GetObjectCommandInput, 'IfNoneMatch'>,
    signal: AbortSignal | undefined,
  ): Promise<StoredObject | 'unchanged' | null> {
    return await this.requests.run<StoredObject | 'unchanged' | null>(
      {
        operation: 'GetObject',
        target: this.targetOf(key),
        send: async (options) => {
          const answer = await this.client.send(new GetObjectCommand({ ...this.objectOf(key), ...condition }), options);
          const body = await readBody(answer, this.meter);
          const modifiedAt = answer.LastModified ?? new Date(0);
          return { key, sizeBytes: body.length, modifiedAt, etag: etagIn(answer), body };
        },
        answerTo: (failure) => {
          if (failure.status === 304) return 'unchanged';
          return isMissing(failure) ? null : undefined;
        },
      },
      signal,
    );
  }

  private async listPage(
    prefix: string,
    startAfter: string | undefined,
    token: string | null,
    signal: AbortSignal | undefined,
    limit?: number,
  ) {
    return await this.requests.run(
      {
        operation: 'ListObjectsV2',
        target: `${this.place}/${prefix}`,
        send: (options) =>
          this.client.send(
            new ListObjectsV2Command({
              Bucket: this.access.settings.bucket,
              Prefix: this.root + prefix,
              ...(startAfter === undefined ? {} : { StartAfter: this.root + startAfter }),
              ...(token === null ? {} : { ContinuationToken: token }),
              ...(limit === undefined ? {} : { MaxKeys: limit }),
            }),
            options,
          ),
      },
      signal,
    );
  }

  /** The answer names the keys that failed. Where their trouble may pass all are asked for again, which does no harm. */
  private async deleteMany(keys: readonly string[], signal: AbortSignal | undefined): Promise<void> {
    await this.requests.run<void>(
      {
        operation: 'DeleteObjects',
        target: `${this.place}/${keys[0] ?? ''}${keys.length > 1 ? ` and ${keys.length - 1} more` : ''}`,
        send: async (options) => {
          const answer = await this.client.send(
            new DeleteObjectsCommand({
              Bucket: this.access.settings.bucket,
              Delete: { Quiet: true, Objects: keys.map((key) => ({ Key: this.objectOf(key).Key })) },
            }),
            options,
          );
          throwIfKept(answer.Errors ?? [], keys.length);
        },
      },
      signal,
    );
  }

  private objectOf(key: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.access.settings.bucket, Key: this.root + checkKey(key) };
  }

  private targetOf(key: string): string {
    return `${this.place}/${key}`;
  }
}

function headersOf(condition: PutCondition | null): { IfNoneMatch?: string; IfMatch?: string } {
  if (condition === null) return {};
  return condition.kind === 'absent' ? { IfNoneMatch: '*' } : { IfMatch: condition.etag };
}

/** Each key has an outcome of its own inside of an answer that is good as a whole; here the worst one becomes the failure. */
function throwIfKept(errors: readonly DeleteError[], asked: number): void {
  const kept = errors.filter(({ Code }) => Code !== 'NoSuchKey');
  const [worst] = kept.filter(({ Code }) => Code === 'AccessDenied').concat(kept);
  if (worst === undefined) return;
  const named = kept.slice(0, NAMED_KEYS).map(({ Key = '?', Code = '?' }) => `${Key} (${Code})`);
  throw Object.assign(
    new Error(
      `${kept.length} of ${asked} were not deleted: ${named.join(', ')}: ${worst.Message ?? 'no reason given'}`,
    ),
    { name: worst.Code ?? 'unknown', $metadata: { httpStatusCode: worst.Code === 'AccessDenied' ? 403 : 400 } },
  );
}
