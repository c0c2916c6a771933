import { createHash } from 'node:crypto';
import { request } from 'node:http';
import { describe, expect, test } from 'vitest';
import { type MemoryS3, startMemoryS3 } from './memory-s3.js';
import { S3Error, type S3ErrorCode } from './s3-error.js';
import { EMPTY_SHA256, type SignedRequest, verifySignature } from './signature.js';

// The examples of Amazon's documentation: the key, the date, the requests and their signatures.
const KEY = {
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  region: 'us-east-1',
};
const THEN = new Date('2013-05-24T00:00:00Z');
const DATE = '20130524T000000Z';

function signed(
  line: { method: string; path: string; query?: string },
  headers: Record<string, string>,
  signature: string,
): SignedRequest {
  const all = { 'x-amz-date': DATE, ...headers };
  const names = Object.keys(all).sort().join(';');
  const authorization = `AWS4-HMAC-SHA256 Credential=${KEY.accessKeyId}/20130524/us-east-1/s3/aws4_request,SignedHeaders=${names},Signature=${signature}`;
  return { query: '', ...line, headers: { ...all, authorization } };
}

const HOST = { host: 'examplebucket.s3.amazonaws.com', 'x-amz-content-sha256': EMPTY_SHA256 };
const GET_OBJECT = signed(
  { method: 'GET', path: '/test.txt' },
  { ...HOST, range: 'bytes=0-9' },
  'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
);

function verdict(request: SignedRequest, now = THEN, key = KEY): S3ErrorCode | 'ok' {
  try {
    verifySignature(request, key, now);
    return 'ok';
  } catch (error) {
    if (error instanceof S3Error) return error.code;
    throw error;
  }
}

describe('signatures of the documentation hold', () => {
  test.each<{ name: string; request: SignedRequest }>([
    { name: 'GET with a range', request: GET_OBJECT },
    {
      name: 'PUT of a name with an escape',
      request: signed(
        { method: 'PUT', path: '/test%24file.text' },
        {
          host: HOST.host,
          date: 'Fri, 24 May 2013 00:00:00 GMT',
          'x-amz-content-sha256': '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072',
          'x-amz-storage-class': 'REDUCED_REDUNDANCY',
        },
        '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
      ),
    },
    {
      name: 'a parameter without a value',
      request: signed(
        { method: 'GET', path: '/', query: 'lifecycle' },
        HOST,
        'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
      ),
    },
    {
      name: 'several parameters, in any order',
      request: signed(
        { method: 'GET', path: '/', query: 'prefix=J&max-keys=2' },
        HOST,
        '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
      ),
    },
  ])('$name', ({ request }) => expect(verdict(request)).toBe('ok'));
});

describe('a request is refused', () => {
  const minutes = (count: number) => new Date(THEN.getTime() + count * 60_000);
  const headers = (change: Record<string, string | undefined>): SignedRequest => ({
    ...GET_OBJECT,
    headers: { ...GET_OBJECT.headers, ...change },
  });
  test.each<{ name: string; request: SignedRequest; code: S3ErrorCode; now?: Date; key?: typeof KEY }>([
    { name: 'without a signature', request: headers({ authorization: undefined }), code: 'AccessDenied' },
    { name: 'with another path', request: { ...GET_OBJECT, path: '/test.tx' }, code: 'SignatureDoesNotMatch' },
    { name: 'with another method', request: { ...GET_OBJECT, method: 'PUT' }, code: 'SignatureDoesNotMatch' },
    { name: 'with another parameter', request: { ...GET_OBJECT, query: 'a' }, code: 'SignatureDoesNotMatch' },
    { name: 'with another header', request: headers({ range: 'bytes=0-8' }), code: 'SignatureDoesNotMatch' },
    {
      name: 'with another secret',
      request: GET_OBJECT,
      key: { ...KEY, secretAccessKey: 'x' },
      code: 'SignatureDoesNotMatch',
    },
    { name: 'with an unknown key', request: GET_OBJECT, key: { ...KEY, accessKeyId: 'x' }, code: 'InvalidAccessKeyId' },
    {
      name: 'for another region',
      request: GET_OBJECT,
      key: { ...KEY, region: 'x' },
      code: 'AuthorizationHeaderMalformed',
    },
    { name: 'with a header that is not signed', request: headers({ 'x-amz-acl': 'private' }), code: 'AccessDenied' },
    { name: '16 minutes later', request: GET_OBJECT, now: minutes(16), code: 'RequestTimeTooSkewed' },
    { name: '16 minutes early', request: GET_OBJECT, now: minutes(-16), code: 'RequestTimeTooSkewed' },
  ])('$name', ({ request, now, key, code }) => expect(verdict(request, now, key)).toBe(code));

  test('but not 14 minutes later', () => expect(verdict(GET_OBJECT, minutes(14))).toBe('ok'));
});

describe('a body in signed chunks', () => {
  // 66,560 bytes in chunks of 64 KiB, 1 KiB and none.
  const chunk = (size: number, signature: string) =>
    `${size.toString(16)};chunk-signature=${signature}\r\n${'a'.repeat(size)}\r\n`;
  const body =
    chunk(65_536, 'ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648') +
    chunk(1024, '0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497') +
    chunk(0, 'b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9');

  const put = signed(
    { method: 'PUT', path: '/examplebucket/chunkObject.txt' },
    {
      'content-encoding': 'aws-chunked',
      'content-length': '66824',
      host: 's3.amazonaws.com',
      'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
      'x-amz-decoded-content-length': '66560',
      'x-amz-storage-class': 'REDUCED_REDUNDANCY',
    },
    '4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9',
  );

  test.each<{ name: string; sent: string; status: number; stored: number }>([
    { name: 'is taken apart', sent: body, status: 200, stored: 1 },
    { name: 'with another byte is refused', sent: body.replace('aaa', 'aba'), status: 403, stored: 0 },
    {
      name: 'with another signature of its end is refused',
      sent: body.replace('449df9', '449df8'),
      status: 403,
      stored: 0,
    },
  ])('$name', async ({ sent, status, stored }) => {
    const s3 = await startMemoryS3({ bucket: 'examplebucket', ...KEY, now: () => THEN });
    try {
      expect(await send(s3, put, sent)).toBe(status);
      expect(s3.objects()).toHaveLength(stored);
      for (const { key, etag } of s3.objects()) {
        expect((await s3.read(key)).toString()).toBe('a'.repeat(66_560));
        expect(etag).toBe(`"${createHash('md5').update('a'.repeat(66_560)).digest('hex')}"`);
      }
    } finally {
      await s3.stop();
    }
  });
});

function send(s3: MemoryS3, { method, path, headers }: SignedRequest, body: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const call = request(`${s3.endpoint}${path}`, { method, headers }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    call.once('error', reject);
    call.end(body);
  });
}
