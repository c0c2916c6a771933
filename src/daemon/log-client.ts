import { SluiceError } from '../error/sluice-error.js';
import { LONGEST_SOCKET_PATH_BYTES, notRunning, parsed, refusal } from './control-client.js';
import { linesOf, openAnswer, refusalOf } from './line-stream.js';
import { type LogAnswerLine, type LogRequest, logPath, readLogAnswerLine } from './log-protocol.js';

/** A daemon that takes longer to answer hangs. */
const BEGIN_MS = 10_000;

/**
 * Reads the log of the daemon at a control socket. Resolves when it has told all that was asked for, when it ends in order,
 * or when the signal aborts.
 * @throws SluiceError DAEMON_NOT_RUNNING, DAEMON_UNREACHABLE, DAEMON_LOST
 */
export async function readLog(
  socketPath: string,
  asked: LogRequest,
  onLine: (line: Extract<LogAnswerLine, { kind: 'line' | 'skipped' }>) => void,
  signal: AbortSignal,
): Promise<void> {
  if (Buffer.byteLength(socketPath) > LONGEST_SOCKET_PATH_BYTES) throw notRunning(socketPath);
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), BEGIN_MS);
  let begun = false;
  try {
    const question = { method: 'GET', path: logPath(asked), body: null } as const;
    const { asking, response } = await openAnswer(socketPath, question, AbortSignal.any([signal, late.signal]));
    try {
      if (response.statusCode !== 200) throw await refusalOf(response);
      for await (const text of linesOf(response)) {
        const line = readLogAnswerLine(parsed(text));
        clearTimeout(timer);
        begun = true;
        if (line?.kind === 'end') return;
        if (line?.kind === 'line' || line?.kind === 'skipped') onLine(line);
      }
    } finally {
      asking.destroy();
    }
    throw new Error('the answer ended too early');
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof SluiceError) throw error;
    if (!begun) throw refusal(socketPath, error, late.signal.aborted ? BEGIN_MS : null);
    throw new SluiceError({
      code: 'DAEMON_LOST',
      message: `the daemon at ${socketPath} was killed, or broke off`,
      cause: error,
      hint: 'its last lines are where its stderr goes: journalctl -u sluice',
    });
  } finally {
    clearTimeout(timer);
  }
}
