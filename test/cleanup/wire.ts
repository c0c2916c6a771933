import { connect, createServer, type Server, type Socket } from 'node:net';
import type { TestPostgres } from '../postgres/server.js';

/** The way to a server, which a test cuts and mends: cut, nothing listens on its port. */
export class Wire {
  readonly #postgres: TestPostgres;
  readonly #sockets = new Set<Socket>();
  #server: Server | null = null;
  port = 0;

  private constructor(postgres: TestPostgres) {
    this.#postgres = postgres;
  }

  static async to(postgres: TestPostgres): Promise<Wire> {
    const wire = new Wire(postgres);
    await wire.mend();
    return wire;
  }

  async mend(): Promise<void> {
    const server = createServer((near) => {
      const far = connect(this.#postgres.port, this.#postgres.host);
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(socket);
        socket.on('error', () => other.destroy());
        socket.on('close', () => {
          this.#sockets.delete(socket);
          other.destroy();
        });
        socket.pipe(other);
      }
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.port, '127.0.0.1', () => resolve());
    });
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('the wire has no port');
    this.port = address.port;
    this.#server = server;
  }

  async cut(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    const closed = new Promise<void>((resolve) => (server === null ? resolve() : server.close(() => resolve())));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
