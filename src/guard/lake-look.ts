import type { StoreCheck } from '../destination/lake/store/check-store.js';
import type { PlainError } from '../error/sluice-error.js';

/** What was seen of one lake, for the checks to judge. Plain data. */
export interface LakeLook {
  /** Name in the file. */
  readonly destination: string;
  readonly type: 's3' | 'local';
  /** What was tried at its place; null where it could not even be opened, for `trouble`. */
  readonly store: readonly StoreCheck[] | null;
  readonly trouble: PlainError | null;
  readonly work: WorkFolderLook;
}

/** The folder of the working file and of the copies of the lake's files. */
export interface WorkFolderLook {
  /** Absolute. */
  readonly path: string;
  /** Why nothing could be written there; null where it could. */
  readonly unwritable: string | null;
  /** Of its file system; null where that is not known. */
  readonly freeBytes: number | null;
  /** How much the copies may take; 0 for a lake in a folder, whose files are read where they are. */
  readonly cacheBytes: number;
}
