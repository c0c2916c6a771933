import { Duplex } from 'node:stream';
import type { ClientChannel } from 'ssh2';

/**
 * A forwarded connection, as a stream that behaves like a socket. ssh2's channel alone does not: it never answers a write
 * after the other side has closed, has no error when the connection below it is gone, and is not told apart from one
 * that ended in order.
 */
export class TunnelStream extends Duplex {
  readonly #channel: ClientChannel;
  /** Of a write that waits for the other side's window. */
  #writing: ((error?: Error | null) => void) | null = null;
  #closed = false;
  bytesRead = 0;

  constructor(channel: ClientChannel) {
    super({ allowHalfOpen: false });
    this.#channel = channel;
    channel.on('data', (chunk: Buffer) => {
      this.bytesRead += chunk.length;
      if (!this.push(chunk)) channel.pause();
    });
    channel.on('end', () => {
      if (!this.destroyed) this.push(null);
    });
    channel.on('error', (error: Error) => this.destroy(error));
    channel.on('close', () => {
      this.#closed = true;
      const writing = this.#writing;
      this.#writing = null;
      writing?.(closed());
    });
  }

  override _read(): void {
    this.#channel.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    if (this.#closed) {
      callback(closed());
      return;
    }
    this.#writing = callback;
    this.#channel.write(chunk, (error) => {
      if (this.#writing !== callback) return;
      this.#writing = null;
      callback(error);
    });
  }

  override _final(callback: (error?: Error | null) => void): void {
    if (!this.#closed) this.#channel.end();
    callback();
  }

  /** The SSH connection below is gone: nothing may be said on the channel any more, or ssh2 throws in the event loop. */
  abandon(error: Error | null): void {
    this.#closed = true;
    const outgoing: unknown = Reflect.get(this.#channel, 'outgoing');
    if (typeof outgoing === 'object' && outgoing !== null) Reflect.set(outgoing, 'state', 'closed');
    this.destroy(error ?? undefined);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const writing = this.#writing;
    this.#writing = null;
    this.#channel.removeAllListeners('data');
    if (!this.#closed) {
      this.#channel.resume(); // what still comes is thrown away
      this.#channel.destroy();
    }
    writing?.(error ?? closed());
    callback(error);
  }
}

function closed(): Error {
  return Object.assign(new Error('the forwarded connection is closed'), { code: 'ECONNRESET' });
}
