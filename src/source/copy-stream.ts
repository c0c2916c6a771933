import type { SluiceError } from '../error/sluice-error.js';
import type { SourceConnection } from './connect.js';
import { CopyFrameSplitter, type ServerMessage } from './copy-frames.js';
import { serverError } from './errors.js';

/** Where the payload of a COPY goes. */
export interface CopySink {
  /** A piece of the payload, cut anywhere; the bytes may be reused after the call. */
  feed(bytes: Uint8Array, start: number, end: number): void;
  /** True while what was fed has to be taken off first: the socket is paused until `waitForRoom` resolves. */
  readonly isFull: boolean;
  waitForRoom(signal: AbortSignal): Promise<void>;
}

const CODE_QUERY = 0x51; // Q
const HEADER_BYTES = 5;

/**
 * Runs one `COPY ... TO STDOUT` and feeds its payload to the sink straight from the socket's buffer, with backpressure.
 * The connection is idle and usable again afterwards, also when the server refused the statement; after any other error
 * it is hung up on, as what is under way on it cannot be told.
 * @throws SluiceError of the server, of the sink, SOURCE_CONNECTION_LOST or PROTOCOL_VIOLATION
 * @see Postgres docs, "Message Flow", COPY Operations
 */
export async function copyOut(
  connection: SourceConnection,
  sql: string,
  sink: CopySink,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  let refused: ServerMessage | null = null;
  let ready = false;
  let settle: { resolve: () => void; reject: (error: unknown) => void } | null = null;
  const done = new Promise<void>((resolve, reject) => {
    settle = { resolve, reject };
  });
  const fail = (error: unknown): void => settle?.reject(error);
  const splitter = new CopyFrameSplitter({
    onCopyData: (bytes, start, end) => sink.feed(bytes, start, end),
    onError: (error) => {
      refused ??= error;
    },
    onReady: () => {
      ready = true;
    },
  });
  let waiting = false;
  const raw = connection.takeOver((buffer, length) => {
    try {
      splitter.feed(buffer, 0, length);
    } catch (error) {
      fail(error);
      return;
    }
    if (ready) {
      settle?.resolve();
    } else if (sink.isFull && !waiting) {
      waiting = true;
      raw.pause();
      sink.waitForRoom(signal).then(() => {
        waiting = false;
        raw.resume();
      }, fail);
    }
  }, fail);
  const onAbort = (): void => fail(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    raw.write(queryMessage(sql));
    await done;
    raw.release();
  } catch (error) {
    connection.destroy();
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
  if (refused !== null) throw refusal(refused, connection);
}

function refusal(message: ServerMessage, connection: SourceConnection): SluiceError {
  return serverError(
    { sqlState: message.sqlState, message: message.message, hint: message.hint ?? undefined },
    connection.place,
  );
}

function queryMessage(sql: string): Uint8Array {
  const text = Buffer.from(`${sql}\0`, 'utf8');
  const message = Buffer.allocUnsafe(HEADER_BYTES + text.length);
  message[0] = CODE_QUERY;
  message.writeInt32BE(4 + text.length, 1);
  text.copy(message, HEADER_BYTES);
  return message;
}
