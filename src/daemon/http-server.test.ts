import { createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { fakePlan } from '../../test/fake/engine.js';
import { SluiceError } from '../error/sluice-error.js';
import { DaemonHealth } from './health.js';
import { type HttpServer, httpRoutes, startHttpServer } from './http-server.js';
import { DaemonMetrics } from './metrics.js';

/** Real requests over a real port. */

let health: DaemonHealth;
let metrics: DaemonMetrics;
let server: HttpServer;
let status: (signal: AbortSignal) => Promise<string>;

beforeEach(async () => {
  health = new DaemonHealth('/srv/sources.yaml');
  metrics = new DaemonMetrics({ version: '1.2.3', now: () => new Date() });
  status = async () => '{"format_version":1,"sources":[]}\n';
  server = await startHttpServer('127.0.0.1:0', { health, metrics, status: (signal) => status(signal) });
});

afterEach(() => server.close());

async function get(path: string): Promise<{ code: number; type: string | null; text: string }> {
  const response = await fetch(`${server.url}${path}`);
  return { code: response.status, type: response.headers.get('content-type'), text: await response.text() };
}

test('/livez answers whatever is wrong', async () => {
  health.engineEnded();
  health.configIs({ code: 'CONFIG_INVALID', message: 'two mistakes' });
  expect(await get('/livez')).toMatchObject({ code: 200, text: 'ok\n' });
});

describe('/readyz', () => {
  const reasons = async (): Promise<unknown> => {
    const { code, text } = await get('/readyz');
    const body: { ready: boolean; reasons: { reason: string }[] } = JSON.parse(text);
    expect(code).toBe(body.ready ? 200 : 503);
    return body.reasons.map(({ reason }) => reason);
  };

  test('from the start to the stop', async () => {
    expect(await reasons()).toEqual(['starting', 'not_planned']);
    health.engineStarted();
    health.planFailed({ code: 'SOURCE_UNREACHABLE', message: 'nothing answers' });
    expect(await reasons()).toEqual(['not_planned']);
    expect((await get('/readyz')).text).toContain('SOURCE_UNREACHABLE nothing answers');
    health.planned();
    expect(await reasons()).toEqual([]);
    health.engineEnded();
    expect(await reasons()).toEqual(['engine_stopped']);
    health.stopping();
    expect(await reasons()).toEqual(['stopping']);
  });

  test('a broken config is told, and the last good one goes on', async () => {
    health.engineStarted();
    health.planned();
    health.configIs({ code: 'CONFIG_INVALID', message: 'two mistakes' });
    const { code, text } = await get('/readyz');
    expect(code).toBe(200);
    expect(JSON.parse(text).config).toEqual({
      file: '/srv/sources.yaml',
      valid: false,
      error: { code: 'CONFIG_INVALID', message: 'two mistakes' },
    });
  });
});

test('/metrics in the format of Prometheus', async () => {
  metrics.planned(fakePlan(), false, new Date(0));
  const { code, type, text } = await get('/metrics');
  expect(code).toBe(200);
  expect(type).toContain('text/plain; version=0.0.4');
  expect(text).toContain('# TYPE sluice_plan_blockers gauge\nsluice_plan_blockers 0\n');
});

describe('/status', () => {
  test('is the document of the command, and one look serves those who ask at once', async () => {
    let looks = 0;
    let answer: (text: string) => void = () => undefined;
    status = () => {
      looks += 1;
      return new Promise((resolve) => {
        answer = resolve;
      });
    };
    // Without a port, so that it is certain that both have come before the answer.
    const app = httpRoutes({ health, metrics, status });
    let requests = 0;
    app.addHook('onRequest', async () => {
      requests += 1;
    });
    const both = Promise.all([app.inject('/status'), app.inject('/status')]);
    while (requests < 2) await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    answer('{"format_version":1}\n');
    expect((await both).map(({ statusCode, body }) => [statusCode, body])).toEqual([
      [200, '{"format_version":1}\n'],
      [200, '{"format_version":1}\n'],
    ]);
    expect(looks).toBe(1);
    await app.close();
  });

  test('that cannot be told says why', async () => {
    status = () => Promise.reject(new SluiceError({ code: 'STATE_UNREADABLE', message: 'it is damaged' }));
    const { code, text } = await get('/status');
    expect(code).toBe(503);
    expect(JSON.parse(text)).toEqual({
      format_version: 1,
      error: { code: 'STATE_UNREADABLE', message: 'it is damaged' },
    });
  });
});

test('another path names those that exist', async () => {
  expect(await get('/')).toMatchObject({ code: 404, text: expect.stringContaining('/readyz') });
});

test('a port that is taken is refused by name', async () => {
  const other = createServer();
  const port = await new Promise<number>((resolve) => {
    other.listen(0, '127.0.0.1', () => {
      const address = other.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
  const listening = startHttpServer(`127.0.0.1:${port}`, { health, metrics, status });
  await expect(listening).rejects.toMatchObject({
    code: 'LISTEN_FAILED',
    message: `daemon.http cannot listen on 127.0.0.1:${port}`,
  });
  await new Promise((resolve) => other.close(resolve));
});
