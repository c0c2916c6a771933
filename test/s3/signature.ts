import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { S3Error } from './s3-error.js';

/** The one key that the in-process server knows. */
export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
}

export interface SignedRequest {
  readonly method: string;
  /** As sent, with its escapes. */
  readonly path: string;
  /** As sent, without the question mark. */
  readonly query: string;
  readonly headers: IncomingHttpHeaders;
}

/** What a verified request promises of its body. */
export interface PayloadPromise {
  /** The x-amz-content-sha256 header: a hash in hex, UNSIGNED-PAYLOAD or one of the STREAMING- words. */
  readonly contentSha256: string;
  /** Signs the chunks of a STREAMING-AWS4-HMAC-SHA256-PAYLOAD body, each over the signature before it. */
  readonly chunks: ChunkSigner;
}

const ALGORITHM = 'AWS4-HMAC-SHA256';
const MAXIMUM_SKEW_MS = 15 * 60_000;
export const EMPTY_SHA256 = createHash('sha256').digest('hex');

/**
 * Checks a request's Authorization header against the known key.
 * @throws S3Error AccessDenied without a header or with x-amz-* headers that are not signed, InvalidAccessKeyId,
 *   RequestTimeTooSkewed, SignatureDoesNotMatch, AuthorizationHeaderMalformed for another region
 * @see AWS Signature Version 4, "Authenticating Requests: Using the Authorization Header"
 */
export function verifySignature(request: SignedRequest, credentials: Credentials, now: Date): PayloadPromise {
  const { headers } = request;
  const authorization = headers.authorization;
  if (authorization === undefined) throw new S3Error('AccessDenied');
  const parts =
    /^AWS4-HMAC-SHA256\s+Credential=([^/,\s]+)\/(\d{8})\/([^/,\s]+)\/s3\/aws4_request\s*,\s*SignedHeaders=([^,\s]+)\s*,\s*Signature=([0-9a-f]{64})$/.exec(
      authorization,
    );
  if (parts === null) throw new S3Error('AuthorizationHeaderMalformed');
  const [, accessKeyId = '', day = '', region = '', signedList = '', signature = ''] = parts;
  if (accessKeyId !== credentials.accessKeyId) {
    throw new S3Error('InvalidAccessKeyId', { AWSAccessKeyId: accessKeyId });
  }
  if (region !== credentials.region) {
    throw new S3Error('AuthorizationHeaderMalformed', {
      Message: `The authorization header is malformed; the region '${region}' is wrong; expecting '${credentials.region}'`,
      Region: credentials.region,
    });
  }
  const date = String(headers['x-amz-date'] ?? '');
  checkTime(date, day, now);
  const signedNames = signedList.split(';');
  const unsigned = Object.keys(headers).filter((name) => name.startsWith('x-amz-') && !signedNames.includes(name));
  if (!signedNames.includes('host')) unsigned.push('host');
  if (unsigned.length > 0) {
    throw new S3Error('AccessDenied', {
      Message: 'There were headers present in the request which were not signed',
      HeadersNotSigned: unsigned.join(', '),
    });
  }
  const contentSha256 = headers['x-amz-content-sha256'];
  if (typeof contentSha256 !== 'string') {
    throw new S3Error('InvalidRequest', {
      Message: 'Missing required header for this request: x-amz-content-sha256',
    });
  }

  const scope = `${day}/${region}/s3/aws4_request`;
  const canonical = canonicalRequest(request, signedNames, contentSha256);
  const key = signingKey(credentials.secretAccessKey, day, region);
  const stringToSign = `${ALGORITHM}\n${date}\n${scope}\n${sha256(canonical)}`;
  const expected = hmac(key, stringToSign).toString('hex');
  if (!sameText(signature, expected)) {
    throw new S3Error('SignatureDoesNotMatch', { StringToSign: stringToSign, CanonicalRequest: canonical });
  }
  return { contentSha256, chunks: new ChunkSigner(key, date, scope, signature) };
}

/** The chain of signatures of an aws-chunked body: each chunk signs the one before it, so that none can be left out. */
export class ChunkSigner {
  readonly #key: Buffer;
  readonly #date: string;
  readonly #scope: string;
  #previous: string;

  constructor(key: Buffer, date: string, scope: string, seed: string) {
    this.#key = key;
    this.#date = date;
    this.#scope = scope;
    this.#previous = seed;
  }

  /** @throws S3Error SignatureDoesNotMatch */
  checkChunk(dataSha256: string, signature: string | null): void {
    this.#check(`${ALGORITHM}-PAYLOAD`, `${EMPTY_SHA256}\n${dataSha256}`, signature);
  }

  /** @param trailers `name:value` and a line feed for each trailing header but the signature's @throws S3Error */
  checkTrailers(trailers: string, signature: string | null): void {
    this.#check(`${ALGORITHM}-TRAILER`, sha256(trailers), signature);
  }

  #check(algorithm: string, hashes: string, signature: string | null): void {
    const text = `${algorithm}\n${this.#date}\n${this.#scope}\n${this.#previous}\n${hashes}`;
    const expected = hmac(this.#key, text).toString('hex');
    if (signature === null || !sameText(signature, expected)) throw new S3Error('SignatureDoesNotMatch');
    this.#previous = expected;
  }
}

/** All but letters, digits and -._~ is escaped, also what encodeURIComponent leaves: !'()* */
export function uriEncode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function checkTime(date: string, day: string, now: Date): void {
  const parts = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(date);
  if (parts === null || !date.startsWith(day)) {
    throw new S3Error('AccessDenied', { Message: 'AWS authentication requires a valid x-amz-date header' });
  }
  const [, year, month, dayOfMonth, hour, minute, second] = parts.map(Number);
  const sent = Date.UTC(year ?? 0, (month ?? 1) - 1, dayOfMonth, hour, minute, second);
  if (Math.abs(sent - now.getTime()) > MAXIMUM_SKEW_MS) {
    throw new S3Error('RequestTimeTooSkewed', {
      RequestTime: date,
      ServerTime: now.toISOString(),
      MaxAllowedSkewMilliseconds: String(MAXIMUM_SKEW_MS),
    });
  }
}

function canonicalRequest(request: SignedRequest, signedNames: readonly string[], contentSha256: string): string {
  const path = request.path.split('/').map((part) => uriEncode(decode(part)));
  const query = request.query
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const at = pair.indexOf('=');
      const name = at < 0 ? pair : pair.slice(0, at);
      return [uriEncode(decode(name)), uriEncode(decode(at < 0 ? '' : pair.slice(at + 1)))] as const;
    })
    .sort(([a, x], [b, y]) => compareText(a, b) || compareText(x, y))
    .map(([name, value]) => `${name}=${value}`);
  const headers = signedNames.map((name) => {
    const value = request.headers[name];
    const text = Array.isArray(value) ? value.join(',') : (value ?? '');
    return `${name}:${text.trim().replace(/ +/g, ' ')}\n`;
  });
  return [request.method, path.join('/'), query.join('&'), headers.join(''), signedNames.join(';'), contentSha256].join(
    '\n',
  );
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new S3Error('InvalidArgument', { Message: 'The address is not valid UTF-8 with percent escapes' });
  }
}

function signingKey(secret: string, day: string, region: string): Buffer {
  return hmac(hmac(hmac(hmac(`AWS4${secret}`, day), region), 's3'), 'aws4_request');
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function sameText(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
}
