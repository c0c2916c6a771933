import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { asSluiceError, SluiceError, toPlain } from '../error/sluice-error.js';
import type { EngineEvent } from '../executor/engine.js';
import { type AskedCall, callLine, lineOf, readCall } from './call-protocol.js';
import { LineSink } from './line-sink.js';

/**
 * Does what a command asks for.
 * @param tell hears the events of this work
 * @param signal aborts when whoever asked cancels, or has gone
 * @returns the result, for JSON
 */
export type CallHandler = (
  asked: AskedCall,
  tell: (event: EngineEvent) => void,
  signal: AbortSignal,
) => Promise<unknown>;

/** A plan of a thousand tables has some megabytes. */
const BODY_BYTES = 256 * 1024 * 1024;

/** `POST /calls` and `POST /calls/ID/cancel`, see call-protocol.ts. */
export function addCallRoutes(app: FastifyInstance, handle: CallHandler): void {
  const running = new Map<number, AbortController>();
  let lastId = 0;

  app.post('/calls', { bodyLimit: BODY_BYTES }, async (request: FastifyRequest, reply: FastifyReply) => {
    const asked = readCall(request.body);
    lastId += 1;
    const id = lastId;
    const cancelling = new AbortController();
    running.set(id, cancelling);
    reply.hijack();
    const { raw } = reply;
    raw.on('close', () => cancelling.abort(goneError()));
    raw.on('error', () => undefined);
    raw.writeHead(200, { 'content-type': 'application/x-ndjson' });
    const sink = new LineSink(raw, () => raw.destroy());
    sink.write(callLine({ kind: 'begun', id }));
    const tell = (event: EngineEvent): void => {
      const line = lineOf(event, asked.call);
      if (line === null) return;
      if (event.kind === 'load_progress') sink.progress(`load ${event.address}`, callLine(line));
      else if (event.kind === 'stream_progress') sink.progress(`stream ${event.source}`, callLine(line));
      else sink.write(callLine(line));
    };
    try {
      const result = await handle(asked, tell, cancelling.signal);
      sink.end(callLine({ kind: 'result', result }));
    } catch (error) {
      sink.end(callLine({ kind: 'error', error: toPlain(asSluiceError(error)) }));
    } finally {
      running.delete(id);
    }
  });

  app.post<{ Params: { id: string } }>('/calls/:id/cancel', (request, reply) => {
    // One that has ended meanwhile needs no cancelling.
    running.get(Number(request.params.id))?.abort(new SluiceError({ code: 'CANCELLED', message: 'cancelled' }));
    return reply.code(204).send();
  });
}

function goneError(): SluiceError {
  return new SluiceError({ code: 'CANCELLED', message: 'whoever asked for it has gone' });
}
