import type { IncomingHttpHeaders } from 'node:http';
import type { Bucket } from './bucket.js';
import type { Payload } from './payload.js';
import { S3Error } from './s3-error.js';

/** One request, understood and with its signature verified. */
export interface Call {
  readonly key: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** The bucket that it names. @throws S3Error NoSuchBucket */
  bucket(): Bucket;
  /** Takes in the body, once, and verifies it. @throws S3Error */
  receive(): Promise<Payload>;
}

export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** XML, or an object's bytes; absent: none. */
  readonly body?: string | { readonly sizeBytes: number; readonly chunks: () => AsyncIterable<Buffer> };
}

export function header(call: Call, name: string): string | null {
  const value = call.headers[name];
  return typeof value === 'string' ? value : null;
}

/** @throws S3Error InvalidArgument for anything but a whole number from `least` to `most` */
export function wholeNumber(text: string, name: string, least: number, most: number): number {
  const number = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= least && number <= most) return number;
  throw new S3Error('InvalidArgument', { ArgumentName: name, ArgumentValue: text });
}

/** A body that is a document: read whole. */
export async function receiveText(call: Call): Promise<string> {
  const payload = await call.receive();
  const text = (await payload.bytes.whole()).toString('utf8');
  await payload.bytes.discard();
  return text;
}
