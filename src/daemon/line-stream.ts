import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { asSluiceError, SluiceError } from '../error/sluice-error.js';
import { readAnswer } from './control-client.js';

/** Answers that come line by line, as long as there is something to tell. */

export interface Asked {
  readonly asking: ClientRequest;
  readonly response: IncomingMessage;
}

/** @param body JSON; null: none @throws what the socket throws */
export function openAnswer(
  socketPath: string,
  question: { readonly method: 'GET' | 'POST'; readonly path: string; readonly body: string | null },
  signal: AbortSignal,
): Promise<Asked> {
  const { method, path, body } = question;
  const headers =
    body === null ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  return new Promise((resolve, reject) => {
    const asking = request({ socketPath, method, path, headers, signal, agent: false }, (response) =>
      resolve({ asking, response }),
    );
    asking.on('error', reject);
    asking.end(body ?? undefined);
  });
}

/** The lines of a stream of text, without their breaks; what follows the last break is no whole line. */
export async function* linesOf(stream: AsyncIterable<unknown>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let begun = '';
  for await (const chunk of stream) {
    const text = chunk instanceof Uint8Array ? decoder.decode(chunk, { stream: true }) : String(chunk);
    const lines = text.split('\n');
    const rest = lines.pop() ?? '';
    for (const line of lines) {
      yield `${begun}${line}`;
      begun = '';
    }
    begun += rest;
  }
}

/** Why a daemon did not begin: it is an older one without such a route, or gives a reason. */
export async function refusalOf(response: IncomingMessage): Promise<SluiceError> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(Buffer.from(chunk));
  try {
    readAnswer({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') });
  } catch (error) {
    return asSluiceError(error);
  }
  return new SluiceError({ code: 'DAEMON_UNREACHABLE', message: 'the daemon gave an answer that is none' });
}
