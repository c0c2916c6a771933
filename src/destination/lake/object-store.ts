/**
 * What the lake's tables are kept in: a bucket's prefix or a folder. Keys are relative to it, plain ASCII with `/` between
 * their parts. Bodies that are given whole are small (commits, ledgers); data files are sent from and fetched to the disk.
 */
export interface ObjectStore {
  /** For messages: `s3://bucket/prefix` or the folder's path. */
  readonly place: string;
  /** A local folder's absolute path, where its files can be read in place; null for a bucket. */
  readonly folder: string | null;
  /** What was asked of the store since it was opened. */
  readonly traffic: StoreTraffic;

  /** @returns null where there is no such object */
  get(key: string, signal?: AbortSignal): Promise<StoredObject | null>;
  /** @param etag of an answer of get or put. @returns 'unchanged' where the object still has it */
  getIfChanged(key: string, etag: string, signal?: AbortSignal): Promise<StoredObject | 'unchanged' | null>;
  /**
   * Bytes `from` up to, but without, `to`: all of them.
   * @throws SluiceError STORE_OBJECT_MISSING; STORE_OBJECT_CHANGED where the object ends before `to`
   */
  getRange(key: string, from: number, to: number, signal?: AbortSignal): Promise<Uint8Array>;
  /**
   * Fetches an object to a new local file: complete, or not there at all. The file is not flushed to the disk.
   * @returns its size in bytes
   * @throws SluiceError STORE_OBJECT_MISSING; STORE_OBJECT_CHANGED where it was replaced or cut meanwhile
   */
  download(key: string, file: string, signal?: AbortSignal): Promise<number>;
  head(key: string, signal?: AbortSignal): Promise<ObjectInfo | null>;
  /**
   * Objects whose key begins with `prefix`, in the order of their keys as bytes.
   * @param options startAfter: only keys that sort behind it
   */
  list(prefix: string, options?: { readonly startAfter?: string }, signal?: AbortSignal): AsyncIterable<ObjectInfo>;

  /**
   * Writes a whole object; what an answer promises is durable.
   * @param condition absent: only where there is none; etag: only over the one with that etag (refused too where there is
   *   none); null: in any case
   * @returns refused: the condition did not hold. After an answer that was lost and a retry of the client this may also be
   *   said of a write that took effect: read the object to know.
   * @throws SluiceError STORE_UNREACHABLE after the retries; whether the write took effect is then unknown. STORE_CONFLICT
   *   where other writers of the key kept coming first; nothing was written then.
   */
  put(key: string, body: Uint8Array, condition: PutCondition | null, signal?: AbortSignal): Promise<PutResult>;
  /**
   * Sends a local file under a key that nobody else uses; files over 64 MB in parts. The file must not be written to
   * afterwards, only removed: in a folder it may become the object itself (a hard link).
   * @returns its size in bytes
   */
  upload(file: string, key: string, signal?: AbortSignal): Promise<number>;
  /** Keys that are not there are no error. */
  delete(keys: readonly string[], signal?: AbortSignal): Promise<void>;
  /**
   * Removes what writes that never ended left behind: unfinished multipart uploads below `prefix`; in a folder all
   * temporary files. Never newer ones than `olderThan`, which may belong to a write that is running.
   * @returns how many were removed
   */
  abortLeftovers(prefix: string, olderThan: Date, signal?: AbortSignal): Promise<number>;
  /** The clock of the store as its answers carry it, to a second; null for a folder, which has this machine's. */
  serverTime(signal?: AbortSignal): Promise<Date | null>;
  close(): Promise<void>;
}

export type PutCondition = { readonly kind: 'absent' } | { readonly kind: 'etag'; readonly etag: string };

export type PutResult = { readonly kind: 'written'; readonly etag: string } | { readonly kind: 'refused' };

export interface ObjectInfo {
  readonly key: string;
  readonly sizeBytes: number;
  readonly modifiedAt: Date;
}

export interface StoredObject extends ObjectInfo {
  /** Tells versions of the object apart, as the store writes it. */
  readonly etag: string;
  readonly body: Uint8Array;
}

/** Requests by their price class, as object stores bill them, and bytes of bodies. */
export interface StoreTraffic {
  /** PUT, COPY, POST: parts of an upload too. */
  readonly puts: number;
  readonly gets: number;
  readonly lists: number;
  readonly deletes: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
}
