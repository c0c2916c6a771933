import { SluiceError } from '../error/sluice-error.js';
import { formatLsn, type Lsn, laterLsn, lsnFromBigInt } from '../pgoutput/lsn.js';
import { type ConnectTarget, connectSource, type SourceConnection } from './connect.js';
import { CopyFrameSplitter, type ServerMessage } from './copy-frames.js';
import { addressOf, serverError, sourceError } from './errors.js';
import { quoteIdentifier } from './sql-identifier.js';
import type { RawConnection } from './stream-socket.js';

/**
 * The replication protocol: a session in which the server sends what is committed as it is committed, and is told what
 * is durable here. Feedback goes out by a timer of the event loop, whatever the receiver is busy with.
 * @see Postgres docs, "Streaming Replication Protocol" and "Logical Streaming Replication Protocol"
 */

/** Protocol 2 streams large transactions while they are open. */
const STREAMING_VERSION_NUM = 140_000;

const CODE_QUERY = 0x51; // Q
const CODE_COPY_DATA = 0x64; // d
const COPY_DONE = Uint8Array.of(0x63, 0, 0, 0, 4); // c

const XLOG_DATA = 0x77; // w
const KEEPALIVE = 0x6b; // k
const STATUS_UPDATE = 0x72; // r
/** Code, start, end and time of XLogData. */
const XLOG_HEADER_BYTES = 25;
const KEEPALIVE_BYTES = 18;
const FIRST_MESSAGE_BYTES = 64 * 1024;

/** The server hangs up on a receiver that it hears nothing from for wal_sender_timeout: three chances within it. */
const FEEDBACKS_WITHIN_TIMEOUT = 3;
const FEEDBACK_MS = 10_000;
/** A silent server is taken for gone after twice its own timeout, in which it has been asked for a word several times. */
const SILENCE_OF_TIMEOUT = 2;
const MIN_SILENCE_MS = 60_000;
/** How long a session may take to end in order; the slot is free at once then, and otherwise when the server notices. */
const END_PATIENCE_MS = 3_000;

const POSTGRES_EPOCH_MS = Date.UTC(2000, 0, 1);

export interface ReplicationRequest {
  readonly slot: string;
  readonly publication: string;
  /** The server skips what was committed before it. */
  readonly start: Lsn;
}

export interface ReplicationHandlers {
  /** One pgoutput message; its bytes are valid during the call only. */
  onMessage(bytes: Uint8Array, start: number, end: number): void;
  /**
   * The server stands at `position`: all that was committed before it has been sent.
   * @param urgent it waits for a receiver that confirms this, as it does when it shuts down
   */
  onPosition(position: Lsn, urgent: boolean): void;
  /** Nothing comes after it. Errors that the other handlers throw end up here too. */
  onEnd(error: SluiceError): void;
}

export interface ReplicationTiming {
  /** Default: of the server's wal_sender_timeout. */
  readonly silenceMs?: number;
}

export class ReplicationStream {
  readonly #connection: SourceConnection;
  readonly #handlers: ReplicationHandlers;
  readonly #feedbackMs: number;
  readonly #silenceMs: number;
  readonly #raw: RawConnection;
  #timer: NodeJS.Timeout | null = null;
  /** A message that is cut: what has come of it. */
  #message = Buffer.allocUnsafe(FIRST_MESSAGE_BYTES);
  #filled = 0;
  #confirmed: Lsn;
  #heardAt = performance.now();
  #paused = false;
  #started: { resolve: () => void; reject: (error: SluiceError) => void } | null = null;
  #streaming = false;
  #ended: SluiceError | null = null;
  #onIdle: (() => void) | null = null;

  /**
   * Connects and begins to stream.
   * @throws SluiceError of the connection; SLOT_IN_USE, SLOT_MISSING, SLOT_LOST, PRIVILEGE_MISSING
   */
  static async open(
    target: ConnectTarget,
    request: ReplicationRequest,
    handlers: ReplicationHandlers,
    signal: AbortSignal,
    timing: ReplicationTiming = {},
  ): Promise<ReplicationStream> {
    const connection = await connectSource(target, { purpose: 'follow', replication: true, signal });
    try {
      const timeoutMs = await senderTimeoutMs(connection);
      const stream = new ReplicationStream(connection, request, handlers, timeoutMs, timing);
      await stream.#start(startCommand(request, connection.versionNum));
      return stream;
    } catch (error) {
      connection.destroy();
      throw sourceError(error, connection.place);
    }
  }

  private constructor(
    connection: SourceConnection,
    request: ReplicationRequest,
    handlers: ReplicationHandlers,
    timeoutMs: number,
    timing: ReplicationTiming,
  ) {
    this.#connection = connection;
    this.#handlers = handlers;
    this.#confirmed = request.start;
    this.#feedbackMs = timeoutMs === 0 ? FEEDBACK_MS : Math.min(FEEDBACK_MS, timeoutMs / FEEDBACKS_WITHIN_TIMEOUT);
    this.#silenceMs = timing.silenceMs ?? Math.max(MIN_SILENCE_MS, timeoutMs * SILENCE_OF_TIMEOUT);
    const splitter = new CopyFrameSplitter({
      onCopyStart: () => {
        this.#streaming = true;
        this.#started?.resolve();
      },
      onCopyData: (bytes, start, end, last) => this.#copyData(bytes, start, end, last),
      onError: (error) => this.#end(this.#refusal(error, request)),
      onCommandComplete: () => {
        if (this.#onIdle === null) this.#end(this.#serverLeft());
      },
      onReady: () => this.#onIdle?.(),
    });
    this.#raw = connection.takeOver(
      (buffer, length) => {
        this.#heardAt = performance.now();
        if (this.#ended !== null) return;
        try {
          splitter.feed(buffer, 0, length);
        } catch (error) {
          this.#end(sourceError(error, connection.place));
        }
      },
      (error) => this.#end(error),
    );
  }

  /** From now on Postgres may forget what lies before `lsn` (law 1: only after the destination's commit). */
  confirm(lsn: Lsn): void {
    this.#confirmed = laterLsn(this.#confirmed, lsn);
    this.#sendStatus(false);
  }

  /** No messages come until resume(); feedback goes on. */
  pause(): void {
    if (this.#paused || this.#ended !== null) return;
    this.#paused = true;
    this.#raw.pause();
  }

  resume(): void {
    if (!this.#paused || this.#ended !== null) return;
    this.#paused = false;
    this.#heardAt = performance.now();
    this.#raw.resume();
  }

  /** Ends the session in order, so that the slot is free when this resolves; a server that takes long is hung up on. */
  async close(): Promise<void> {
    if (this.#ended === null) {
      this.#sendStatus(false);
      const idle = new Promise<void>((resolve) => {
        this.#onIdle = resolve;
        const patience = setTimeout(resolve, END_PATIENCE_MS);
        patience.unref();
      });
      this.#stopTimer();
      this.#raw.resume();
      this.#raw.write(COPY_DONE);
      await idle;
      this.#ended = this.#serverLeft();
    }
    this.#connection.destroy();
  }

  #start(command: string): Promise<void> {
    const started = new Promise<void>((resolve, reject) => {
      this.#started = { resolve, reject };
    });
    const text = Buffer.from(`${command}\0`, 'utf8');
    const query = Buffer.allocUnsafe(5 + text.length);
    query[0] = CODE_QUERY;
    query.writeInt32BE(4 + text.length, 1);
    text.copy(query, 5);
    this.#raw.write(query);
    this.#timer = setInterval(() => this.#tick(), this.#feedbackMs);
    return started;
  }

  /** Whole messages are read where they lie. */
  #copyData(bytes: Uint8Array, start: number, end: number, last: boolean): void {
    if (this.#onIdle !== null || this.#ended !== null) return;
    if (last && this.#filled === 0) {
      this.#received(bytes, start, end);
      return;
    }
    const size = this.#filled + end - start;
    if (size > this.#message.length) {
      const wider = Buffer.allocUnsafe(Math.max(size, this.#message.length * 2));
      this.#message.copy(wider, 0, 0, this.#filled);
      this.#message = wider;
    }
    this.#message.set(bytes.subarray(start, end), this.#filled);
    this.#filled = size;
    if (!last) return;
    this.#filled = 0;
    this.#received(this.#message, 0, size);
    // One huge value must not be paid for as long as the stream lives.
    if (this.#message.length > FIRST_MESSAGE_BYTES * 16) this.#message = Buffer.allocUnsafe(FIRST_MESSAGE_BYTES);
  }

  #received(bytes: Uint8Array, start: number, end: number): void {
    const code = bytes[start];
    if (code === XLOG_DATA && end - start > XLOG_HEADER_BYTES) {
      this.#handlers.onMessage(bytes, start + XLOG_HEADER_BYTES, end);
    } else if (code === KEEPALIVE && end - start === KEEPALIVE_BYTES) {
      const view = new DataView(bytes.buffer, bytes.byteOffset + start, KEEPALIVE_BYTES);
      const urgent = view.getUint8(17) === 1;
      if (urgent) this.#sendStatus(false);
      this.#handlers.onPosition(lsnFromBigInt(view.getBigUint64(1)), urgent);
    } else {
      throw new SluiceError({
        code: 'PROTOCOL_VIOLATION',
        message: `Postgres sent an unknown replication message of ${end - start} bytes (first byte ${code ?? 'none'})`,
      });
    }
  }

  #tick(): void {
    if (!this.#streaming) return;
    const silentMs = performance.now() - this.#heardAt;
    if (!this.#paused && silentMs > this.#silenceMs) {
      this.#end(
        new SluiceError({
          code: 'SOURCE_CONNECTION_LOST',
          message: `nothing came from ${addressOf(this.#connection.place)} for ${Math.round(silentMs / 1000)} s, though it was asked`,
          hint: 'see whether the server is alive, and whether a proxy or firewall in between drops silent connections',
        }),
      );
      return;
    }
    this.#sendStatus(silentMs >= this.#feedbackMs);
  }

  /** @param ask for a keepalive at once, so that a dead connection shows */
  #sendStatus(ask: boolean): void {
    if (!this.#streaming || this.#ended !== null) return;
    const status = Buffer.allocUnsafe(5 + 34);
    status[0] = CODE_COPY_DATA;
    status.writeInt32BE(4 + 34, 1);
    status[5] = STATUS_UPDATE;
    // Written, flushed and applied are one here: committed by the destination.
    for (const at of [6, 14, 22]) status.writeBigUInt64BE(this.#confirmed, at);
    status.writeBigInt64BE(
      BigInt(Math.round(performance.timeOrigin + performance.now()) - POSTGRES_EPOCH_MS) * 1000n,
      30,
    );
    status[38] = ask ? 1 : 0;
    this.#raw.write(status);
  }

  #end(error: SluiceError): void {
    this.#onIdle?.();
    if (this.#ended !== null) return;
    this.#ended = error;
    this.#stopTimer();
    this.#connection.destroy();
    if (this.#streaming) this.#handlers.onEnd(error);
    else this.#started?.reject(error);
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  #serverLeft(): SluiceError {
    return new SluiceError({
      code: 'SOURCE_CONNECTION_LOST',
      message: `the server at ${addressOf(this.#connection.place)} ended the stream`,
      hint: 'it shuts down or restarts',
    });
  }

  /** Which of the slot's troubles it is can be told by where in the session it came. */
  #refusal(error: ServerMessage, request: ReplicationRequest): SluiceError {
    const message = `${error.message} (SQLSTATE ${error.sqlState})`;
    switch (error.sqlState) {
      case '42704': // undefined_object: looked for at the start, the publication not before the first change
        return this.#streaming
          ? new SluiceError({
              code: 'PUBLICATION_MISSING',
              message: `publication "${request.publication}" cannot be read: ${message}`,
              hint: 'run: sluice plan, then sluice apply',
            })
          : new SluiceError({
              code: 'SLOT_MISSING',
              message: `replication slot "${request.slot}" cannot be read: ${message}`,
              hint: 'run `sluice plan` and `sluice apply`: the slot is made anew and its tables are loaded again',
            });
      case '55000': // object_not_in_prerequisite_state: invalidated
      case '58P01': // undefined_file: a WAL file was removed
        return new SluiceError({
          code: 'SLOT_LOST',
          message: `slot "${request.slot}" has lost WAL it needs: ${message}`,
          hint: 'run `sluice plan` and `sluice apply`: the slot is made anew and its tables are loaded again',
        });
      default:
        return serverError(
          { sqlState: error.sqlState, message: error.message, hint: error.hint ?? undefined },
          this.#connection.place,
        );
    }
  }
}

/** @returns 0: none */
async function senderTimeoutMs(connection: SourceConnection): Promise<number> {
  // By the simple protocol: a replication session takes no other.
  const sql = "select setting::pg_catalog.int4 as ms from pg_catalog.pg_settings where name = 'wal_sender_timeout'";
  const { rows } = await connection.client.query<{ ms: number }>(sql);
  return rows[0]?.ms ?? 0;
}

function startCommand({ slot, publication, start }: ReplicationRequest, versionNum: number): string {
  const options = versionNum >= STREAMING_VERSION_NUM ? `proto_version '2', streaming 'on'` : `proto_version '1'`;
  // pgoutput splits the option at commas like an identifier list, so the name is quoted as an identifier inside it.
  // Replication commands know no E'' literals; a backslash stands for itself in theirs.
  const names = `'${quoteIdentifier(publication).replaceAll("'", "''")}'`;
  return `START_REPLICATION SLOT ${quoteIdentifier(slot)} LOGICAL ${formatLsn(start)} (${options}, publication_names ${names})`;
}
