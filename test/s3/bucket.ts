import { createHash, randomBytes } from 'node:crypto';
import { KeptBytes } from './kept-bytes.js';
import type { Checksum, ChecksumAlgorithm, Payload } from './payload.js';
import { S3Error } from './s3-error.js';

export interface StoredObject {
  readonly key: string;
  readonly bytes: KeptBytes;
  /** With its quotes. */
  readonly etag: string;
  readonly modifiedAt: Date;
  readonly checksum: Checksum | null;
  readonly contentType: string;
}

export interface UploadedPart {
  readonly number: number;
  readonly payload: Payload;
  readonly modifiedAt: Date;
}

/** A multipart upload that has not been completed: nobody sees its parts in the bucket, and they are paid for. */
export interface Upload {
  readonly id: string;
  readonly key: string;
  readonly startedAt: Date;
  readonly contentType: string;
  /** Given when it was created: then completing it takes the checksum of every part. */
  readonly checksumAlgorithm: ChecksumAlgorithm | null;
  readonly parts: Map<number, UploadedPart>;
}

/** The headers If-Match and If-None-Match of a write. */
export interface WriteCondition {
  readonly ifMatch: string | null;
  readonly ifNoneMatch: string | null;
}

export interface NamedPart {
  readonly number: number;
  readonly etag: string;
  readonly checksum: string | null;
}

/** S3 refuses smaller parts but the last one when the upload is completed. */
const MINIMUM_PART_BYTES = 5 << 20;

/**
 * One bucket. Every change is a synchronous method that checks its condition and takes effect in one go, so that of
 * concurrent writes under a condition exactly one wins.
 */
export class Bucket {
  readonly name: string;
  readonly #now: () => Date;
  readonly #objects = new Map<string, StoredObject>();
  readonly #uploads = new Map<string, Upload>();
  #ordered: readonly StoredObject[] | null = null;

  constructor(name: string, now: () => Date) {
    this.name = name;
    this.#now = now;
  }

  /** @throws S3Error NoSuchKey */
  object(key: string): StoredObject {
    const found = this.#objects.get(key);
    if (found === undefined) throw new S3Error('NoSuchKey', { Key: key });
    return found;
  }

  /** All objects in the order of S3's listings: that of the keys' UTF-8 bytes. */
  objects(): readonly StoredObject[] {
    this.#ordered ??= [...this.#objects.values()]
      .map((object) => ({ object, bytes: Buffer.from(object.key, 'utf8') }))
      .sort((a, b) => Buffer.compare(a.bytes, b.bytes))
      .map(({ object }) => object);
    return this.#ordered;
  }

  /** @throws S3Error PreconditionFailed, NoSuchKey */
  put(key: string, payload: Payload, contentType: string, condition: WriteCondition): StoredObject {
    this.#check(key, condition);
    const etag = `"${payload.md5}"`;
    return this.#store({
      key,
      bytes: payload.bytes,
      etag,
      modifiedAt: this.#now(),
      checksum: payload.checksum,
      contentType,
    });
  }

  /** A key that is not there is no error. @throws S3Error PreconditionFailed */
  delete(key: string, ifMatch: string | null = null): void {
    const object = this.#objects.get(key);
    if (object === undefined) return;
    if (ifMatch !== null && ifMatch !== '*' && !sameEtag(ifMatch, object.etag)) {
      throw new S3Error('PreconditionFailed', { Condition: 'If-Match' });
    }
    this.#objects.delete(key);
    this.#ordered = null;
    void object.bytes.discard();
  }

  createUpload(key: string, contentType: string, checksumAlgorithm: ChecksumAlgorithm | null): Upload {
    const id = randomBytes(16).toString('hex');
    const upload = { id, key, startedAt: this.#now(), contentType, checksumAlgorithm, parts: new Map() };
    this.#uploads.set(id, upload);
    return upload;
  }

  /** @throws S3Error NoSuchUpload */
  upload(id: string, key: string): Upload {
    const upload = this.#uploads.get(id);
    if (upload === undefined || upload.key !== key) throw new S3Error('NoSuchUpload', { UploadId: id });
    return upload;
  }

  /** In the order of their keys, and the older first. */
  uploads(): readonly Upload[] {
    return [...this.#uploads.values()].sort(
      (a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)) || a.startedAt.getTime() - b.startedAt.getTime(),
    );
  }

  /** A part that is sent again replaces the one before. */
  putPart(upload: Upload, number: number, payload: Payload): UploadedPart {
    const part = { number, payload, modifiedAt: this.#now() };
    void upload.parts.get(number)?.payload.bytes.discard();
    upload.parts.set(number, part);
    return part;
  }

  /** @throws S3Error InvalidPart, InvalidPartOrder, EntityTooSmall, PreconditionFailed, NoSuchKey; the upload stays then */
  completeUpload(upload: Upload, named: readonly NamedPart[], condition: WriteCondition): StoredObject {
    const parts = named.map((name, index) => this.#namedPart(upload, name, named[index - 1]));
    for (const part of parts.slice(0, -1)) {
      if (part.payload.bytes.sizeBytes < MINIMUM_PART_BYTES) {
        throw new S3Error('EntityTooSmall', { PartNumber: String(part.number) });
      }
    }
    this.#check(upload.key, condition);
    const md5 = createHash('md5');
    for (const part of parts) md5.update(Buffer.from(part.payload.md5, 'hex'));
    this.#uploads.delete(upload.id);
    for (const part of upload.parts.values()) if (!parts.includes(part)) void part.payload.bytes.discard();
    return this.#store({
      key: upload.key,
      bytes: KeptBytes.joined(parts.map((part) => part.payload.bytes)),
      etag: `"${md5.digest('hex')}-${parts.length}"`,
      modifiedAt: this.#now(),
      checksum: null,
      contentType: upload.contentType,
    });
  }

  abortUpload(upload: Upload): void {
    this.#uploads.delete(upload.id);
    for (const part of upload.parts.values()) void part.payload.bytes.discard();
  }

  #namedPart(upload: Upload, name: NamedPart, before: NamedPart | undefined): UploadedPart {
    if (before !== undefined && before.number >= name.number) throw new S3Error('InvalidPartOrder');
    const part = upload.parts.get(name.number);
    if (part === undefined || !sameEtag(name.etag, part.payload.md5)) {
      throw new S3Error('InvalidPart', { PartNumber: String(name.number), ETag: name.etag });
    }
    if (upload.checksumAlgorithm !== null) {
      if (name.checksum === null) {
        throw new S3Error('InvalidRequest', {
          Message:
            `The upload was created using a ${upload.checksumAlgorithm} checksum. The complete request must include the ` +
            `checksum for each part. It was missing for part ${name.number} in the request.`,
        });
      }
      if (name.checksum !== part.payload.checksum?.value) {
        throw new S3Error('InvalidPart', { PartNumber: String(name.number) });
      }
    }
    return part;
  }

  #check(key: string, { ifMatch, ifNoneMatch }: WriteCondition): void {
    // Amazon knows no other forms for a write either.
    if (ifNoneMatch !== null && (ifNoneMatch !== '*' || ifMatch !== null)) {
      throw new S3Error('NotImplemented', { Header: 'If-None-Match' });
    }
    const present = this.#objects.get(key);
    if (ifNoneMatch !== null && present !== undefined) {
      throw new S3Error('PreconditionFailed', { Condition: 'If-None-Match' });
    }
    if (ifMatch === null) return;
    if (present === undefined) throw new S3Error('NoSuchKey', { Key: key });
    if (!sameEtag(ifMatch, present.etag)) throw new S3Error('PreconditionFailed', { Condition: 'If-Match' });
  }

  #store(object: StoredObject): StoredObject {
    const before = this.#objects.get(object.key);
    this.#objects.set(object.key, object);
    this.#ordered = null;
    void before?.bytes.discard();
    return object;
  }
}

/** ETags are compared with or without their quotes. */
export function sameEtag(a: string, b: string): boolean {
  return a.replaceAll('"', '') === b.replaceAll('"', '');
}
