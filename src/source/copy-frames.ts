import { SluiceError } from '../error/sluice-error.js';

const CODE_COPY_DATA = 0x64; // d
const CODE_COPY_DONE = 0x63; // c
const CODE_COPY_OUT = 0x48; // H
const CODE_COPY_BOTH = 0x57; // W
const CODE_COMMAND_COMPLETE = 0x43; // C
const CODE_ERROR = 0x45; // E
const CODE_NOTICE = 0x4e; // N
const CODE_PARAMETER_STATUS = 0x53; // S
const CODE_READY = 0x5a; // Z
const CODE_NOTIFICATION = 0x41; // A
const CODE_EMPTY_QUERY = 0x49; // I
const CODE_ROW_DESCRIPTION = 0x54; // T
const CODE_DATA_ROW = 0x44; // D

/** Code and length of a message. */
const HEADER_BYTES = 5;
/** Messages other than CopyData are put together before they are read; none that we ask for is near that large. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
const FIRST_CARRY_BYTES = 1024;

/** The fields of ErrorResponse and NoticeResponse by their letters. */
export interface ServerMessage {
  /** Not localised: ERROR, FATAL, PANIC, WARNING, NOTICE, ... */
  readonly severity: string;
  readonly sqlState: string;
  readonly message: string;
  readonly detail: string | null;
  readonly hint: string | null;
  readonly where: string | null;
}

/** What the server says while a COPY runs. Bytes are only valid during the call. */
export interface CopyFrameHandlers {
  /** A piece of CopyData payload; `last` is true on the piece that ends its message. Whole messages come in one piece unless a chunk cut them. */
  onCopyData(bytes: Uint8Array, start: number, end: number, last: boolean): void;
  /** CopyOutResponse, or CopyBothResponse on a replication connection. `binary` is the overall format. */
  onCopyStart?(binary: boolean, columns: number): void;
  onCopyDone?(): void;
  /** The command tag, such as `COPY 3000000`. */
  onCommandComplete?(tag: string): void;
  onError(error: ServerMessage): void;
  onNotice?(notice: ServerMessage): void;
  onParameter?(name: string, value: string): void;
  /** I idle, T in a transaction, E in a failed one. */
  onReady?(status: 'I' | 'T' | 'E'): void;
}

/**
 * Splits the raw bytes of a connection in COPY into backend messages, wherever its chunks are cut. CopyData is handed on
 * in place and never copied; other messages are put together where a chunk cut them.
 * @see Postgres docs, "Message Formats"
 */
export class CopyFrameSplitter {
  private readonly handlers: CopyFrameHandlers;
  /** Bytes of the current CopyData that are still to come. */
  private copyDataLeft = 0;
  private carry = Buffer.allocUnsafe(FIRST_CARRY_BYTES);
  private carried = 0;

  constructor(handlers: CopyFrameHandlers) {
    this.handlers = handlers;
  }

  /**
   * The next bytes of the connection; they may be reused after the call.
   * @throws SluiceError PROTOCOL_VIOLATION
   */
  feed(bytes: Uint8Array, start: number, end: number): void {
    let at = start;
    if (this.copyDataLeft > 0) at = this.passCopyData(bytes, at, end);
    while (this.carried > 0 && at < end) at = this.completeCarried(bytes, at, end);
    while (at < end) {
      if (end - at < HEADER_BYTES) {
        this.appendCarry(bytes, at, end);
        return;
      }
      const code = bytes[at]!;
      const length = messageLength(bytes, at);
      if (code === CODE_COPY_DATA) {
        this.copyDataLeft = length - 4;
        at = this.startCopyData(bytes, at + HEADER_BYTES, end);
      } else {
        const next = at + 1 + length;
        if (next > end) {
          this.appendCarry(bytes, at, end);
          return;
        }
        this.handleMessage(code, bytes, at + HEADER_BYTES, next);
        at = next;
      }
    }
  }

  /** True between messages: nothing of a message is missing. */
  get idle(): boolean {
    return this.carried === 0 && this.copyDataLeft === 0;
  }

  private startCopyData(bytes: Uint8Array, at: number, end: number): number {
    if (this.copyDataLeft > 0) return this.passCopyData(bytes, at, end);
    this.handlers.onCopyData(bytes, at, at, true);
    return at;
  }

  private passCopyData(bytes: Uint8Array, at: number, end: number): number {
    if (at >= end) return at;
    const to = Math.min(end, at + this.copyDataLeft);
    this.copyDataLeft -= to - at;
    this.handlers.onCopyData(bytes, at, to, this.copyDataLeft === 0);
    return to;
  }

  /** Takes one step towards a message that earlier chunks began: first its header, then its body. */
  private completeCarried(bytes: Uint8Array, start: number, end: number): number {
    const wanted = this.carried < HEADER_BYTES ? HEADER_BYTES : 1 + messageLength(this.carry, 0);
    const take = Math.min(wanted - this.carried, end - start);
    this.appendCarry(bytes, start, start + take);
    const at = start + take;
    if (this.carried < HEADER_BYTES) return at;
    const code = this.carry[0]!;
    const length = messageLength(this.carry, 0);
    if (code === CODE_COPY_DATA) {
      this.carried = 0;
      this.copyDataLeft = length - 4;
      return this.startCopyData(bytes, at, end);
    }
    if (this.carried === 1 + length) {
      this.carried = 0;
      this.handleMessage(code, this.carry, HEADER_BYTES, 1 + length);
    }
    return at;
  }

  private appendCarry(bytes: Uint8Array, start: number, end: number): void {
    const size = this.carried + end - start;
    if (size > MAX_MESSAGE_BYTES) throw violation(`a message of more than ${MAX_MESSAGE_BYTES} bytes`);
    if (size > this.carry.length) {
      const wider = Buffer.allocUnsafe(Math.max(size, this.carry.length * 2));
      wider.set(this.carry.subarray(0, this.carried));
      this.carry = wider;
    }
    this.carry.set(bytes.subarray(start, end), this.carried);
    this.carried = size;
  }

  private handleMessage(code: number, bytes: Uint8Array, start: number, end: number): void {
    const { handlers } = this;
    switch (code) {
      case CODE_COPY_OUT:
      case CODE_COPY_BOTH: {
        if (end - start < 3) throw violation('a cut CopyOutResponse');
        handlers.onCopyStart?.(bytes[start] === 1, (bytes[start + 1]! << 8) | bytes[start + 2]!);
        return;
      }
      case CODE_COPY_DONE:
        handlers.onCopyDone?.();
        return;
      case CODE_COMMAND_COMPLETE:
        handlers.onCommandComplete?.(cString(bytes, start, end).text);
        return;
      case CODE_ERROR:
        handlers.onError(serverMessage(bytes, start, end));
        return;
      case CODE_NOTICE:
        handlers.onNotice?.(serverMessage(bytes, start, end));
        return;
      case CODE_PARAMETER_STATUS: {
        const name = cString(bytes, start, end);
        handlers.onParameter?.(name.text, cString(bytes, name.next, end).text);
        return;
      }
      case CODE_READY:
        handlers.onReady?.(transactionStatus(bytes[start]));
        return;
      // Of a statement before the COPY on the same connection, or of LISTEN: nothing to do.
      case CODE_NOTIFICATION:
      case CODE_EMPTY_QUERY:
      case CODE_ROW_DESCRIPTION:
      case CODE_DATA_ROW:
        return;
      default:
        throw violation(`an unknown message ${describeByte(code)} during COPY`);
    }
  }
}

/** The length of a message as it says itself: four bytes for the length and the body, not the code. */
function messageLength(bytes: Uint8Array, at: number): number {
  const length = (bytes[at + 1]! << 24) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 8) | bytes[at + 4]!;
  if (length < 4) throw violation(`a message ${describeByte(bytes[at]!)} of ${length} bytes`);
  return length;
}

function serverMessage(bytes: Uint8Array, start: number, end: number): ServerMessage {
  const fields = new Map<string, string>();
  for (let at = start; at < end && bytes[at] !== 0; ) {
    const { text, next } = cString(bytes, at + 1, end);
    fields.set(String.fromCharCode(bytes[at]!), text);
    at = next;
  }
  return {
    severity: fields.get('V') ?? fields.get('S') ?? 'ERROR',
    sqlState: fields.get('C') ?? 'XX000',
    message: fields.get('M') ?? 'the server gave no message',
    detail: fields.get('D') ?? null,
    hint: fields.get('H') ?? null,
    where: fields.get('W') ?? null,
  };
}

function cString(bytes: Uint8Array, start: number, end: number): { readonly text: string; readonly next: number } {
  const zero = bytes.indexOf(0, start);
  if (zero < 0 || zero >= end) throw violation('a text without its end');
  return { text: Buffer.from(bytes.buffer, bytes.byteOffset + start, zero - start).toString('utf8'), next: zero + 1 };
}

function transactionStatus(byte: number | undefined): 'I' | 'T' | 'E' {
  if (byte === 0x49) return 'I';
  if (byte === 0x54) return 'T';
  if (byte === 0x45) return 'E';
  throw violation(`an unknown transaction status ${byte}`);
}

function describeByte(byte: number): string {
  const hex = `0x${byte.toString(16).padStart(2, '0')}`;
  return byte > 0x20 && byte < 0x7f ? `"${String.fromCharCode(byte)}" (${hex})` : hex;
}

function violation(message: string): SluiceError {
  return new SluiceError({ code: 'PROTOCOL_VIOLATION', message: `Postgres sent ${message}` });
}
