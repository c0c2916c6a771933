import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { TestPostgres } from './server.js';

/** A slow network in front of a test server: connections that bring a lot stand still until they are let go on. */
export interface HeldProxy {
  readonly port: number;
  /** Resolves when a connection stands still. */
  readonly held: Promise<void>;
  letGo(): void;
  stop(): Promise<void>;
}

/** @param afterBytes that a connection may bring from the server before it stands still */
export async function startHeldProxy(postgres: TestPostgres, afterBytes: number): Promise<HeldProxy> {
  const sockets = new Set<Socket>();
  let isOpen = false;
  let tellHeld = (): void => undefined;
  const held = new Promise<void>((resolve) => {
    tellHeld = resolve;
  });
  const standing = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(postgres.port, postgres.host);
    let bytes = 0;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.pipe(upstream);
    upstream.on('data', (chunk) => {
      bytes += chunk.length;
      if (!client.write(chunk)) {
        upstream.pause();
        client.once('drain', () => {
          if (!standing.has(upstream)) upstream.resume();
        });
      }
      if (isOpen || bytes < afterBytes) return;
      upstream.pause();
      standing.add(upstream);
      tellHeld();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    held,
    letGo: () => {
      isOpen = true;
      for (const socket of standing) socket.resume();
      standing.clear();
    },
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
