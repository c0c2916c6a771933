import Fastify, { type FastifyInstance } from 'fastify';
import { parseListenAddress } from '../config/listen-address.js';
import { asSluiceError, SluiceError, toPlain } from '../error/sluice-error.js';
import type { DaemonHealth } from './health.js';
import type { DaemonMetrics } from './metrics.js';

export interface HttpDeps {
  readonly health: DaemonHealth;
  readonly metrics: DaemonMetrics;
  /** The document of `sluice status --format json`. */
  readonly status: (signal: AbortSignal) => Promise<string>;
}

export interface HttpServer {
  /** Where it listens: `http://127.0.0.1:8470`. */
  readonly url: string;
  close(): Promise<void>;
}

/** A status asks servers and destinations; who waits longer than this has lost interest. */
const STATUS_MS = 30_000;

/**
 * The daemon's page for machines: it only reads.
 * - `/livez` 200 as long as the process answers, whatever lags or fails
 * - `/readyz` 200, or 503 with the reasons
 * - `/metrics` for Prometheus, from memory alone
 * - `/status` as `sluice status --format json`
 * @throws SluiceError LISTEN_FAILED
 */
export async function startHttpServer(listen: string, deps: HttpDeps): Promise<HttpServer> {
  const app = httpRoutes(deps);
  const { host, port } = parseListenAddress(listen);
  try {
    const url = await app.listen({ host, port });
    return { url, close: () => app.close() };
  } catch (cause) {
    await app.close();
    throw new SluiceError({
      code: 'LISTEN_FAILED',
      message: `daemon.http cannot listen on ${listen}`,
      cause,
      hint: 'another process may use the port: set another one under daemon.http.listen',
    });
  }
}

/** The routes without a port, for tests and {@link startHttpServer}. */
export function httpRoutes(deps: HttpDeps): FastifyInstance {
  const app = Fastify({ forceCloseConnections: true });
  // Servers that watch many daemons ask often and at once; one look serves them all.
  let looking: Promise<string> | null = null;
  const status = (): Promise<string> => {
    looking ??= deps.status(AbortSignal.timeout(STATUS_MS)).finally(() => {
      looking = null;
    });
    return looking;
  };
  app.get('/livez', (_request, reply) => reply.type('text/plain').send('ok\n'));
  app.get('/readyz', (_request, reply) => {
    const readiness = deps.health.readiness();
    return reply.code(readiness.ready ? 200 : 503).send(readiness);
  });
  app.get('/metrics', async (_request, reply) =>
    reply.type(deps.metrics.registry.contentType).send(await deps.metrics.registry.metrics()),
  );
  app.get('/status', async (_request, reply) => reply.type('application/json').send(await status()));
  app.setErrorHandler((error, _request, reply) =>
    reply.code(503).send({ format_version: 1, error: toPlain(asSluiceError(error)) }),
  );
  app.setNotFoundHandler((request, reply) =>
    reply
      .code(404)
      .type('text/plain')
      .send(`no ${request.url} here; there are /livez, /readyz, /metrics and /status\n`),
  );
  return app;
}
