import { setTimeout as sleep } from 'node:timers/promises';
import type { S3ErrorCode } from './s3-error.js';

/** What a fault or a test sees of a request. */
export interface FaultableRequest {
  readonly method: string;
  /** Without the bucket; empty for requests to the bucket itself. */
  readonly key: string;
  /** S3's name of the operation, such as PutObject or UploadPart. */
  readonly operation: string;
}

/**
 * What goes wrong.
 * - drop: the connection breaks and nothing has happened.
 * - lose_answer: everything happened, and the connection breaks before the answer.
 * - answer: an error instead of the effect, such as SlowDown (503), InternalError (500) or ConditionalRequestConflict (409).
 * - delayMs, until: the effect comes later.
 * - cutAfterBytes: the answer's body breaks off there.
 */
export type FaultEffect =
  | 'drop'
  | 'lose_answer'
  | { readonly answer: S3ErrorCode }
  | { readonly delayMs: number }
  | { readonly until: Promise<unknown> }
  | { readonly cutAfterBytes: number };

export interface Fault {
  readonly on: (request: FaultableRequest) => boolean;
  readonly does: FaultEffect;
  /** How often it strikes; Infinity until it is cleared. Default 1. */
  readonly times?: number;
}

export interface PlacedFault {
  /** How often it has struck. */
  readonly struck: number;
  clear(): void;
}

/** The faults that wait for their request; the one that was placed first strikes first. */
export class Faults {
  readonly #placed = new Set<{ readonly fault: Fault; struck: number }>();

  place(fault: Fault): PlacedFault {
    const entry = { fault, struck: 0 };
    this.#placed.add(entry);
    return {
      get struck() {
        return entry.struck;
      },
      clear: () => void this.#placed.delete(entry),
    };
  }

  strike(request: FaultableRequest): FaultEffect | null {
    for (const entry of this.#placed) {
      if (!entry.fault.on(request)) continue;
      entry.struck += 1;
      if (entry.struck >= (entry.fault.times ?? 1)) this.#placed.delete(entry);
      return entry.fault.does;
    }
    return null;
  }
}

/** Waits for as long as a fault says; the end of the server ends it too. */
export async function holdUp(effect: FaultEffect | null, stopped: AbortSignal): Promise<void> {
  if (effect === null || typeof effect === 'string') return;
  if ('delayMs' in effect) await sleep(effect.delayMs, undefined, { signal: stopped });
  if ('until' in effect) {
    const stop = new Promise((_, reject) => {
      stopped.addEventListener('abort', () => reject(stopped.reason), { once: true });
    });
    await Promise.race([effect.until, stop]);
  }
}
