import { type FileHandle, open } from 'node:fs/promises';
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { SluiceError } from '../../../error/sluice-error.js';
import { Gate } from './gate.js';
import { type BucketAccess, etagIn, isMissing } from './s3-access.js';
import { MIB, type S3Encryption } from './s3-settings.js';

/** Up to here one PUT: one request instead of three and more, and its body still fits in memory. */
const WHOLE_BYTES = 64 * MIB;
/** Bodies in memory at once, over all uploads: a whole file of the largest size, or a few parts. */
const BUFFER_BYTES = 64 * MIB;
/** How long a failed upload may take to tidy up after itself: it may be ending because the process is. */
const ABORT_MS = 5_000;
/** More does not help one file along, and other files want their turn. */
const PARTS_AT_ONCE = 8;
/** S3's own limit. */
const MOST_PARTS = 10_000;

/** Where an upload goes: its name in messages and its key in the bucket. */
export interface UploadTarget {
  readonly target: string;
  readonly key: string;
}

interface EncryptionHeaders {
  readonly ServerSideEncryption?: 'AES256' | 'aws:kms';
  readonly SSEKMSKeyId?: string;
}

/** Sends files, in one piece or in parts. */
export class S3Uploads {
  /** For every request that makes an object. */
  readonly encryption: EncryptionHeaders;
  private readonly buffers = new Gate(BUFFER_BYTES);

  constructor(private readonly access: BucketAccess) {
    this.encryption = encryptionHeaders(access.settings.encryption);
  }

  /** @returns the file's size in bytes */
  async upload(path: string, to: UploadTarget, signal?: AbortSignal): Promise<number> {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      if (size <= WHOLE_BYTES) await this.sendWhole(file, size, to, signal);
      else await this.sendInParts(file, size, to, signal);
      return size;
    } finally {
      await file.close();
    }
  }

  /** Aborts multipart uploads below a prefix that began before `olderThan`. @returns how many */
  async abortLeftovers(below: UploadTarget, olderThan: Date, signal?: AbortSignal): Promise<number> {
    let aborted = 0;
    let marker: { readonly KeyMarker: string; readonly UploadIdMarker: string } | null = null;
    do {
      const page = await this.listUploads(below, marker, signal);
      for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
        if (Key === undefined || UploadId === undefined || Initiated === undefined || Initiated >= olderThan) continue;
        await this.abort({ target: `s3://${this.access.settings.bucket}/${Key}`, key: Key }, UploadId, signal);
        aborted += 1;
      }
      const { IsTruncated, NextKeyMarker, NextUploadIdMarker } = page;
      marker =
        IsTruncated === true && NextKeyMarker !== undefined
          ? { KeyMarker: NextKeyMarker, UploadIdMarker: NextUploadIdMarker ?? '' }
          : null;
    } while (marker !== null);
    return aborted;
  }

  private async sendWhole(file: FileHandle, size: number, to: UploadTarget, signal?: AbortSignal): Promise<void> {
    const { client, requests } = this.access;
    await this.withBytes(file, 0, size, signal, async (body) => {
      await requests.run(
        {
          operation: 'PutObject',
          target: to.target,
          bytesSent: size,
          send: (options) =>
            client.send(new PutObjectCommand({ ...this.objectOf(to), ...this.encryption, Body: body }), options),
        },
        signal,
      );
    });
  }

  /** Parts that were sent are gone again where one fails: the store would keep them, unseen and billed. */
  private async sendInParts(file: FileHandle, size: number, to: UploadTarget, signal?: AbortSignal): Promise<void> {
    const uploadId = await this.create(to, signal);
    const failed = new AbortController();
    const either = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
    try {
      const partBytes = Math.max(this.access.settings.partSizeMb * MIB, Math.ceil(size / MOST_PARTS));
      const parts: CompletedPart[] = [];
      let next = 0;
      const sendSome = async (): Promise<void> => {
        while (next * partBytes < size) {
          const index = next++;
          const from = index * partBytes;
          parts[index] = await this.withBytes(file, from, Math.min(partBytes, size - from), either, (body) =>
            this.sendPart(to, uploadId, index + 1, body, either),
          );
        }
      };
      await allOrAbort(Array.from({ length: PARTS_AT_ONCE }, sendSome), failed);
      await this.complete(to, uploadId, parts, size, signal);
    } catch (error) {
      // What failed first is what the caller must know; parts that stay behind are found by abortLeftovers.
      await this.abort(to, uploadId, AbortSignal.timeout(ABORT_MS)).catch(() => undefined);
      throw error;
    }
  }

  private async create(to: UploadTarget, signal?: AbortSignal): Promise<string> {
    const { client, requests } = this.access;
    const { UploadId } = await requests.run(
      {
        operation: 'CreateMultipartUpload',
        target: to.target,
        send: (options) =>
          client.send(new CreateMultipartUploadCommand({ ...this.objectOf(to), ...this.encryption }), options),
      },
      signal,
    );
    if (UploadId !== undefined) return UploadId;
    throw new SluiceError({ code: 'STORE_FAILED', message: `${to.target}: the store gave the multipart upload no id` });
  }

  private async sendPart(
    to: UploadTarget,
    uploadId: string,
    number: number,
    body: Uint8Array,
    signal: AbortSignal,
  ): Promise<CompletedPart> {
    const { client, requests } = this.access;
    return await requests.run<CompletedPart>(
      {
        operation: 'UploadPart',
        target: to.target,
        bytesSent: body.length,
        send: async (options) => {
          const input = { ...this.objectOf(to), UploadId: uploadId, PartNumber: number, Body: body };
          return { PartNumber: number, ETag: etagIn(await client.send(new UploadPartCommand(input), options)) };
        },
      },
      signal,
    );
  }

  private async complete(
    to: UploadTarget,
    uploadId: string,
    parts: CompletedPart[],
    size: number,
    signal?: AbortSignal,
  ): Promise<void> {
    const { client, requests } = this.access;
    const gone = await requests.run<boolean>(
      {
        operation: 'CompleteMultipartUpload',
        target: to.target,
        send: async (options) => {
          const input = { ...this.objectOf(to), UploadId: uploadId, MultipartUpload: { Parts: parts } };
          await client.send(new CompleteMultipartUploadCommand(input), options);
          return false;
        },
        answerTo: (failure) => (failure.code === 'NoSuchUpload' ? true : undefined),
      },
      signal,
    );
    // A try before this one completed it and its answer was lost, unless somebody aborted the upload.
    if (gone && (await this.sizeOf(to, signal)) !== size) {
      throw new SluiceError({
        code: 'STORE_FAILED',
        message: `the multipart upload of ${to.target} was aborted from outside`,
        hint: 'see that no lifecycle rule ends uploads which are under way',
      });
    }
  }

  private async sizeOf(to: UploadTarget, signal?: AbortSignal): Promise<number | null> {
    const { client, requests } = this.access;
    return await requests.run<number | null>(
      {
        operation: 'HeadObject',
        target: to.target,
        send: async (options) =>
          (await client.send(new HeadObjectCommand(this.objectOf(to)), options)).ContentLength ?? null,
        answerTo: (failure) => (isMissing(failure) ? null : undefined),
      },
      signal,
    );
  }

  private async abort(to: UploadTarget, uploadId: string, signal?: AbortSignal): Promise<void> {
    const { client, requests } = this.access;
    await requests.run<null>(
      {
        operation: 'AbortMultipartUpload',
        target: to.target,
        send: async (options) => {
          await client.send(new AbortMultipartUploadCommand({ ...this.objectOf(to), UploadId: uploadId }), options);
          return null;
        },
        // It has ended meanwhile.
        answerTo: (failure) => (failure.code === 'NoSuchUpload' || isMissing(failure) ? null : undefined),
      },
      signal,
    );
  }

  private async listUploads(
    below: UploadTarget,
    marker: { readonly KeyMarker: string; readonly UploadIdMarker: string } | null,
    signal?: AbortSignal,
  ) {
    const { client, requests, settings } = this.access;
    return await requests.run(
      {
        operation: 'ListMultipartUploads',
        target: below.target,
        send: (options) =>
          client.send(
            new ListMultipartUploadsCommand({ Bucket: settings.bucket, Prefix: below.key, ...marker }),
            options,
          ),
      },
      signal,
    );
  }

  /** Reads a piece of the file once there is room for it in memory. */
  private async withBytes<Result>(
    file: FileHandle,
    from: number,
    length: number,
    signal: AbortSignal | undefined,
    use: (body: Uint8Array) => Promise<Result>,
  ): Promise<Result> {
    return await this.buffers.run(
      length,
      async () => {
        const body = Buffer.allocUnsafe(length);
        for (let read = 0; read < length; ) {
          const { bytesRead } = await file.read(body, read, length - read, from + read);
          if (bytesRead === 0)
            throw new SluiceError({ code: 'INTERNAL', message: 'a file was cut while it was uploaded' });
          read += bytesRead;
        }
        return await use(body);
      },
      signal,
    );
  }

  private objectOf(to: UploadTarget): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.access.settings.bucket, Key: to.key };
  }
}

function encryptionHeaders(encryption: S3Encryption | null): EncryptionHeaders {
  if (encryption === null) return {};
  if (encryption.type === 'sse-s3') return { ServerSideEncryption: 'AES256' };
  const key = encryption.kmsKeyId;
  return { ServerSideEncryption: 'aws:kms', ...(key === null ? {} : { SSEKMSKeyId: key }) };
}

/** Waits for all; when one fails the others are stopped and waited for before its error is thrown. */
export async function allOrAbort<Result>(work: readonly Promise<Result>[], abort: AbortController): Promise<Result[]> {
  try {
    return await Promise.all(work);
  } catch (error) {
    abort.abort(error);
    await Promise.allSettled(work);
    throw error;
  }
}
