import { fromPlain, SluiceError } from '../error/sluice-error.js';
import { type AskedCall, type CallLine, callDocument, readCallLine } from './call-protocol.js';
import { LONGEST_SOCKET_PATH_BYTES, notRunning, parsed, refusal } from './control-client.js';
import { linesOf, openAnswer, refusalOf } from './line-stream.js';

/** What was cancelled may tell how far it came; a daemon that takes longer is left alone. */
const LAST_WORDS_MS = 8_000;
/** A daemon that takes longer to say that it has begun hangs. */
const BEGIN_MS = 30_000;

export type CallEnd =
  | { readonly kind: 'result'; readonly result: unknown }
  /** The daemon could not be asked; it has done nothing. */
  | { readonly kind: 'not_begun'; readonly error: SluiceError };

/**
 * Lets the daemon at a control socket work, and hears of it meanwhile.
 * @param onLine events and changes, as they happen
 * @param signal cancels the work; what it comes to then is still waited for, for {@link LAST_WORDS_MS}
 * @throws SluiceError what the work ended with; DAEMON_LOST where the daemon broke off
 */
export async function callDaemon(
  socketPath: string,
  asked: AskedCall,
  onLine: (line: Extract<CallLine, { kind: 'event' | 'change' }>) => void,
  signal: AbortSignal,
): Promise<CallEnd> {
  signal.throwIfAborted();
  if (Buffer.byteLength(socketPath) > LONGEST_SOCKET_PATH_BYTES) {
    return { kind: 'not_begun', error: notRunning(socketPath) };
  }
  const over = new AbortController();
  const late = setTimeout(() => over.abort(), BEGIN_MS);
  let begun = false;
  let id: number | null = null;
  let lastWords: NodeJS.Timeout | null = null;
  const cancel = (): void => {
    if (id !== null) sendCancel(socketPath, id);
    lastWords ??= setTimeout(() => over.abort(), id === null ? 0 : LAST_WORDS_MS);
  };
  signal.addEventListener('abort', cancel, { once: true });
  try {
    const question = { method: 'POST', path: '/calls', body: callDocument(asked) } as const;
    const { asking, response } = await openAnswer(socketPath, question, over.signal);
    try {
      if (response.statusCode !== 200) return { kind: 'not_begun', error: await refusalOf(response) };
      for await (const text of linesOf(response)) {
        const line = readCallLine(parsed(text));
        if (line === null) continue;
        switch (line.kind) {
          case 'begun':
            begun = true;
            clearTimeout(late);
            id = line.id;
            if (signal.aborted) cancel();
            break;
          case 'event':
          case 'change':
            onLine(line);
            break;
          case 'result':
            return line;
          case 'error':
            throw fromPlain(line.error);
        }
      }
      throw lost(socketPath);
    } finally {
      asking.destroy();
    }
  } catch (error) {
    if (error instanceof SluiceError) throw error;
    signal.throwIfAborted();
    if (begun) throw lost(socketPath, error);
    return { kind: 'not_begun', error: refusal(socketPath, error, over.signal.aborted ? BEGIN_MS : null) };
  } finally {
    clearTimeout(late);
    if (lastWords !== null) clearTimeout(lastWords);
    signal.removeEventListener('abort', cancel);
  }
}

function sendCancel(socketPath: string, id: number): void {
  // Where it cannot be told it ends with the connection.
  const question = { method: 'POST', path: `/calls/${id}/cancel`, body: null } as const;
  openAnswer(socketPath, question, AbortSignal.timeout(LAST_WORDS_MS)).then(
    ({ response }) => response.resume(),
    () => undefined,
  );
}

function lost(socketPath: string, cause?: unknown): SluiceError {
  return new SluiceError({
    code: 'DAEMON_LOST',
    message: `the daemon at ${socketPath} ended before this was done; what it had committed stands`,
    cause,
    hint: 'run it again: it works without a daemon too; how far each table is: sluice status',
  });
}
