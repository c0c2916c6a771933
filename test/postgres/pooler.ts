import { connect, createServer, type Server, type Socket } from 'node:net';
import type { TestPostgres } from './server.js';

/**
 * A connection pooler in front of a test server, as PgBouncer is one: it answers the login itself with a cancel key of its
 * own, and lends its backends to clients. In transaction mode a backend goes back onto the stack whenever its transaction
 * ends, in session mode when its client leaves. The server has to trust the role (pg_hba.conf), as nobody logs in here.
 */
export interface TestPooler {
  readonly port: number;
  stop(): Promise<void>;
}

export interface PoolerOptions {
  readonly mode: 'session' | 'transaction';
  /** `stack`: the backend used last is lent first, as PgBouncer does. `queue`: the one that rested longest. */
  readonly order: 'stack' | 'queue';
  readonly backends: number;
  readonly user: string;
  /** Default: the server's own. */
  readonly database?: string;
}

interface Backend {
  readonly socket: Socket;
  /** All that the server said until it was ready for the first time. */
  readonly greeting: Buffer;
  client: Socket | null;
}

const READY = 0x5a; // 'Z'
const KEY = 0x4b; // 'K'
const IDLE = 0x49; // 'I'
const FAKE_PID = 0x7fff_fff0;

export async function startPooler(postgres: TestPostgres, options: PoolerOptions): Promise<TestPooler> {
  const free: Backend[] = [];
  const waiting: { readonly client: Socket; readonly bytes: Buffer }[] = [];
  const all: Socket[] = [];
  const held = new Map<Socket, Backend>();

  const giveBack = (backend: Backend): void => {
    if (backend.client !== null) held.delete(backend.client);
    backend.client = null;
    free.push(backend);
    const next = waiting.shift();
    if (next !== undefined) send(next.client, next.bytes);
  };
  const send = (client: Socket, bytes: Buffer): void => {
    let backend = held.get(client);
    if (backend === undefined) {
      backend = options.order === 'stack' ? free.pop() : free.shift();
      if (backend === undefined) {
        waiting.push({ client, bytes });
        return;
      }
      backend.client = client;
      held.set(client, backend);
    }
    backend.socket.write(bytes);
  };

  for (let count = 0; count < options.backends; count++) {
    const backend = await openBackend(postgres, options.user, options.database ?? postgres.database);
    all.push(backend.socket);
    const messages = new MessageReader();
    backend.socket.on('data', (bytes) => {
      backend.client?.write(bytes);
      const ended = messages.read(bytes).some(({ type, body }) => type === READY && body[0] === IDLE);
      if (ended && options.mode === 'transaction') giveBack(backend);
    });
    free.push(backend);
  }
  const greeting = withFakeKey(free[0]?.greeting ?? Buffer.alloc(0));

  const server: Server = createServer((client) => {
    all.push(client);
    client.on('error', () => {});
    let greeted = false;
    client.on('data', (bytes) => {
      if (!greeted) {
        greeted = true;
        client.write(greeting);
      } else if (bytes[0] === 0x58) {
        client.end(); // Terminate is the pooler's own affair
      } else {
        send(client, bytes);
      }
    });
    client.on('close', () => {
      const backend = held.get(client);
      if (backend !== undefined) giveBack(backend);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the pooler has no port');
  return {
    port: address.port,
    stop: async () => {
      for (const socket of all) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function openBackend(postgres: TestPostgres, user: string, database: string): Promise<Backend> {
  const socket = connect({ host: postgres.host, port: postgres.port });
  const body = Buffer.from(`user\0${user}\0database\0${database}\0\0`);
  const head = Buffer.alloc(8);
  head.writeInt32BE(body.length + 8, 0);
  head.writeInt32BE(196_608, 4); // protocol 3.0
  socket.write(Buffer.concat([head, body]));
  const messages = new MessageReader();
  const parts: Buffer[] = [];
  return new Promise((resolve, reject) => {
    socket.on('error', reject);
    const onData = (bytes: Buffer): void => {
      parts.push(bytes);
      if (!messages.read(bytes).some(({ type }) => type === READY)) return;
      socket.off('data', onData);
      resolve({ socket, greeting: Buffer.concat(parts), client: null });
    };
    socket.on('data', onData);
  });
}

function withFakeKey(greeting: Buffer): Buffer {
  const copy = Buffer.from(greeting);
  for (let at = 0; at < copy.length; at += 1 + copy.readInt32BE(at + 1)) {
    if (copy[at] === KEY) copy.writeInt32BE(FAKE_PID, at + 5);
  }
  return copy;
}

/** Cuts the server's bytes into messages, across the borders of chunks. */
class MessageReader {
  #rest: Buffer = Buffer.alloc(0);

  read(bytes: Buffer): { readonly type: number; readonly body: Buffer }[] {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    const messages: { type: number; body: Buffer }[] = [];
    while (this.#rest.length >= 5) {
      const end = 1 + this.#rest.readInt32BE(1);
      if (this.#rest.length < end) break;
      messages.push({ type: this.#rest[0] ?? 0, body: this.#rest.subarray(5, end) });
      this.#rest = this.#rest.subarray(end);
    }
    return messages;
  }
}
