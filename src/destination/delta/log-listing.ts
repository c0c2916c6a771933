import type { ObjectInfo, ObjectStore } from '../lake/object-store.js';
import { type LogFile, logPrefix, readLogName } from './log-path.js';

/** A file of the log as it was listed. */
export interface ListedFile {
  readonly file: LogFile;
  readonly info: ObjectInfo;
}

/** The newest checkpoint of a listing, with all of its files. */
export interface CheckpointFiles {
  readonly version: number;
  readonly format: 'json' | 'parquet';
  readonly files: readonly ObjectInfo[];
}

/**
 * Lists the versions of a table's log, in their order. What begins with a letter or an underscore sorts behind them and is
 * not asked for.
 * @param behind only names that sort behind this one
 */
export async function listLog(
  store: ObjectStore,
  table: string,
  behind: string | null,
  signal?: AbortSignal,
): Promise<readonly ListedFile[]> {
  const prefix = logPrefix(table);
  const listed: ListedFile[] = [];
  const options = behind === null ? {} : { startAfter: prefix + behind };
  for await (const info of store.list(prefix, options, signal)) {
    const name = info.key.slice(prefix.length);
    if (name > ':') break;
    listed.push({ file: readLogName(name), info });
  }
  return listed;
}

/**
 * The newest checkpoint of which every file is there. Of several of one version the one that is a single file is taken.
 * @param upTo no newer one
 */
export function newestCheckpoint(
  listed: readonly ListedFile[],
  upTo = Number.POSITIVE_INFINITY,
): CheckpointFiles | null {
  return completeCheckpoints(listed).findLast((checkpoint) => checkpoint.version <= upTo) ?? null;
}

/** All complete checkpoints in the order of their versions; of several of one version the last is the one to take. */
export function completeCheckpoints(listed: readonly ListedFile[]): readonly CheckpointFiles[] {
  const whole: CheckpointFiles[] = [];
  const parts = new Map<string, { version: number; parts: number; files: ObjectInfo[] }>();
  for (const { file, info } of listed) {
    if (file.kind === 'classic_checkpoint') whole.push({ version: file.version, format: 'parquet', files: [info] });
    if (file.kind === 'v2_checkpoint') whole.push({ version: file.version, format: file.format, files: [info] });
    if (file.kind === 'checkpoint_part') {
      const name = `${file.version}/${file.parts}`;
      const known = parts.get(name) ?? { version: file.version, parts: file.parts, files: [] };
      known.files.push(info);
      parts.set(name, known);
    }
  }
  const inParts = [...parts.values()]
    .filter((checkpoint) => checkpoint.files.length === checkpoint.parts)
    .map(({ version, files }): CheckpointFiles => ({ version, format: 'parquet', files }));
  return [...inParts, ...whole].sort((a, b) => a.version - b.version);
}
