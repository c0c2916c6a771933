import type { Bucket } from './bucket.js';
import { deleteObjects, headBucket, listObjects } from './bucket-requests.js';
import type { Answer, Call } from './call.js';
import type { Faults } from './fault.js';
import { deleteObject, getObject, headObject, putObject } from './object-requests.js';
import { abortUpload, completeUpload, createUpload, listParts, listUploads, uploadPart } from './upload-requests.js';

/** Where a request goes: path style, `/bucket/key?query`. */
export interface Address {
  readonly method: string;
  /** As sent. */
  readonly path: string;
  /** As sent. */
  readonly rawQuery: string;
  readonly bucket: string;
  readonly key: string;
  readonly query: URLSearchParams;
}

/** What a few operations need besides the call. */
export interface Surroundings {
  readonly faults: Faults;
  createBucket(): Bucket;
}

export interface Route {
  /** S3's name of the operation. */
  readonly operation: string;
  handle(call: Call, surroundings: Surroundings): Promise<Answer>;
}

interface RouteEntry extends Route {
  readonly method: string;
  readonly on: 'bucket' | 'object';
  /** Query parameters that make it this operation. */
  readonly with: readonly string[];
  /** Others that it understands. */
  readonly also: readonly string[];
}

const LISTING = ['prefix', 'delimiter', 'encoding-type'];

const ROUTES: readonly RouteEntry[] = [
  entry('CreateBucket', 'PUT', 'bucket', [], [], async (call, { createBucket }) => {
    await (await call.receive()).bytes.discard();
    createBucket();
    return { status: 200 };
  }),
  entry('HeadBucket', 'HEAD', 'bucket', [], [], headBucket),
  entry(
    'ListObjectsV2',
    'GET',
    'bucket',
    ['list-type'],
    [...LISTING, 'start-after', 'continuation-token', 'max-keys'],
    listObjects,
  ),
  entry(
    'ListMultipartUploads',
    'GET',
    'bucket',
    ['uploads'],
    [...LISTING, 'key-marker', 'upload-id-marker', 'max-uploads'],
    listUploads,
  ),
  entry('DeleteObjects', 'POST', 'bucket', ['delete'], [], (call, { faults }) => deleteObjects(call, faults)),
  entry('PutObject', 'PUT', 'object', [], [], putObject),
  entry('GetObject', 'GET', 'object', [], [], getObject),
  entry('HeadObject', 'HEAD', 'object', [], [], headObject),
  entry('DeleteObject', 'DELETE', 'object', [], [], deleteObject),
  entry('CreateMultipartUpload', 'POST', 'object', ['uploads'], [], createUpload),
  entry('UploadPart', 'PUT', 'object', ['uploadId', 'partNumber'], [], uploadPart),
  entry('CompleteMultipartUpload', 'POST', 'object', ['uploadId'], [], completeUpload),
  entry('AbortMultipartUpload', 'DELETE', 'object', ['uploadId'], [], abortUpload),
  entry('ListParts', 'GET', 'object', ['uploadId'], ['part-number-marker', 'max-parts'], listParts),
];

function entry(
  operation: string,
  method: string,
  on: 'bucket' | 'object',
  required: readonly string[],
  also: readonly string[],
  handle: Route['handle'],
): RouteEntry {
  return { operation, method, on, with: required, also, handle };
}

export function parseAddress(method: string, url: string): Address {
  const at = url.indexOf('?');
  const path = at < 0 ? url : url.slice(0, at);
  const rawQuery = at < 0 ? '' : url.slice(at + 1);
  const [, bucket = '', key = ''] = /^\/([^/]*)\/?(.*)$/s.exec(path) ?? [];
  return { method, path, rawQuery, bucket, key: decoded(key), query: new URLSearchParams(rawQuery) };
}

/** @returns null for everything that nothing here answers; x-id is the SDK's own remark */
export function findRoute({ method, bucket, key, query }: Address): Route | null {
  if (bucket === '') return null;
  const on = key === '' ? 'bucket' : 'object';
  const names = [...query.keys()].filter((name) => name !== 'x-id');
  const found = ROUTES.find(
    (route) =>
      route.method === method &&
      route.on === on &&
      route.with.every((name) => names.includes(name)) &&
      names.every((name) => route.with.includes(name) || route.also.includes(name)),
  );
  return found ?? null;
}

/** A key with broken escapes is left as it is: its signature cannot hold. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
