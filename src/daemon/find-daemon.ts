import { realpath } from 'node:fs/promises';
import type { Config } from '../config/config.js';
import { asSluiceError, type PlainError } from '../error/sluice-error.js';
import { askFacts, askReload } from './control-client.js';
import type { DaemonBlock } from './control-protocol.js';

export type FoundDaemon =
  | { readonly kind: 'none' }
  /** It works with the same config. */
  | { readonly kind: 'agrees' }
  /** It works with another one, or cannot be asked; `why` is for people. */
  | { readonly kind: 'apart'; readonly why: string };

/**
 * Whether a daemon can work for a command that has read `config`. One that has not taken the file over yet is asked to.
 * @param onReload told before that, as it may take a while
 */
export async function findDaemon(config: Config, onReload: () => void, signal: AbortSignal): Promise<FoundDaemon> {
  const { socket } = config.daemon;
  try {
    const facts = await askFacts(socket, signal);
    if (!(await isSameFile(facts.config.file, config.file))) {
      return apart(`the daemon at ${socket} (pid ${facts.pid}) works with ${facts.config.file}`);
    }
    if (facts.config.hash === config.hash) return { kind: 'agrees' };
    onReload();
    const outcome = await askReload(socket, signal);
    if (outcome.kind === 'refused' || outcome.kind === 'failed') return apart(notTaken(facts, outcome.error));
    const after = await askFacts(socket, signal);
    return after.config.hash === config.hash ? { kind: 'agrees' } : apart(notTaken(after, null));
  } catch (error) {
    signal.throwIfAborted();
    const { code, message } = asSluiceError(error);
    return code === 'DAEMON_NOT_RUNNING' ? { kind: 'none' } : apart(message);
  }
}

function apart(why: string): FoundDaemon {
  return { kind: 'apart', why };
}

function notTaken({ pid }: DaemonBlock, error: PlainError | null): string {
  const [reason = ''] = (error?.message ?? 'it reads the file in another way, with other variables perhaps').split(
    '\n',
  );
  return `the daemon (pid ${pid}) goes on with another version of the config: ${reason}`;
}

async function isSameFile(left: string, right: string): Promise<boolean> {
  if (left === right) return true;
  const [real, other] = await Promise.all([left, right].map((file) => realpath(file).catch(() => file)));
  return real === other;
}
