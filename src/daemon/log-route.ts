import type { FastifyInstance } from 'fastify';
import { logAnswerLine, readLogQuery } from './log-protocol.js';
import type { LogRing } from './log-ring.js';

/** A reader that is further behind misses lines: nobody waits for it, and what waits for it is bounded. */
const BEHIND_BYTES = 1024 * 1024;

/** `GET /logs`, see log-protocol.ts. @param closing aborts when the daemon ends: then those who follow are told */
export function addLogRoute(app: FastifyInstance, ring: LogRing, closing: AbortSignal): void {
  app.get('/logs', (request, reply) => {
    const { count, level, follow } = readLogQuery(request.query);
    reply.hijack();
    const { raw } = reply;
    raw.on('error', () => undefined);
    raw.writeHead(200, { 'content-type': 'application/x-ndjson' });
    raw.write(logAnswerLine({ kind: 'begun' }));
    for (const { text } of ring.last(count, level)) raw.write(logAnswerLine({ kind: 'line', text }));
    if (!follow) {
      raw.end(logAnswerLine({ kind: 'end' }));
      return;
    }
    let skipped = 0;
    const stop = ring.follow(level, ({ text }) => {
      if (raw.writableLength > BEHIND_BYTES) {
        skipped += 1;
        return;
      }
      if (skipped > 0) raw.write(logAnswerLine({ kind: 'skipped', lines: skipped }));
      skipped = 0;
      raw.write(logAnswerLine({ kind: 'line', text }));
    });
    const end = (): void => void raw.end(logAnswerLine({ kind: 'end' }));
    closing.addEventListener('abort', end, { once: true });
    raw.on('close', () => {
      stop();
      closing.removeEventListener('abort', end);
    });
  });
}
