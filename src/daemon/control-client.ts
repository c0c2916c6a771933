import { request } from 'node:http';
import { fromPlain, SluiceError } from '../error/sluice-error.js';
import {
  CONTROL_VERSION,
  type DaemonBlock,
  type Fields,
  fields,
  notUnderstood,
  plainError,
  readDaemonBlock,
  readReloadOutcome,
} from './control-protocol.js';
import type { ReloadOutcome } from './reload.js';

/** A daemon tells of itself from memory; one that takes longer hangs. */
const FACTS_MS = 3_000;

/** The file system's limit for the path of a socket, less the closing zero. */
export const LONGEST_SOCKET_PATH_BYTES = process.platform === 'darwin' ? 103 : 107;

/**
 * What the daemon at a control socket tells of itself.
 * @throws SluiceError DAEMON_NOT_RUNNING, DAEMON_UNREACHABLE
 */
export async function askFacts(socketPath: string, signal: AbortSignal): Promise<DaemonBlock> {
  return readDaemonBlock(await ask(socketPath, { method: 'GET', path: '/daemon', timeoutMs: FACTS_MS }, signal));
}

/** A status asks servers and destinations, each of which has its own time. */
const STATUS_MS = 35_000;

/**
 * The document of `sluice status --format json` from the daemon at a control socket, its `daemon` block included.
 * @throws SluiceError DAEMON_NOT_RUNNING, DAEMON_UNREACHABLE, and what the daemon's look at state and destinations threw
 */
export function askStatus(socketPath: string, signal: AbortSignal): Promise<Fields> {
  return ask(socketPath, { method: 'GET', path: '/status', timeoutMs: STATUS_MS }, signal);
}

/**
 * Lets the daemon read its file, and waits for what becomes of that: until the changed config has been planned and, where
 * that is allowed, applied.
 * @throws SluiceError DAEMON_NOT_RUNNING, DAEMON_UNREACHABLE
 */
export async function askReload(socketPath: string, signal: AbortSignal): Promise<ReloadOutcome> {
  return readReloadOutcome(await ask(socketPath, { method: 'POST', path: '/reload', timeoutMs: null }, signal));
}

interface Question {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** Null: for as long as it takes. */
  readonly timeoutMs: number | null;
}

async function ask(socketPath: string, question: Question, signal: AbortSignal): Promise<Fields> {
  // Node would cut a longer path and ask at another place.
  if (Buffer.byteLength(socketPath) > LONGEST_SOCKET_PATH_BYTES) throw notRunning(socketPath);
  const { timeoutMs } = question;
  const late = timeoutMs === null ? null : AbortSignal.timeout(timeoutMs);
  let answer: Answer;
  try {
    answer = await exchange(socketPath, question, late === null ? signal : AbortSignal.any([signal, late]));
  } catch (cause) {
    signal.throwIfAborted();
    throw refusal(socketPath, cause, late?.aborted === true ? timeoutMs : null);
  }
  return readAnswer(answer);
}

/** The document of an answer. @throws SluiceError the error that it holds, DAEMON_UNREACHABLE for anything else */
export function readAnswer(answer: Answer): Readonly<Record<string, unknown>> {
  const document = fields(parsed(answer.body));
  if (document['format_version'] !== CONTROL_VERSION) throw notUnderstood();
  if (answer.status !== 200) throw fromPlain(plainError(document['error']));
  return document;
}

export interface Answer {
  readonly status: number;
  readonly body: string;
}

function exchange(socketPath: string, { method, path }: Question, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asking = request({ socketPath, method, path, signal, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }),
      );
    });
    asking.on('error', reject);
    asking.end();
  });
}

/** @throws SluiceError DAEMON_UNREACHABLE where it is no JSON */
export function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw notUnderstood();
  }
}

/** @param waitedMs null: it was not the time that ended it */
export function refusal(socketPath: string, cause: unknown, waitedMs: number | null): SluiceError {
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : undefined;
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
    // Also that of a file that is no socket.
    case 'ECONNREFUSED':
      return notRunning(socketPath);
    case 'EACCES':
    case 'EPERM':
      return new SluiceError({
        code: 'DAEMON_UNREACHABLE',
        message: `the control socket ${socketPath} is for its owner alone`,
        cause,
        hint: 'run this as the account that the daemon runs under: sudo -u sluice sluice ...',
      });
    default:
      return new SluiceError({
        code: 'DAEMON_UNREACHABLE',
        message:
          waitedMs === null
            ? `the daemon at ${socketPath} broke off before it answered`
            : `the daemon at ${socketPath} did not answer within ${waitedMs / 1_000} s`,
        cause,
        hint: 'see its log; sluice reload can be run again',
      });
  }
}

export function notRunning(socketPath: string): SluiceError {
  return new SluiceError({
    code: 'DAEMON_NOT_RUNNING',
    message: `no daemon answers at ${socketPath}`,
    hint: 'start one: sluice daemon; or give the config that it runs with: -c FILE',
  });
}
