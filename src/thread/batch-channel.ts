import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { fromPlain, type PlainError, SluiceError, toPlain } from '../error/sluice-error.js';

/**
 * A one-way pipe of messages between two worker threads, with backpressure. The receiver may block its thread while it
 * waits (DuckDB's table function callback is synchronous), so a shared counter wakes it instead of its event loop.
 */
export interface ChannelEnds {
  readonly sender: ChannelEnd;
  readonly receiver: ChannelEnd;
}

/** Cloneable; the port has to be in the transfer list. */
export interface ChannelEnd {
  readonly port: MessagePort;
  readonly shared: SharedArrayBuffer;
  /** Of a channel that is read together with others: rung with each message, as a receiver can wait in one place only. */
  readonly bell?: SharedArrayBuffer;
}

/** Slots of the shared Int32Array. */
export const POSTED = 0;
export const TAKEN = 1;
export const INTERRUPT = 2;
export const INTERRUPTED = 1;
export const ABANDONED = 2;
export const SHARED_BYTES = 16;

/** How long one wait lasts before the receiver looks again; only a safety net for a lost wake-up. */
export const WAIT_SLICE_MS = 1_000;

export function openBatchChannel(): ChannelEnds {
  const { port1, port2 } = new MessageChannel();
  const shared = new SharedArrayBuffer(SHARED_BYTES);
  return { sender: { port: port1, shared }, receiver: { port: port2, shared } };
}

/** Asks a receiver that is blocked in {@link BatchReceiver.next} to return 'interrupted'; it stays asked until cleared. */
export function interruptReceiver(shared: SharedArrayBuffer): void {
  const words = new Int32Array(shared);
  Atomics.compareExchange(words, INTERRUPT, 0, INTERRUPTED);
  Atomics.notify(words, POSTED);
}

/**
 * One side is gone: a blocked receiver throws CANCELLED, as no end will ever be posted, and so does a sender that waits
 * for room, as nobody takes anything any more.
 */
export function abandonReceiver(shared: SharedArrayBuffer): void {
  const words = new Int32Array(shared);
  Atomics.store(words, INTERRUPT, ABANDONED);
  Atomics.notify(words, POSTED);
}

export function clearInterrupt(shared: SharedArrayBuffer): void {
  Atomics.compareExchange(new Int32Array(shared), INTERRUPT, INTERRUPTED, 0);
}

export type Envelope<T> =
  | { readonly kind: 'item'; readonly item: T }
  | { readonly kind: 'end' }
  | { readonly kind: 'error'; readonly error: PlainError };

export class BatchSender<T> {
  readonly #port: MessagePort;
  readonly #words: Int32Array;
  readonly #window: number;
  /** Where the receiver waits and asks for something. */
  readonly #bell: Int32Array;
  #closed = false;

  /** @param window items that may be under way before {@link isFull} says so */
  constructor(end: ChannelEnd, window: number) {
    this.#port = end.port;
    this.#words = new Int32Array(end.shared);
    this.#bell = end.bell === undefined ? this.#words : new Int32Array(end.bell);
    this.#window = window;
    // The sender waits for room by looking at the shared counter; the port itself must not keep the thread alive.
    this.#port.unref();
  }

  get isFull(): boolean {
    return Atomics.load(this.#words, POSTED) - Atomics.load(this.#words, TAKEN) >= this.#window;
  }

  send(item: T, transfer: readonly ArrayBuffer[]): void {
    this.#post({ kind: 'item', item }, transfer);
  }

  /** Resolves once there is room again. @throws SluiceError CANCELLED when the receiver is gone */
  async waitForRoom(signal: AbortSignal): Promise<void> {
    while (this.isFull) {
      signal.throwIfAborted();
      if (Atomics.load(this.#bell, INTERRUPT) === ABANDONED) {
        throw new SluiceError({ code: 'CANCELLED', message: 'the writer of these rows has stopped' });
      }
      const taken = Atomics.load(this.#words, TAKEN);
      const wait = Atomics.waitAsync(this.#words, TAKEN, taken, WAIT_SLICE_MS);
      if (wait.async) await wait.value;
    }
  }

  end(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#post({ kind: 'end' }, []);
  }

  /** The receiver's next() throws the error. */
  fail(error: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#post({ kind: 'error', error: toPlain(error) }, []);
  }

  #post(envelope: Envelope<T>, transfer: readonly ArrayBuffer[]): void {
    this.#port.postMessage(envelope, [...transfer]);
    Atomics.add(this.#words, POSTED, 1);
    if (this.#bell !== this.#words) Atomics.add(this.#bell, POSTED, 1);
    Atomics.notify(this.#bell, POSTED);
  }
}

export class BatchReceiver<T> {
  readonly #port: MessagePort;
  readonly #words: Int32Array;
  #ended = false;

  constructor(end: ChannelEnd) {
    this.#port = end.port;
    this.#words = new Int32Array(end.shared);
    this.#port.unref();
  }

  /** The next item, blocking the thread for it; null after the last. 'interrupted' when {@link interruptReceiver} was called. */
  next(): T | null | 'interrupted' {
    if (this.#ended) return null;
    for (;;) {
      const interrupt = Atomics.load(this.#words, INTERRUPT);
      if (interrupt === INTERRUPTED) return 'interrupted';
      if (interrupt === ABANDONED) {
        throw new SluiceError({ code: 'CANCELLED', message: 'the reader of these rows has stopped' });
      }
      const posted = Atomics.load(this.#words, POSTED);
      const received = receiveMessageOnPort(this.#port);
      if (received === undefined) {
        Atomics.wait(this.#words, POSTED, posted, WAIT_SLICE_MS);
        continue;
      }
      Atomics.add(this.#words, TAKEN, 1);
      Atomics.notify(this.#words, TAKEN);
      const envelope = received.message as Envelope<T>;
      switch (envelope.kind) {
        case 'item':
          return envelope.item;
        case 'end':
          this.#ended = true;
          return null;
        case 'error':
          this.#ended = true;
          throw fromPlain(envelope.error);
        default:
          throw new SluiceError({ code: 'INTERNAL', message: 'unknown message on a batch channel' });
      }
    }
  }

  close(): void {
    this.#ended = true;
    this.#port.close();
  }
}
