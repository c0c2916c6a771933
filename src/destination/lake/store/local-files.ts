import type { Dirent } from 'node:fs';
import { mkdir, readdir, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { SluiceError } from '../../../error/sluice-error.js';
import { isFileError, syncFolder } from '../../../state/replace-file.js';
import type { ObjectInfo } from '../object-store.js';
import { TEMPORARY_FOLDER } from './key.js';

/** Makes a folder with those above it, durably. */
export async function makeFolder(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true });
  if (first === undefined) return;
  // Each new folder is an entry of the one above it.
  for (let folder = path; folder.length >= first.length; folder = dirname(folder)) await syncFolder(dirname(folder));
}

/** Removes a folder and those above it, below `root`, as far as they are empty. */
export async function removeEmptyFolders(path: string, root: string): Promise<void> {
  for (let folder = path; folder.length > root.length; folder = dirname(folder)) {
    try {
      await rmdir(folder);
    } catch (error) {
      if (isFileError(error, 'ENOENT')) continue;
      if (isFileError(error, 'ENOTEMPTY', 'EEXIST', 'EBUSY', 'ENOTDIR', 'EACCES', 'EPERM')) return;
      throw error;
    }
  }
}

/**
 * The files below `root` whose key begins with `prefix` and sorts behind `startAfter`, in the order of their keys as bytes;
 * one folder's entries in memory at a time. Links are followed, as reads and writes follow them.
 */
export async function* listFiles(root: string, prefix: string, startAfter: string): AsyncGenerator<ObjectInfo> {
  const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
  // No key has such parts, and a path with them would lead elsewhere.
  const strange = folder
    .split('/')
    .slice(0, -1)
    .some((part) => part === '' || part === '.' || part === '..');
  if (!strange) yield* walk(root, folder, prefix, startAfter);
}

async function* walk(root: string, folder: string, prefix: string, startAfter: string): AsyncGenerator<ObjectInfo> {
  for (const { key, isFolder } of await entriesOf(root, folder)) {
    if (isFolder) {
      const beforeStart = bytewise(key, startAfter) <= 0 && !startAfter.startsWith(key);
      if ((key.startsWith(prefix) || prefix.startsWith(key)) && !beforeStart)
        yield* walk(root, key, prefix, startAfter);
    } else if (key.startsWith(prefix) && bytewise(key, startAfter) > 0) {
      const found = await statOrNull(join(root, key));
      if (found?.isFile()) yield { key, sizeBytes: found.size, modifiedAt: found.mtime };
    }
  }
}

interface Entry {
  /** Of a folder with a slash at its end. */
  readonly key: string;
  readonly isFolder: boolean;
}

/** In the order in which their keys come: `a-b` stands before what is in the folder `a`, whose keys go on with a slash. */
async function entriesOf(root: string, folder: string): Promise<readonly Entry[]> {
  let found: Dirent[];
  try {
    found = await readdir(join(root, folder), { withFileTypes: true });
  } catch (error) {
    // Removed meanwhile, or a prefix that nothing has.
    if (isFileError(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
  const entries: Entry[] = [];
  for (const entry of found) {
    if (folder === '' && entry.name === TEMPORARY_FOLDER) continue;
    const linked = entry.isSymbolicLink() ? await statOrNull(join(root, folder, entry.name)) : entry;
    if (linked?.isDirectory()) entries.push({ key: `${folder}${entry.name}/`, isFolder: true });
    else if (linked?.isFile()) entries.push({ key: `${folder}${entry.name}`, isFolder: false });
  }
  return entries.sort((a, b) => bytewise(a.key, b.key));
}

async function statOrNull(path: string) {
  try {
    return await stat(path);
  } catch (error) {
    if (isFileError(error, 'ENOENT', 'ENOTDIR')) return null;
    throw error;
  }
}

const ASCII = /^[ -~]*$/;

/** Keys of others may hold any character; UTF-16 and UTF-8 do not sort all of them alike. */
function bytewise(a: string, b: string): number {
  if (!ASCII.test(a) || !ASCII.test(b)) return Buffer.compare(Buffer.from(a), Buffer.from(b));
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** What a file system error means for a store in a folder; anything else as it is. */
export function localError(error: unknown, place: string): unknown {
  if (!(error instanceof Error) || error instanceof SluiceError || !('code' in error)) return error;
  const wrong = `${place}: ${error.message}`;
  switch (error.code) {
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new SluiceError({
        code: 'STORE_FORBIDDEN',
        message: wrong,
        hint: `let the account that runs sluice read and write below ${place}`,
        cause: error,
      });
    case 'EXDEV':
      return new SluiceError({
        code: 'STORE_FAILED',
        message: `${wrong}; a part of the folder is on another file system`,
        hint: 'keep all tables of the destination on one file system: files appear by links and renames, which cannot cross',
        cause: error,
      });
    case 'ENOTSUP':
    case 'EOPNOTSUPP':
    case 'ENOSYS':
      return new SluiceError({
        code: 'STORE_NOT_CONDITIONAL',
        message: `${wrong}; the file system has no hard links, by which a commit shows that nobody came first`,
        hint: 'use a local disk or NFS, or a bucket',
        cause: error,
      });
    default:
      return new SluiceError({ code: 'STORE_FAILED', message: wrong, cause: error });
  }
}
