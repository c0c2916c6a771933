import { failpoint } from '../thread/failpoint.js';
import type { StateMedium } from './state-store.js';

/** What is needed of a bucket. The executor passes in the client that lakes have; keys are below the state's folder. */
export interface StateObjects {
  readonly place: string;
  get(
    key: string,
    signal?: AbortSignal,
  ): Promise<{ readonly etag: string; readonly body: Uint8Array; readonly modifiedAt: Date } | null>;
  /** @returns refused: the condition did not hold, or a repetition after a lost answer met the own write */
  put(
    key: string,
    body: Uint8Array,
    condition: { readonly kind: 'absent' } | { readonly kind: 'etag'; readonly etag: string } | null,
    signal?: AbortSignal,
  ): Promise<{ readonly kind: 'written'; readonly etag: string } | { readonly kind: 'refused' }>;
  delete(keys: readonly string[], signal?: AbortSignal): Promise<void>;
  /** By the clock of the store, which `modifiedAt` is told by. */
  serverTime(signal?: AbortSignal): Promise<Date | null>;
}

/** Where the objects of a state are. */
export interface S3StatePlace {
  /** `s3://bucket/folder/state.json`. */
  readonly url: string;
  /** The last part of its key. */
  readonly name: string;
  /** Opened when it is first needed; for writing it has been seen to honour conditions. */
  readonly objects: (use: 'read' | 'write') => Promise<StateObjects>;
}

/**
 * The state as one object, replaced by If-Match and If-None-Match. What a write replaces is kept as `<key>.backup`, which is
 * sent first: of two writers at once both send what they mean to replace, which is the same.
 */
export function s3Medium({ url, name, objects }: S3StatePlace): StateMedium {
  return {
    place: url,
    mend: `the version before is ${url}.backup. To go back to it: aws s3 cp ${url}.backup ${url}, then run sluice plan`,
    remote: true,
    async load() {
      const found = await (await objects('read')).get(name);
      return found === null ? null : { text: Buffer.from(found.body).toString('utf8'), version: found.etag };
    },
    async swap(text, version, kept) {
      const store = await objects('write');
      for (const copy of kept) {
        await store.put(`${name}.${copy.name}`, Buffer.from(copy.text), copy.once ? { kind: 'absent' } : null);
      }
      await failpoint('in_state_write');
      const condition = version === null ? { kind: 'absent' as const } : { kind: 'etag' as const, etag: version };
      return (await store.put(name, Buffer.from(text), condition)).kind;
    },
  };
}
