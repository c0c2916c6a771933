import {
  type CommittedStream,
  type OnMessage,
  type OpenTransactionStore,
  Replay,
} from '../../src/pgoutput/transaction-assembler.js';

/** Keeps the messages of open transactions in arrays. */
export class MemoryStore implements OpenTransactionStore {
  readonly #open = new Map<number, { subXid: number; bytes: Buffer }[]>();

  /** Transactions that are kept. */
  get size(): number {
    return this.#open.size;
  }

  append(topXid: number, subXid: number, bytes: Uint8Array, start: number, end: number): void {
    const kept = this.#open.get(topXid) ?? [];
    kept.push({ subXid, bytes: Buffer.from(bytes.subarray(start, end)) });
    this.#open.set(topXid, kept);
  }

  remove(topXid: number): void {
    this.#open.delete(topXid);
  }

  replay(transaction: CommittedStream, onMessage: OnMessage): void {
    const replay = new Replay(transaction, onMessage);
    replay.begin();
    for (const { subXid, bytes } of this.#open.get(transaction.xid) ?? [])
      replay.message(subXid, bytes, 0, bytes.length);
    replay.commit();
    this.remove(transaction.xid);
  }
}
