import { chmod, mkdir } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import path from 'node:path';
import Fastify, { type FastifyInstance } from 'fastify';
import { asSluiceError, SluiceError, toPlain } from '../error/sluice-error.js';
import { addCallRoutes, type CallHandler } from './call-route.js';
import { LONGEST_SOCKET_PATH_BYTES } from './control-client.js';
import { CONTROL_VERSION, type DaemonBlock } from './control-protocol.js';
import { makeRoomForSocket } from './dead-socket.js';
import type { LogRing } from './log-ring.js';
import { addLogRoute } from './log-route.js';
import type { ReloadOutcome } from './reload.js';

export interface ControlRoutes {
  readonly facts: () => DaemonBlock;
  /** The document of `sluice status --format json` with the `daemon` block. */
  readonly status: (signal: AbortSignal) => Promise<string>;
  readonly reload: () => Promise<ReloadOutcome>;
  readonly call: CallHandler;
  readonly log: LogRing;
}

export interface ControlSocket {
  readonly path: string;
  /** Takes no more questions and removes the socket; those under way are still answered. */
  stopListening(): void;
  /** As stopListening, and resolves when the last question is answered, or was given up after {@link CLOSE_MS}. */
  close(): Promise<void>;
}

const STATUS_MS = 30_000;

/** What is asked of a daemon that stops is answered at once, but for a status whose servers are slow. */
const CLOSE_MS = 500;

/**
 * The door for other commands on this machine: HTTP on a unix socket that only its owner may use.
 * - `GET /daemon` what the daemon knows of itself, from memory
 * - `GET /status` as `sluice status --format json`, with the `daemon` block
 * - `POST /reload` reads the config file; answers when it is known what became of it
 * - `POST /calls` works for a command and tells of it meanwhile, `POST /calls/ID/cancel` ends that; see call-protocol.ts
 * - `GET /logs` the last lines of the log, and new ones; see log-protocol.ts
 *
 * The socket of a dead daemon is replaced; anything else at the path stays.
 * @throws SluiceError DAEMON_RUNNING, LISTEN_FAILED
 */
export async function openControlSocket(socketPath: string, routes: ControlRoutes): Promise<ControlSocket> {
  checkLength(socketPath);
  try {
    await mkdir(path.dirname(socketPath), { recursive: true });
    await makeRoomForSocket(socketPath);
  } catch (error) {
    throw listenFailed(socketPath, error);
  }
  const closing = new AbortController();
  const { app, server } = await controlApp(routes, closing.signal);
  try {
    await listen(server, socketPath);
    await chmod(socketPath, 0o600);
  } catch (error) {
    server.close();
    await app.close();
    throw listenFailed(socketPath, error);
  }
  let closed: Promise<void> | null = null;
  const stopListening = (): void => {
    // Node removes the file of the socket with its listener.
    closed ??= new Promise((resolve) => server.close(() => resolve()));
  };
  return {
    path: socketPath,
    stopListening,
    close: async () => {
      stopListening();
      closing.abort();
      const late = AbortSignal.timeout(CLOSE_MS);
      late.addEventListener('abort', () => server.closeAllConnections(), { once: true });
      await closed;
      await app.close();
    },
  };
}

async function controlApp(
  routes: ControlRoutes,
  closing: AbortSignal,
): Promise<{ app: FastifyInstance; server: Server }> {
  let server: Server | null = null;
  const serverFactory = (handler: RequestListener): Server => {
    server = createServer(handler);
    return server;
  };
  const app = Fastify({ serverFactory });
  app.get('/daemon', () => ({ format_version: CONTROL_VERSION, daemon: routes.facts() }));
  app.get('/status', async (_request, reply) =>
    reply.type('application/json').send(await routes.status(AbortSignal.timeout(STATUS_MS))),
  );
  app.post('/reload', async () => ({ format_version: CONTROL_VERSION, outcome: await routes.reload() }));
  addCallRoutes(app, routes.call);
  addLogRoute(app, routes.log, closing);
  app.setErrorHandler((error, _request, reply) =>
    reply.code(503).send({ format_version: CONTROL_VERSION, error: toPlain(asSluiceError(error)) }),
  );
  app.setNotFoundHandler((request, reply) =>
    reply.code(404).send({
      format_version: CONTROL_VERSION,
      error: { code: 'USAGE', message: `this daemon has no ${request.method} ${request.url}; it may be older` },
    }),
  );
  await app.ready();
  return { app, server: server ?? app.server };
}

function listen(server: Server, socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.once('listening', () => {
      server.off('error', reject);
      resolve();
    });
    // The socket is made within the call, so that nobody else can open it even for a moment.
    const before = process.umask(0o177);
    try {
      server.listen(socketPath);
    } finally {
      process.umask(before);
    }
  });
}

function checkLength(socketPath: string): void {
  const bytes = Buffer.byteLength(socketPath);
  if (bytes <= LONGEST_SOCKET_PATH_BYTES) return;
  throw new SluiceError({
    code: 'LISTEN_FAILED',
    message: `the path of the control socket has ${bytes} bytes, and the system takes ${LONGEST_SOCKET_PATH_BYTES}: ${socketPath}`,
    hint: 'set a shorter one: daemon: { socket: /run/sluice/control.sock }',
  });
}

function listenFailed(socketPath: string, error: unknown): SluiceError {
  if (error instanceof SluiceError) return error;
  if (errno(error) === 'EADDRINUSE') {
    return new SluiceError({
      code: 'DAEMON_RUNNING',
      message: `another daemon took the control socket ${socketPath} at the same moment`,
      cause: error,
    });
  }
  return new SluiceError({
    code: 'LISTEN_FAILED',
    message: `the control socket ${socketPath} cannot be opened`,
    cause: error,
    hint: 'set a path in a folder that the daemon may write to: daemon: { socket: /run/sluice/control.sock }',
  });
}

function errno(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
