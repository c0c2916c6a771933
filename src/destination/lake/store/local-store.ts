import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, type FileHandle, link, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isFileError, syncFolder } from '../../../state/replace-file.js';
import type { ObjectInfo, ObjectStore, PutCondition, PutResult, StoredObject, StoreTraffic } from '../object-store.js';
import { checkKey, TEMPORARY_FOLDER } from './key.js';
import { listFiles, localError, makeFolder, removeEmptyFolders } from './local-files.js';
import { underFileLock } from './local-lock.js';
import { missingError, shortError } from './object-error.js';
import type { StoreDeps } from './store-deps.js';
import { TrafficMeter } from './traffic.js';

/** A folder may be removed as empty between its making and the first file in it; it is then made again. */
const FOLDER_TRIES = 20;

/**
 * A folder as an object store. An object appears by a link or a rename of a finished, flushed file, so readers see all of
 * it or nothing; both hold between machines on NFS, too.
 *
 * Where there must be none yet, the exclusive `link` decides. An etag is the sha256 of the content, so the same bytes are
 * the same version. Swaps by etag and unconditional writes of one key take turns by a lock file ({@link underFileLock});
 * a delete does not, so keys that are swapped must not be deleted beside it. A process on another machine that died with
 * the lock in its hand has to be cleared away by a person.
 */
export class LocalStore implements ObjectStore {
  readonly place: string;
  readonly folder: string;
  private readonly meter = new TrafficMeter();
  private readonly temporaryFolder: string;
  private readonly never = new AbortController().signal;

  /** @param folder absolute; made at the first write */
  constructor(
    folder: string,
    private readonly deps: StoreDeps,
  ) {
    this.place = folder;
    this.folder = folder;
    this.temporaryFolder = join(folder, TEMPORARY_FOLDER);
  }

  get traffic(): StoreTraffic {
    return this.meter.read();
  }

  async get(key: string, signal?: AbortSignal): Promise<StoredObject | null> {
    return await this.asking(signal, async () => {
      this.meter.asked('gets');
      const file = await this.openOrNull(key);
      if (file === null) return null;
      try {
        const { mtime } = await file.stat();
        const body = await file.readFile();
        this.meter.received(body.length);
        return { key, sizeBytes: body.length, modifiedAt: mtime, etag: etagOf(body), body };
      } finally {
        await file.close();
      }
    });
  }

  async getIfChanged(key: string, etag: string, signal?: AbortSignal): Promise<StoredObject | 'unchanged' | null> {
    const found = await this.get(key, signal);
    return found?.etag === etag ? 'unchanged' : found;
  }

  async getRange(key: string, from: number, to: number, signal?: AbortSignal): Promise<Uint8Array> {
    return await this.asking(signal, async () => {
      this.meter.asked('gets');
      const file = await this.openOrNull(key);
      if (file === null) throw missingError(this.place, key);
      try {
        const bytes = Buffer.alloc(to - from);
        const length = await readFully(file, bytes, from);
        if (length < bytes.length) throw shortError(this.place, key, to, from + length);
        this.meter.received(length);
        return bytes;
      } finally {
        await file.close();
      }
    });
  }

  async download(key: string, file: string, signal?: AbortSignal): Promise<number> {
    const part = `${file}.${this.deps.newToken()}.part`;
    return await this.asking(signal, async () => {
      this.meter.asked('gets');
      try {
        await copyFile(this.pathOf(key), part, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
        const { size } = await stat(part);
        await rename(part, file);
        this.meter.received(size);
        return size;
      } catch (error) {
        await rm(part, { force: true });
        if (isFileError(error, 'ENOENT') && (await this.statOrNull(key)) === null) throw missingError(this.place, key);
        throw error;
      }
    });
  }

  async head(key: string, signal?: AbortSignal): Promise<ObjectInfo | null> {
    return await this.asking(signal, async () => {
      this.meter.asked('gets');
      return await this.statOrNull(key);
    });
  }

  async *list(
    prefix: string,
    options: { readonly startAfter?: string } = {},
    signal?: AbortSignal,
  ): AsyncGenerator<ObjectInfo> {
    this.meter.asked('lists');
    try {
      for await (const found of listFiles(this.folder, prefix, options.startAfter ?? '')) {
        signal?.throwIfAborted();
        yield found;
      }
    } catch (error) {
      throw localError(error, this.place);
    }
  }

  async put(
    key: string,
    body: Uint8Array,
    condition: PutCondition | null,
    signal: AbortSignal = this.never,
  ): Promise<PutResult> {
    return await this.asking(signal, async () => {
      this.meter.asked('puts', body.length);
      const path = this.pathOf(key);
      const written = { kind: 'written', etag: etagOf(body) } as const;
      return await this.withTemporary(async (temporary) => {
        await writeFlushed(temporary, body);
        if (condition?.kind === 'absent') return (await this.linkNew(temporary, path)) ? written : { kind: 'refused' };
        return await underFileLock(this.lockOf(key), this.deps, signal, async () => {
          if (condition !== null && (await this.currentEtag(path)) !== condition.etag) return { kind: 'refused' };
          await this.moveTo(temporary, path);
          return written;
        });
      });
    });
  }

  async upload(file: string, key: string, signal?: AbortSignal): Promise<number> {
    return await this.asking(signal, async () => {
      const path = this.pathOf(key);
      return await this.withTemporary(async (temporary) => {
        try {
          await link(file, temporary);
        } catch (error) {
          // Another file system, or one without links.
          if (!isFileError(error, 'EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS')) throw error;
          await copyFile(file, temporary, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
        }
        const size = await flush(temporary);
        this.meter.asked('puts', size);
        await this.moveTo(temporary, path);
        return size;
      });
    });
  }

  async delete(keys: readonly string[], signal?: AbortSignal): Promise<void> {
    await this.asking(signal, async () => {
      const folders = new Set<string>();
      for (const key of keys) {
        signal?.throwIfAborted();
        const path = this.pathOf(key);
        this.meter.asked('deletes');
        await rm(path, { force: true });
        folders.add(dirname(path));
      }
      for (const folder of folders) await removeEmptyFolders(folder, this.folder);
    });
  }

  async abortLeftovers(_prefix: string, olderThan: Date, signal?: AbortSignal): Promise<number> {
    return await this.asking(signal, async () => {
      let removed = 0;
      for await (const found of listFiles(this.temporaryFolder, '', '')) {
        signal?.throwIfAborted();
        // Locks are freed by who takes them next.
        if (found.key.startsWith('lock-') && !found.key.endsWith('.tmp')) continue;
        if (found.modifiedAt >= olderThan) continue;
        await rm(join(this.temporaryFolder, found.key), { force: true });
        removed += 1;
      }
      return removed;
    });
  }

  serverTime(): Promise<Date | null> {
    return Promise.resolve(null);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  private async asking<Result>(signal: AbortSignal | undefined, work: () => Promise<Result>): Promise<Result> {
    signal?.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      throw signal?.aborted && error === signal.reason ? error : localError(error, this.place);
    }
  }

  private pathOf(key: string): string {
    return join(this.folder, checkKey(key));
  }

  /** One for each key, under a name that any file system takes. */
  private lockOf(key: string): string {
    return join(this.temporaryFolder, `lock-${createHash('sha256').update(key).digest('hex').slice(0, 32)}`);
  }

  private async openOrNull(key: string): Promise<FileHandle | null> {
    try {
      return await open(this.pathOf(key), 'r');
    } catch (error) {
      if (isFileError(error, 'ENOENT', 'ENOTDIR')) return null;
      throw error;
    }
  }

  private async statOrNull(key: string): Promise<ObjectInfo | null> {
    try {
      const found = await stat(this.pathOf(key));
      return found.isFile() ? { key, sizeBytes: found.size, modifiedAt: found.mtime } : null;
    } catch (error) {
      if (isFileError(error, 'ENOENT', 'ENOTDIR')) return null;
      throw error;
    }
  }

  private async currentEtag(path: string): Promise<string | null> {
    try {
      return etagOf(await readFile(path));
    } catch (error) {
      if (isFileError(error, 'ENOENT', 'ENOTDIR')) return null;
      throw error;
    }
  }

  private async withTemporary<Result>(work: (path: string) => Promise<Result>): Promise<Result> {
    await makeFolder(this.temporaryFolder);
    const temporary = join(this.temporaryFolder, `${this.deps.newToken()}.tmp`);
    try {
      return await work(temporary);
    } finally {
      await rm(temporary, { force: true });
    }
  }

  /** @returns false where there is a file already */
  private async linkNew(temporary: string, path: string): Promise<boolean> {
    try {
      await this.inFolderOf(path, () => link(temporary, path));
    } catch (error) {
      if (!isFileError(error, 'EEXIST')) throw error;
      // An NFS client that repeats a lost request is told so of its own link: the count of links tells the truth.
      if ((await stat(temporary)).nlink < 2) return false;
    }
    await syncFolder(dirname(path));
    return true;
  }

  private async moveTo(temporary: string, path: string): Promise<void> {
    await this.inFolderOf(path, () => rename(temporary, path));
    await syncFolder(dirname(path));
  }

  private async inFolderOf(path: string, work: () => Promise<void>): Promise<void> {
    for (let tried = 1; ; tried += 1) {
      try {
        return await work();
      } catch (error) {
        if (!isFileError(error, 'ENOENT') || tried === FOLDER_TRIES) throw error;
        await makeFolder(dirname(path));
      }
    }
  }
}

function etagOf(body: Uint8Array): string {
  return createHash('sha256').update(body).digest('hex');
}

/** Readable for others, as tables are: engines often run under another account. The umask may narrow it. */
async function writeFlushed(path: string, body: Uint8Array): Promise<void> {
  const file = await open(path, 'wx', 0o666);
  try {
    await file.writeFile(body);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function flush(path: string): Promise<number> {
  const file = await open(path, 'r');
  try {
    await file.sync();
    return (await file.stat()).size;
  } finally {
    await file.close();
  }
}

/** @returns how many bytes there were */
async function readFully(file: FileHandle, into: Uint8Array, position: number): Promise<number> {
  let length = 0;
  while (length < into.length) {
    const { bytesRead } = await file.read(into, length, into.length - length, position + length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return length;
}
