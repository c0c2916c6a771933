import type { NamedPart, Upload } from './bucket.js';
import { encodedNames } from './bucket-requests.js';
import { type Answer, type Call, header, receiveText, wholeNumber } from './call.js';
import { listPage } from './listing.js';
import { checkKey, contentType, encryptionHeaders, writeCondition } from './object-requests.js';
import { checksumAlgorithm } from './payload.js';
import { S3Error } from './s3-error.js';
import { element, innerOf, parent, textOf, xmlDocument } from './xml.js';

const MAXIMUM_PARTS = 10_000;
const PAGE_LENGTH = 1000;

export async function createUpload(call: Call): Promise<Answer> {
  const bucket = call.bucket();
  checkKey(call.key);
  const algorithm = header(call, 'x-amz-checksum-algorithm');
  const upload = bucket.createUpload(
    call.key,
    contentType(call),
    algorithm === null ? null : checksumAlgorithm(algorithm),
  );
  return {
    status: 200,
    headers: {
      ...encryptionHeaders(call),
      ...(algorithm === null ? {} : { 'x-amz-checksum-algorithm': algorithm, 'x-amz-checksum-type': 'COMPOSITE' }),
    },
    body: xmlDocument(
      'InitiateMultipartUploadResult',
      element('Bucket', bucket.name) + element('Key', call.key) + element('UploadId', upload.id),
    ),
  };
}

export async function uploadPart(call: Call): Promise<Answer> {
  const upload = theUpload(call);
  const number = wholeNumber(call.query.get('partNumber') ?? '', 'partNumber', 1, MAXIMUM_PARTS);
  const payload = await call.receive();
  try {
    // Looked up again: it may have been aborted while the body came in.
    call.bucket().putPart(theUpload(call), number, payload);
  } catch (error) {
    await payload.bytes.discard();
    throw error;
  }
  if (upload.checksumAlgorithm !== null && payload.checksum?.algorithm !== upload.checksumAlgorithm) {
    throw new S3Error('InvalidRequest', {
      Message: `Checksum Type mismatch occurred, expected checksum Type: ${upload.checksumAlgorithm}`,
    });
  }
  const { checksum } = payload;
  return {
    status: 200,
    headers: {
      etag: `"${payload.md5}"`,
      ...(checksum === null ? {} : { [`x-amz-checksum-${checksum.algorithm}`]: checksum.value }),
    },
  };
}

export async function completeUpload(call: Call): Promise<Answer> {
  const upload = theUpload(call);
  const xml = await receiveText(call);
  const named = innerOf(xml, 'Part').map((part) => namedPart(part, upload));
  if (named.length === 0) throw new S3Error('MalformedXML');
  const bucket = call.bucket();
  const object = bucket.completeUpload(theUpload(call), named, writeCondition(call));
  return {
    status: 200,
    headers: encryptionHeaders(call),
    body: xmlDocument(
      'CompleteMultipartUploadResult',
      element('Bucket', bucket.name) + element('Key', call.key) + element('ETag', object.etag),
    ),
  };
}

export async function abortUpload(call: Call): Promise<Answer> {
  call.bucket().abortUpload(theUpload(call));
  return { status: 204 };
}

export async function listParts(call: Call): Promise<Answer> {
  const upload = theUpload(call);
  const marker = wholeNumber(call.query.get('part-number-marker') ?? '0', 'part-number-marker', 0, 2 ** 31 - 1);
  const most = Math.min(wholeNumber(call.query.get('max-parts') ?? '1000', 'max-parts', 0, 2 ** 31 - 1), PAGE_LENGTH);
  const behind = [...upload.parts.values()].sort((a, b) => a.number - b.number).filter((part) => part.number > marker);
  const page = behind.slice(0, most);
  const parts = page.map((part) =>
    parent(
      'Part',
      element('PartNumber', part.number) +
        element('LastModified', part.modifiedAt.toISOString()) +
        element('ETag', `"${part.payload.md5}"`) +
        element('Size', part.payload.bytes.sizeBytes),
    ),
  );
  return {
    status: 200,
    body: xmlDocument(
      'ListPartsResult',
      element('Bucket', call.bucket().name) +
        element('Key', upload.key) +
        element('UploadId', upload.id) +
        element('PartNumberMarker', marker) +
        element('NextPartNumberMarker', page.at(-1)?.number ?? 0) +
        element('MaxParts', most) +
        element('IsTruncated', behind.length > page.length) +
        parts.join(''),
    ),
  };
}

/** @throws S3Error NotImplemented for upload-id-marker: pages begin behind a key here */
export async function listUploads(call: Call): Promise<Answer> {
  const bucket = call.bucket();
  const encoded = encodedNames(call);
  const most = Math.min(
    wholeNumber(call.query.get('max-uploads') ?? '1000', 'max-uploads', 1, 2 ** 31 - 1),
    PAGE_LENGTH,
  );
  const prefix = call.query.get('prefix') ?? '';
  const delimiter = call.query.get('delimiter') ?? '';
  const keyMarker = call.query.get('key-marker') ?? '';
  const idMarker = call.query.get('upload-id-marker') ?? '';
  const ordered = bucket.uploads();
  const markedAt = ordered.findIndex((upload) => upload.key === keyMarker && upload.id === idMarker);
  const page = listPage(ordered.slice(markedAt + 1), {
    prefix,
    delimiter,
    startAfter: markedAt >= 0 ? '' : keyMarker,
    continuationToken: null,
    maxKeys: most,
  });
  const last = page.items.at(-1);
  const uploads = page.items.map((upload) =>
    parent(
      'Upload',
      element('Key', encoded(upload.key)) +
        element('UploadId', upload.id) +
        element('StorageClass', 'STANDARD') +
        element('Initiated', upload.startedAt.toISOString()),
    ),
  );
  return {
    status: 200,
    body: xmlDocument(
      'ListMultipartUploadsResult',
      element('Bucket', bucket.name) +
        element('KeyMarker', encoded(keyMarker)) +
        element('UploadIdMarker', idMarker) +
        element('Prefix', encoded(prefix)) +
        element('MaxUploads', most) +
        element('IsTruncated', page.nextToken !== null) +
        (page.nextToken === null || last === undefined
          ? ''
          : element('NextKeyMarker', encoded(last.key)) + element('NextUploadIdMarker', last.id)) +
        uploads.join('') +
        page.commonPrefixes.map((name) => parent('CommonPrefixes', element('Prefix', encoded(name)))).join(''),
    ),
  };
}

function theUpload(call: Call): Upload {
  return call.bucket().upload(call.query.get('uploadId') ?? '', call.key);
}

function namedPart(xml: string, upload: Upload): NamedPart {
  const number = textOf(xml, 'PartNumber');
  const etag = textOf(xml, 'ETag');
  if (number === null || etag === null) throw new S3Error('MalformedXML');
  const checksum =
    upload.checksumAlgorithm === null ? null : textOf(xml, `Checksum${upload.checksumAlgorithm.toUpperCase()}`);
  return { number: wholeNumber(number, 'PartNumber', 1, MAXIMUM_PARTS), etag, checksum };
}
