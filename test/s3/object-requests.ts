import { type StoredObject, sameEtag, type WriteCondition } from './bucket.js';
import { type Answer, type Call, header } from './call.js';
import { S3Error } from './s3-error.js';

const MAXIMUM_KEY_BYTES = 1024;

export async function putObject(call: Call): Promise<Answer> {
  const bucket = call.bucket();
  checkKey(call.key);
  const payload = await call.receive();
  try {
    const object = bucket.put(call.key, payload, contentType(call), writeCondition(call));
    return { status: 200, headers: { etag: object.etag, ...checksumHeader(object), ...encryptionHeaders(call) } };
  } catch (error) {
    await payload.bytes.discard();
    throw error;
  }
}

export async function getObject(call: Call): Promise<Answer> {
  const object = call.bucket().object(call.key);
  checkReadCondition(call, object);
  const size = object.bytes.sizeBytes;
  const range = parseRange(header(call, 'range'), size);
  const { from, to } = range ?? { from: 0, to: size };
  return {
    status: range === null ? 200 : 206,
    headers: {
      ...describe(object),
      ...(range === null ? requestedChecksum(call, object) : { 'content-range': `bytes ${from}-${to - 1}/${size}` }),
    },
    body: { sizeBytes: to - from, chunks: () => object.bytes.read(from, to) },
  };
}

export async function headObject(call: Call): Promise<Answer> {
  const object = call.bucket().object(call.key);
  checkReadCondition(call, object);
  return {
    status: 200,
    headers: { ...describe(object), ...requestedChecksum(call, object) },
    body: { sizeBytes: object.bytes.sizeBytes, chunks: () => object.bytes.read() },
  };
}

export async function deleteObject(call: Call): Promise<Answer> {
  call.bucket().delete(call.key, header(call, 'if-match'));
  return { status: 204 };
}

/** @throws S3Error KeyTooLongError */
export function checkKey(key: string): void {
  if (Buffer.byteLength(key) > MAXIMUM_KEY_BYTES) throw new S3Error('KeyTooLongError');
}

export function writeCondition(call: Call): WriteCondition {
  return { ifMatch: header(call, 'if-match'), ifNoneMatch: header(call, 'if-none-match') };
}

export function contentType(call: Call): string {
  return header(call, 'content-type') ?? 'binary/octet-stream';
}

/** Amazon repeats what a write asked for. Nothing is encrypted here. */
export function encryptionHeaders(call: Call): Record<string, string> {
  const algorithm = header(call, 'x-amz-server-side-encryption');
  const key = header(call, 'x-amz-server-side-encryption-aws-kms-key-id');
  return {
    ...(algorithm === null ? {} : { 'x-amz-server-side-encryption': algorithm }),
    ...(key === null ? {} : { 'x-amz-server-side-encryption-aws-kms-key-id': key }),
  };
}

/**
 * @returns the bytes `from` up to, but without, `to`; null for the whole object: without a range, and for a header that
 *   is none or names several
 * @throws S3Error InvalidRange when it begins behind the end
 * @see RFC 9110, section 14
 */
export function parseRange(range: string | null, sizeBytes: number): { from: number; to: number } | null {
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(range ?? '') ?? [];
  if (range === null || first === undefined || last === undefined || (first === '' && last === '')) return null;
  if (first !== '' && last !== '' && Number(first) > Number(last)) return null;
  const from = first === '' ? Math.max(sizeBytes - Number(last), 0) : Number(first);
  const to = first === '' || last === '' ? sizeBytes : Math.min(Number(last) + 1, sizeBytes);
  if (from >= sizeBytes || (first === '' && Number(last) === 0)) {
    throw new S3Error(
      'InvalidRange',
      { RangeRequested: range, ActualObjectSize: String(sizeBytes) },
      { 'content-range': `bytes */${sizeBytes}` },
    );
  }
  return { from, to };
}

function checkReadCondition(call: Call, object: StoredObject): void {
  const ifMatch = header(call, 'if-match');
  if (ifMatch !== null && ifMatch !== '*' && !sameEtag(ifMatch, object.etag)) {
    throw new S3Error('PreconditionFailed', { Condition: 'If-Match' });
  }
  const ifNoneMatch = header(call, 'if-none-match');
  if (ifNoneMatch !== null && (ifNoneMatch === '*' || sameEtag(ifNoneMatch, object.etag))) {
    throw new S3Error('NotModified', {}, { etag: object.etag, 'last-modified': object.modifiedAt.toUTCString() });
  }
}

function describe(object: StoredObject): Record<string, string> {
  return {
    'accept-ranges': 'bytes',
    'content-type': object.contentType,
    etag: object.etag,
    'last-modified': object.modifiedAt.toUTCString(),
  };
}

function requestedChecksum(call: Call, object: StoredObject): Record<string, string> {
  return header(call, 'x-amz-checksum-mode')?.toUpperCase() === 'ENABLED' ? checksumHeader(object) : {};
}

function checksumHeader(object: StoredObject): Record<string, string> {
  if (object.checksum === null) return {};
  return {
    [`x-amz-checksum-${object.checksum.algorithm}`]: object.checksum.value,
    'x-amz-checksum-type': 'FULL_OBJECT',
  };
}
