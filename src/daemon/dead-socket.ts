import type { Stats } from 'node:fs';
import { lstat, unlink } from 'node:fs/promises';
import { asSluiceError, SluiceError } from '../error/sluice-error.js';
import { askFacts } from './control-client.js';

/** The file of a unix socket outlives a process that was killed; nobody listens there any more. */

/**
 * Removes a dead daemon's socket for one that is about to listen there.
 * @throws SluiceError DAEMON_RUNNING, LISTEN_FAILED where something else is at the path
 */
export async function makeRoomForSocket(socketPath: string): Promise<void> {
  const found = await lstatOrNull(socketPath);
  if (found === null) return;
  if (!found.isSocket()) {
    throw new SluiceError({
      code: 'LISTEN_FAILED',
      message: `${socketPath} is there and is no socket; it is left as it is`,
      hint: 'move it away, or set another path under daemon.socket',
    });
  }
  const holder = await holderOf(socketPath);
  if (holder !== null) {
    throw new SluiceError({
      code: 'DAEMON_RUNNING',
      message: `${holder} has the control socket ${socketPath}`,
      hint: 'stop it first; a daemon of another config needs a path of its own under daemon.socket',
    });
  }
  await unlinkIfStill(socketPath, found.ino);
}

/** Removes the socket of a daemon that was killed; whatever else is at the path stays, and so does what may not be removed. */
export async function removeDeadSocket(socketPath: string): Promise<void> {
  try {
    const found = await lstatOrNull(socketPath);
    if (found?.isSocket() !== true || (await holderOf(socketPath)) !== null) return;
    await unlinkIfStill(socketPath, found.ino);
  } catch (error) {
    // What the file system refuses is in nobody's way: the next daemon, which may have other rights, removes it.
    if (errno(error) === undefined) throw error;
  }
}

/** Who listens at a socket; null: nobody, its process is dead. */
async function holderOf(socketPath: string): Promise<string | null> {
  try {
    const { pid, config } = await askFacts(socketPath, new AbortController().signal);
    return `a daemon for ${config.file} (pid ${pid})`;
  } catch (error) {
    if (asSluiceError(error).code === 'DAEMON_NOT_RUNNING') return null;
    return 'a process that does not answer as a daemon would';
  }
}

/** A daemon that starts at the same moment may have replaced it already. */
async function unlinkIfStill(socketPath: string, inode: number): Promise<void> {
  const now = await lstatOrNull(socketPath);
  if (now?.ino !== inode) return;
  try {
    await unlink(socketPath);
  } catch (error) {
    if (errno(error) !== 'ENOENT') throw error;
  }
}

async function lstatOrNull(file: string): Promise<Stats | null> {
  try {
    return await lstat(file);
  } catch (error) {
    if (errno(error) === 'ENOENT' || errno(error) === 'ENOTDIR') return null;
    throw error;
  }
}

function errno(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
