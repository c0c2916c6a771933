import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { SluiceError } from '../../../error/sluice-error.js';
import { writeFully } from '../write-fully.js';
import { missingError, shortError } from './object-error.js';
import { type BucketAccess, etagIn, isMissing, readBody } from './s3-access.js';
import { MIB } from './s3-settings.js';
import { allOrAbort } from './s3-upload.js';

/** Ranges of one object in memory at once. */
const RANGES_AT_ONCE = 4;

interface DownloadSource {
  readonly place: string;
  readonly key: string;
  readonly target: string;
  /** In the bucket. */
  readonly objectKey: string;
}

/** The first piece of an object, with what tells the rest. */
interface FirstPiece {
  readonly bytes: Uint8Array;
  readonly totalBytes: number;
  readonly etag: string;
}

/**
 * Fetches an object into `part` and renames it to `file`: large ones in ranges at once, all of the same version.
 * @returns its size in bytes
 * @throws SluiceError STORE_OBJECT_MISSING, STORE_OBJECT_CHANGED
 */
export async function downloadObject(
  access: BucketAccess,
  source: DownloadSource,
  file: string,
  part: string,
  signal?: AbortSignal,
): Promise<number> {
  const first = await fetchFirst(access, source, signal);
  const out = await open(part, 'wx');
  try {
    try {
      await writeFully(out, first.bytes, 0);
      await fetchRest(access, source, first, out, signal);
      const { size } = await out.stat();
      if (size !== first.totalBytes) throw shortError(source.place, source.key, first.totalBytes, size);
    } finally {
      await out.close();
    }
    await rename(part, file);
    return first.totalBytes;
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}

/** A range from the start also tells how long the object is, which saves asking for that. */
async function fetchFirst(access: BucketAccess, source: DownloadSource, signal?: AbortSignal): Promise<FirstPiece> {
  const ask = (range: { readonly Range?: string }) =>
    access.requests.run<FirstPiece | 'empty' | null>(
      {
        operation: 'GetObject',
        target: source.target,
        send: async (options) => {
          const input = { Bucket: access.settings.bucket, Key: source.objectKey, ...range };
          const answer = await access.client.send(new GetObjectCommand(input), options);
          const bytes = await readBody(answer, access.meter);
          return { bytes, totalBytes: totalOf(answer.ContentRange) ?? bytes.length, etag: etagIn(answer) };
        },
        answerTo: (failure) => {
          if (failure.status === 416) return 'empty';
          return isMissing(failure) ? null : undefined;
        },
      },
      signal,
    );
  const first = await ask({ Range: `bytes=0-${access.settings.partSizeMb * MIB - 1}` });
  // An empty object has no range at all.
  const found = first === 'empty' ? await ask({}) : first;
  if (found === null) throw missingError(source.place, source.key);
  if (found === 'empty') throw shortError(source.place, source.key, 1, 0);
  return found;
}

async function fetchRest(
  access: BucketAccess,
  source: DownloadSource,
  first: FirstPiece,
  out: FileHandle,
  signal?: AbortSignal,
): Promise<void> {
  const failed = new AbortController();
  const either = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
  const partBytes = access.settings.partSizeMb * MIB;
  let next = first.bytes.length;
  const fetchSome = async (): Promise<void> => {
    while (next < first.totalBytes) {
      either.throwIfAborted();
      const from = next;
      const to = Math.min(from + partBytes, first.totalBytes);
      next = to;
      await writeFully(out, await fetchRange(access, source, first, from, to, either), from);
    }
  };
  await allOrAbort(Array.from({ length: RANGES_AT_ONCE }, fetchSome), failed);
}

async function fetchRange(
  access: BucketAccess,
  source: DownloadSource,
  { etag, totalBytes }: FirstPiece,
  from: number,
  to: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const bytes = await access.requests.run<Uint8Array | 'changed'>(
    {
      operation: 'GetObject',
      target: source.target,
      send: async (options) => {
        const Range = `bytes=${from}-${to - 1}`;
        const input = { Bucket: access.settings.bucket, Key: source.objectKey, Range, IfMatch: etag };
        return await readBody(await access.client.send(new GetObjectCommand(input), options), access.meter);
      },
      answerTo: (failure) => {
        const { status } = failure;
        return status === 412 || status === 416 || isMissing(failure) ? 'changed' : undefined;
      },
    },
    signal,
  );
  if (bytes === 'changed') {
    throw new SluiceError({
      code: 'STORE_OBJECT_CHANGED',
      message: `${source.target} was replaced or removed while it was read`,
      hint: 'it is read again; if it stays so, see what else writes there',
    });
  }
  if (bytes.length !== to - from) throw shortError(source.place, source.key, totalBytes, from + bytes.length);
  return bytes;
}

/** `bytes 0-99/1234` */
function totalOf(contentRange: string | undefined): number | null {
  const total = /\/(\d+)$/.exec(contentRange ?? '')?.[1];
  return total === undefined ? null : Number(total);
}
