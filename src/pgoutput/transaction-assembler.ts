import { SluiceError } from '../error/sluice-error.js';
import { POSTGRES_EPOCH_MICROS } from '../source/codec/calendar.js';
import { decodeMessage } from './decode-message.js';
import type { Lsn } from './lsn.js';
import { CODE, describeByte } from './message.js';
import { XidSet } from './xid-set.js';

/**
 * Where the messages of transactions that are still open on the server are kept. Bytes are valid during the call only.
 */
export interface OpenTransactionStore {
  /** One message without its transaction id, to be given back in this order. */
  append(topXid: number, subXid: number, bytes: Uint8Array, start: number, end: number): void;
  /** The transaction was rolled back. */
  remove(topXid: number): void;
}

/** A streamed transaction that has been committed; its messages lie in the store, for {@link Replay}. */
export interface CommittedStream {
  readonly xid: number;
  readonly finalLsn: Lsn;
  readonly endLsn: Lsn;
  /** Microseconds since 1970 UTC. */
  readonly commitTs: bigint;
  /** Row messages, those of subtransactions that were rolled back among them. */
  readonly rows: number;
  readonly aborted: XidSet;
}

export type OnMessage = (bytes: Uint8Array, start: number, end: number) => void;

export interface AssemblerOptions {
  readonly store: OpenTransactionStore;
  /** A message of an ordinary transaction, as it came. */
  readonly onMessage: OnMessage;
  /** An ordinary transaction is whole with the message that was handed on last. */
  readonly onCommit: (endLsn: Lsn, rows: number) => void;
  /** A streamed transaction takes its place in the order of commits here. */
  readonly onStreamed: (transaction: CommittedStream) => void;
}

interface OpenTransaction {
  readonly aborted: XidSet;
  rows: number;
}

/** Code byte and transaction id: what a message within a streamed block begins with. */
const STREAMED_HEADER_BYTES = 5;

/**
 * Puts the messages of a replication connection (pgoutput, protocol 1 or 2) into the order of commits. Large transactions
 * arrive in blocks while they are still open, each message with the id of its subtransaction; they are kept until the
 * server says how they ended.
 * @see Postgres docs, "Logical Streaming Replication Protocol" and "Streaming of Large Transactions for Logical Decoding"
 */
export class TransactionAssembler {
  readonly #options: AssemblerOptions;
  readonly #open = new Map<number, OpenTransaction>();
  /** The transaction whose block is being read. */
  #block: { readonly xid: number; readonly transaction: OpenTransaction } | null = null;
  #ordinary: { rows: number } | null = null;

  constructor(options: AssemblerOptions) {
    this.#options = options;
  }

  /** Between transactions and blocks: no message of either is missing. */
  get idle(): boolean {
    return this.#block === null && this.#ordinary === null;
  }

  /**
   * The next message; its bytes may be reused after the call.
   * @throws SluiceError PROTOCOL_VIOLATION for messages that are malformed, unknown or out of order
   */
  push(bytes: Uint8Array, start: number, end: number): void {
    if (start >= end || end > bytes.length) throw violation('an empty or cut pgoutput message');
    const code = bytes[start]!;
    switch (code) {
      case CODE.streamStart: // S
      case CODE.streamStop: // E
      case CODE.streamCommit: // c
      case CODE.streamAbort: // A
        this.#control(bytes, start, end);
        return;
      case CODE.origin: // O: says where a transaction came from, which nobody asks; it carries no transaction id either
        decodeMessage(bytes, start, end);
        return;
      case CODE.begin: // B
      case CODE.commit: // C
        if (this.#block !== null) throw violation(`${describeByte(code)} within a streamed block`);
        this.#ordinaryEnds(code, bytes, start, end);
        return;
      case CODE.relation: // R
      case CODE.type: // Y
      case CODE.insert: // I
      case CODE.update: // U
      case CODE.delete: // D
      case CODE.truncate: // T
      case CODE.message: // M
        if (this.#block === null) this.#pass(code, bytes, start, end);
        else this.#keep(this.#block, code, bytes, start, end);
        return;
      default:
        throw violation(`pgoutput message ${describeByte(code)}: unknown code`);
    }
  }

  #ordinaryEnds(code: number, bytes: Uint8Array, start: number, end: number): void {
    const message = decodeMessage(bytes, start, end);
    this.#options.onMessage(bytes, start, end);
    if (message.kind === 'commit') {
      if (this.#ordinary === null) throw violation(`${describeByte(code)} outside of a transaction`);
      const { rows } = this.#ordinary;
      this.#ordinary = null;
      this.#options.onCommit(message.endLsn, rows);
    } else {
      if (this.#ordinary !== null) throw violation('a transaction within a transaction');
      this.#ordinary = { rows: 0 };
    }
  }

  #pass(code: number, bytes: Uint8Array, start: number, end: number): void {
    if (this.#ordinary === null) {
      // A logical message that is no part of a transaction comes whenever it was written.
      if (code === CODE.message) return;
      throw violation(`pgoutput message ${describeByte(code)} outside of a transaction`);
    }
    if (isRow(code)) this.#ordinary.rows += 1;
    this.#options.onMessage(bytes, start, end);
  }

  #keep(
    { xid, transaction }: { readonly xid: number; readonly transaction: OpenTransaction },
    code: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): void {
    if (end - start < STREAMED_HEADER_BYTES) throw violation(`pgoutput message ${describeByte(code)}: cut short`);
    if (isRow(code)) transaction.rows += 1;
    const at = start + 1;
    const subXid = ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
    // The last byte of the transaction id makes way for the code: what is kept is a message of protocol 1.
    const from = start + STREAMED_HEADER_BYTES - 1;
    const replaced = bytes[from]!;
    bytes[from] = code;
    try {
      this.#options.store.append(xid, subXid, bytes, from, end);
    } finally {
      bytes[from] = replaced;
    }
  }

  #control(bytes: Uint8Array, start: number, end: number): void {
    const message = decodeMessage(bytes, start, end);
    switch (message.kind) {
      case 'stream_start':
        if (!this.idle) throw violation('a streamed block within a transaction');
        this.#start(message.xid, message.firstSegment);
        return;
      case 'stream_stop':
        if (this.#block === null) throw violation('the end of a streamed block that was not begun');
        this.#block = null;
        return;
      case 'stream_commit': {
        if (!this.idle) throw violation('the commit of a streamed transaction within another');
        const transaction = this.#open.get(message.xid);
        if (transaction === undefined) throw violation(`the commit of transaction ${message.xid}, which never came`);
        this.#open.delete(message.xid);
        const { xid, commitLsn, endLsn, commitTs } = message;
        this.#options.onStreamed({ xid, finalLsn: commitLsn, endLsn, commitTs, ...transaction });
        return;
      }
      case 'stream_abort':
        if (!this.idle) throw violation('the rollback of a streamed transaction within another');
        this.#abort(message.xid, message.subxid);
        return;
      default:
        throw violation(`a ${message.kind} where a streamed transaction was due`);
    }
  }

  #start(xid: number, first: boolean): void {
    let transaction = this.#open.get(xid);
    if (first !== (transaction === undefined)) {
      throw violation(`the ${first ? 'first' : 'next'} block of transaction ${xid} out of order`);
    }
    if (transaction === undefined) {
      transaction = { aborted: new XidSet(), rows: 0 };
      this.#open.set(xid, transaction);
    }
    this.#block = { xid, transaction };
  }

  /** One that never came has left nothing behind. */
  #abort(xid: number, subXid: number): void {
    if (xid !== subXid) {
      this.#open.get(xid)?.aborted.add(subXid);
      return;
    }
    if (this.#open.delete(xid)) this.#options.store.remove(xid);
  }
}

/**
 * Turns a kept transaction into messages of protocol 1: Begin, its messages, Commit. Changes of subtransactions that were
 * rolled back are left out; their descriptions of relations and types are not, as the server gives each only once in a
 * transaction.
 */
export class Replay {
  readonly #transaction: CommittedStream;
  readonly #onMessage: OnMessage;

  constructor(transaction: CommittedStream, onMessage: OnMessage) {
    this.#transaction = transaction;
    this.#onMessage = onMessage;
  }

  begin(): void {
    const { finalLsn, commitTs, xid } = this.#transaction;
    const message = Buffer.alloc(21);
    message[0] = CODE.begin;
    message.writeBigUInt64BE(finalLsn, 1);
    message.writeBigInt64BE(wireTime(commitTs), 9);
    message.writeUInt32BE(xid, 17);
    this.#onMessage(message, 0, message.length);
  }

  /** A message as the store was given it. */
  message(subXid: number, bytes: Uint8Array, start: number, end: number): void {
    const code = bytes[start];
    const describes = code === CODE.relation || code === CODE.type;
    if (describes || !this.#transaction.aborted.has(subXid)) this.#onMessage(bytes, start, end);
  }

  commit(): void {
    const { finalLsn, endLsn, commitTs } = this.#transaction;
    const message = Buffer.alloc(26);
    message[0] = CODE.commit;
    message.writeBigUInt64BE(finalLsn, 2);
    message.writeBigUInt64BE(endLsn, 10);
    message.writeBigInt64BE(wireTime(commitTs), 18);
    this.#onMessage(message, 0, message.length);
  }
}

function wireTime(commitTs: bigint): bigint {
  return BigInt.asIntN(64, commitTs - BigInt(POSTGRES_EPOCH_MICROS));
}

function isRow(code: number): boolean {
  return code === CODE.insert || code === CODE.update || code === CODE.delete;
}

function violation(message: string): SluiceError {
  return new SluiceError({ code: 'PROTOCOL_VIOLATION', message });
}
