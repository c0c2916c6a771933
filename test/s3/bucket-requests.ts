import { type Answer, type Call, header, receiveText, wholeNumber } from './call.js';
import type { Faults } from './fault.js';
import { listPage } from './listing.js';
import { S3Error } from './s3-error.js';
import { uriEncode } from './signature.js';
import { element, innerOf, parent, textOf, xmlDocument } from './xml.js';

const MAXIMUM_KEYS = 1000;

export async function headBucket(call: Call): Promise<Answer> {
  call.bucket();
  return { status: 200 };
}

export async function listObjects(call: Call): Promise<Answer> {
  const bucket = call.bucket();
  const parameter = (name: string) => call.query.get(name) ?? '';
  const token = call.query.get('continuation-token');
  const maxKeys = wholeNumber(call.query.get('max-keys') ?? String(MAXIMUM_KEYS), 'max-keys', 0, 2 ** 31 - 1);
  const encoded = encodedNames(call);
  const query = {
    prefix: parameter('prefix'),
    delimiter: parameter('delimiter'),
    startAfter: parameter('start-after'),
    continuationToken: token,
    maxKeys: Math.min(maxKeys, MAXIMUM_KEYS),
  };
  const page = listPage(bucket.objects(), query);
  const contents = page.items.map((object) =>
    parent(
      'Contents',
      element('Key', encoded(object.key)) +
        element('LastModified', object.modifiedAt.toISOString()) +
        element('ETag', object.etag) +
        element('Size', object.bytes.sizeBytes) +
        element('StorageClass', 'STANDARD'),
    ),
  );
  const prefixes = page.commonPrefixes.map((prefix) => parent('CommonPrefixes', element('Prefix', encoded(prefix))));
  return {
    status: 200,
    body: xmlDocument(
      'ListBucketResult',
      element('Name', bucket.name) +
        element('Prefix', encoded(query.prefix)) +
        (query.delimiter === '' ? '' : element('Delimiter', encoded(query.delimiter))) +
        (query.startAfter === '' ? '' : element('StartAfter', encoded(query.startAfter))) +
        (token === null ? '' : element('ContinuationToken', token)) +
        (page.nextToken === null ? '' : element('NextContinuationToken', page.nextToken)) +
        element('KeyCount', page.items.length + page.commonPrefixes.length) +
        element('MaxKeys', query.maxKeys) +
        (call.query.has('encoding-type') ? element('EncodingType', 'url') : '') +
        element('IsTruncated', page.nextToken !== null) +
        contents.join('') +
        prefixes.join(''),
    ),
  };
}

/** Each key has an answer of its own; a fault on the deletion of one of them becomes that key's error. */
export async function deleteObjects(call: Call, faults: Faults): Promise<Answer> {
  const bucket = call.bucket();
  if (
    header(call, 'content-md5') === null &&
    !Object.keys(call.headers).some((name) => /^x-amz-(checksum|trailer)/.test(name))
  ) {
    throw new S3Error('InvalidRequest', {
      Message: 'Missing required header for this request: Content-MD5 OR x-amz-checksum-*',
    });
  }
  const xml = await receiveText(call);
  const keys = innerOf(xml, 'Object').map((object) => textOf(object, 'Key'));
  if (keys.length === 0 || keys.length > MAXIMUM_KEYS) throw new S3Error('MalformedXML');
  const quiet = textOf(xml, 'Quiet') === 'true';
  const answers = keys.map((key) => {
    if (key === null) throw new S3Error('MalformedXML');
    const effect = faults.strike({ method: 'DELETE', key, operation: 'DeleteObject' });
    if (effect !== null && typeof effect === 'object' && 'answer' in effect) {
      const { code, message } = new S3Error(effect.answer);
      return parent('Error', element('Key', key) + element('Code', code) + element('Message', message));
    }
    bucket.delete(key);
    return quiet ? '' : parent('Deleted', element('Key', key));
  });
  return { status: 200, body: xmlDocument('DeleteResult', answers.join('')) };
}

/** With encoding-type=url names are escaped, as XML cannot carry every key; a blank becomes a plus. */
export function encodedNames(call: Call): (name: string) => string {
  const type = call.query.get('encoding-type');
  if (type === null) return (name) => name;
  if (type !== 'url') throw new S3Error('InvalidArgument', { ArgumentName: 'encoding-type', ArgumentValue: type });
  return (name) => name.split('/').map(uriEncode).join('/').replaceAll('%20', '+');
}
