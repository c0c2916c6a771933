import type { S3Client } from '@aws-sdk/client-s3';
import { SluiceError } from '../../../error/sluice-error.js';
import type { S3Failure } from './s3-failure.js';
import type { S3Requests } from './s3-requests.js';
import type { S3Settings } from './s3-settings.js';
import type { TrafficMeter } from './traffic.js';

/** What the parts of the S3 store share. */
export interface BucketAccess {
  readonly client: S3Client;
  readonly settings: S3Settings;
  readonly meter: TrafficMeter;
  readonly requests: S3Requests;
}

/**
 * Whether there is no such object. Told by the server's code alone: a missing bucket is a 404 too, and with some servers an
 * unknown access key is. Only the answer to a HEAD has no body and so no code of its own; the SDK names it NotFound.
 */
export function isMissing({ status, code }: S3Failure): boolean {
  return status === 404 && (code === 'NoSuchKey' || code === 'NotFound');
}

/** Reads an answer's whole body into memory. Its stream is only there while the request is under way. */
export async function readBody(
  answer: {
    readonly Body?: { transformToByteArray(): Promise<Uint8Array> } | undefined;
    readonly ContentLength?: number | undefined;
  },
  meter: TrafficMeter,
): Promise<Uint8Array> {
  const body = (await answer.Body?.transformToByteArray()) ?? new Uint8Array();
  meter.received(body.length);
  if (answer.ContentLength !== undefined && body.length !== answer.ContentLength) {
    throw Object.assign(new Error(`the answer ended after ${body.length} of ${answer.ContentLength} bytes`), {
      code: 'ERR_STREAM_PREMATURE_CLOSE',
    });
  }
  return body;
}

/** @throws SluiceError STORE_NOT_CONDITIONAL: without one there is nothing to swap by */
export function etagIn(answer: { readonly ETag?: string | undefined }): string {
  if (answer.ETag !== undefined && answer.ETag !== '') return answer.ETag;
  throw new SluiceError({
    code: 'STORE_NOT_CONDITIONAL',
    message: 'the store answered without an ETag, so versions of an object cannot be told apart',
    hint: 'use a store with ETags and conditional writes; a proxy in between may have taken the header away',
  });
}
