import { connect as connectSocket, type NetConnectOpts, Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { SluiceError } from '../error/sluice-error.js';

/** Bytes as they came; the buffer is used again, so they are valid during the call only. */
export type OnBytes = (buffer: Uint8Array, length: number) => void;

/** The wire, taken over from pg: whoever holds it speaks the protocol by itself. */
export interface RawConnection {
  /** @returns false when the socket's buffer is full; what follows is kept in memory */
  write(bytes: Uint8Array): boolean;
  /** No bytes come until resume(); Postgres waits once the buffers of the network are full. */
  pause(): void;
  resume(): void;
  /** Gives the wire back to pg. Allowed once ReadyForQuery was read and nothing after it is missing. */
  release(): void;
}

/** Receive buffer of a plain TCP connection. 256 KiB are about as much as the kernel hands over at once on one host. */
const RECEIVE_BUFFER_BYTES = 256 * 1024;

/**
 * A name may have several addresses, of which some lead nowhere. Node gives each 250 ms by default, too little for a
 * server on another continent.
 */
const ADDRESS_ATTEMPT_MS = 2_000;

/** Long silences are normal (a large sort before the first row); a proxy that drops idle connections must see life. */
const KEEPALIVE_DELAY_MS = 30_000;

/** SSLRequest: length 8, then the code 1234 5679. */
const SSL_REQUEST = Uint8Array.of(0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f);

/** What carries the bytes and who gets them. The socket may be made before anybody listens. */
interface Carrier {
  readonly stream: Duplex;
  /** Called once; from then on every byte goes to `deliver`. */
  start(deliver: OnBytes): void;
}

export interface StreamTarget {
  /** A folder with a unix socket when it starts with "/". */
  readonly host: string;
  readonly port: number;
  /** Null: plain. */
  readonly tls: ConnectionOptions | null;
  /** Brings a stream that somebody else opened, an SSH channel for instance; TLS still goes on top of it. */
  readonly openStream: ((signal: AbortSignal) => Duplex | Promise<Duplex>) | null;
}

/**
 * Connects and, where asked for, asks the server for TLS and shakes hands.
 * @throws the socket's or TLS's own error; SluiceError SOURCE_TLS_REFUSED when the server offers no TLS
 */
export async function openStreamSocket(target: StreamTarget, signal: AbortSignal): Promise<StreamSocket> {
  return new StreamSocket(await openCarrier(target, signal));
}

async function openCarrier(target: StreamTarget, signal: AbortSignal): Promise<Carrier> {
  signal.throwIfAborted();
  if (target.openStream === null && target.tls === null && !target.host.startsWith('/')) {
    return await openPlainTcp(target, signal);
  }
  const plain = await openPlain(target, signal);
  if (target.tls === null) return emittingCarrier(plain);
  const answer = await askForTls(plain, signal);
  if (answer !== 'S') {
    plain.destroy();
    throw new SluiceError({
      code: 'SOURCE_TLS_REFUSED',
      message: `the server at ${target.host}:${target.port} offers no TLS`,
      hint: "switch it on at the server (alter system set ssl = on;), or set the connection's tls.mode: disable where the network is trusted",
    });
  }
  const secure = startTls(plain, target.tls);
  await untilEvent(secure, 'secureConnect', signal);
  return emittingCarrier(secure);
}

function startTls(plain: Duplex, options: ConnectionOptions): TLSSocket {
  try {
    const secure = connectTls({ ...options, socket: plain });
    plain.on('error', (error: Error) => secure.destroy(error));
    return secure;
  } catch (error) {
    plain.destroy(); // certificates or keys that are no PEM
    throw error;
  }
}

/** The fast way: the kernel's bytes land in one buffer that is used again and again, without an object for each chunk. */
async function openPlainTcp(target: StreamTarget, signal: AbortSignal): Promise<Carrier> {
  let deliver: OnBytes | null = null;
  const socket = connectSocket({
    ...tcpOptions(target),
    onread: {
      buffer: Buffer.allocUnsafeSlow(RECEIVE_BUFFER_BYTES),
      callback: (length, buffer) => {
        deliver?.(buffer, length);
        return true;
      },
    },
  });
  await untilEvent(socket, 'connect', signal);
  return {
    stream: socket,
    start: (listener) => {
      deliver = listener;
    },
  };
}

async function openPlain(target: StreamTarget, signal: AbortSignal): Promise<Duplex> {
  if (target.openStream !== null) return await target.openStream(signal);
  if (!target.host.startsWith('/')) return await connectTcp(target, signal);
  const socket = connectSocket({ path: `${target.host}/.s.PGSQL.${target.port}` });
  await untilEvent(socket, 'connect', signal);
  return socket;
}

/** @throws the socket's own error; the signal's reason when it aborts */
export async function connectTcp(target: Pick<StreamTarget, 'host' | 'port'>, signal: AbortSignal): Promise<Socket> {
  signal.throwIfAborted();
  const socket = connectSocket(tcpOptions(target));
  await untilEvent(socket, 'connect', signal);
  return socket;
}

function tcpOptions(target: Pick<StreamTarget, 'host' | 'port'>): NetConnectOpts & { host: string; port: number } {
  return {
    host: target.host,
    port: target.port,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEPALIVE_DELAY_MS,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: ADDRESS_ATTEMPT_MS,
  };
}

function emittingCarrier(stream: Duplex): Carrier {
  return {
    stream,
    start: (deliver) => stream.on('data', (chunk: Buffer) => deliver(chunk, chunk.length)),
  };
}

/**
 * Reads exactly one byte. Anything that came with it would have been sent before the handshake, by somebody in the
 * middle, and must not be taken for the server's word (CVE-2021-23222).
 */
async function askForTls(stream: Duplex, signal: AbortSignal): Promise<string> {
  stream.write(SSL_REQUEST);
  const answer = await new Promise<Buffer>((resolve, reject) => {
    const settle = (act: () => void) => {
      stream.off('data', onData).off('error', onError).off('close', onClose);
      signal.removeEventListener('abort', onAbort);
      act();
    };
    const onData = (chunk: Buffer) => {
      stream.pause();
      settle(() => resolve(chunk));
    };
    const onError = (error: Error) => settle(() => reject(error));
    const onClose = () => settle(() => reject(closedEarly()));
    const onAbort = () => {
      settle(() => reject(signal.reason));
      stream.on('error', () => {});
      stream.destroy();
    };
    stream.on('data', onData).on('error', onError).on('close', onClose);
    signal.addEventListener('abort', onAbort);
  });
  if (answer.length !== 1) {
    stream.destroy();
    throw new SluiceError({
      code: 'PROTOCOL_VIOLATION',
      message: 'unencrypted bytes came after the answer to the request for TLS',
    });
  }
  return answer.toString('latin1');
}

function closedEarly(): Error {
  return Object.assign(new Error('the server closed the connection'), { code: 'ECONNRESET' });
}

/** Waits for `event`; the stream is destroyed when it fails or `signal` aborts first. */
function untilEvent(
  stream: Socket | TLSSocket,
  event: 'connect' | 'secureConnect',
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void) => {
      stream.off(event, onEvent).off('error', onError).off('close', onClose);
      signal.removeEventListener('abort', onAbort);
      act();
    };
    const fail = (reason: unknown) =>
      settle(() => {
        stream.on('error', () => {}); // what a destroyed stream still has to say
        stream.destroy();
        reject(reason);
      });
    const onEvent = () => settle(resolve);
    const onError = (error: Error) => fail(error);
    const onClose = () => fail(closedEarly());
    const onAbort = () => fail(signal.reason);
    stream.on(event, onEvent).on('error', onError).on('close', onClose);
    signal.addEventListener('abort', onAbort);
  });
}

/**
 * The stream that pg is given. It is connected already; pg's call of connect() is answered with the event it waits
 * for. While somebody has taken it over, what arrives goes there instead of to pg.
 */
export class StreamSocket extends Duplex {
  readonly #carrier: Carrier;
  #takenBy: OnBytes | null = null;

  constructor(carrier: Carrier) {
    super({ allowHalfOpen: false });
    this.#carrier = carrier;
    const { stream } = carrier;
    stream.on('error', (error: Error) => this.destroy(error));
    stream.on('end', () => this.push(null));
    stream.on('close', () => this.destroy());
    carrier.start((buffer, length) => {
      if (this.#takenBy !== null) this.#takenBy(buffer, length);
      else if (!this.push(Buffer.from(buffer.subarray(0, length)))) stream.pause();
    });
    stream.resume();
  }

  /**
   * Sends all that arrives to `onBytes` until release().
   * @throws SluiceError INTERNAL when it is taken already or pg has not read all it was sent
   */
  takeOver(onBytes: OnBytes): RawConnection {
    if (this.#takenBy !== null || this.readableLength > 0) {
      throw new SluiceError({ code: 'INTERNAL', message: 'the connection is not idle, so it cannot be taken over' });
    }
    const { stream } = this.#carrier;
    this.#takenBy = onBytes;
    stream.resume();
    return {
      write: (bytes) => stream.write(bytes),
      pause: () => stream.pause(),
      resume: () => stream.resume(),
      release: () => {
        this.#takenBy = null;
        stream.resume();
      },
    };
  }

  // What pg calls on a net.Socket.
  connect(): this {
    queueMicrotask(() => this.emit('connect'));
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    if (this.#carrier.stream instanceof Socket) this.#carrier.stream.ref();
    return this;
  }

  unref(): this {
    if (this.#carrier.stream instanceof Socket) this.#carrier.stream.unref();
    return this;
  }

  override _read(): void {
    if (this.#takenBy === null) this.#carrier.stream.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#carrier.stream.write(chunk, callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#carrier.stream.end(() => callback());
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#carrier.stream.destroy();
    callback(error);
  }
}
