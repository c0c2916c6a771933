import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { failpoint } from '../thread/failpoint.js';

/**
 * Replaces a file so that after a crash there is either the old or the new content: temporary file beside it, fsync,
 * rename, fsync of the folder. Mode 0600; missing folders are made.
 * @param tag makes the temporary name unlike that of any other writer, and tells whose it is (owner-tag.ts)
 */
export async function replaceFile(path: string, content: string, tag: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${tag}.tmp`;
  try {
    await writeSynced(temporary, content);
    await failpoint('in_state_write');
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}

/** Creates a file that must not be there yet, mode 0600, and flushes it to disk. */
export async function writeSynced(path: string, content: string): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(content, 'utf8');
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Flushes a folder's entries, without which a rename may not survive a power cut. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Whether a file system error is of one of these kinds (ENOENT, EEXIST, ...). */
export function isFileError(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && codes.includes(error.code);
}
