import { type FileHandle, open, rm } from 'node:fs/promises';
import type { DuckDbSession } from '../duckdb/session.js';
import { literal } from '../duckdb/sql-text.js';
import { eachAtOnce } from './each-at-once.js';
import type { ObjectStore } from './object-store.js';
import { writeFully } from './write-fully.js';

/**
 * Fetches some columns of Parquet files: the footer, which tells where each column chunk lies, and then those chunks, each
 * to its own place in a local file that has holes where the others are. Who reads no other columns of it never meets a
 * hole. (Parquet format, "File Format" and "Metadata"; bloom filters lie outside of the chunks.)
 */

/** A file that is to be fetched in part. */
export interface PartialFile {
  readonly key: string;
  readonly sizeBytes: number;
  /** The local file that is made. */
  readonly target: string;
}

/** What came of it: whole, where the columns make up so much of the file that nothing would be spared, and nothing was left. */
export type FetchedColumns = 'columns' | 'whole';

export interface ByteRange {
  readonly from: number;
  readonly to: number;
}

/** Holds most footers, and the bloom filters that DuckDB writes before them. */
const TAIL_BYTES = 128 * 1024;
/** Length and magic bytes at a file's end. */
const TRAILER_BYTES = 8;
const MAGIC = 'PAR1';
/** Bytes that are fetched in vain rather than to ask once more. */
const GAP_BYTES = 512 * 1024;
/** Of one request; so much is in memory for each that is under way. */
const REQUEST_BYTES = 8 * 1024 * 1024;
const REQUESTS_AT_ONCE = 4;
/** A file of which more than this part is wanted is fetched as a whole. */
const WORTHWHILE_PART = 0.5;

/**
 * Makes the local files with the columns of these names, in any case of letters; a file that lacks one is no error.
 * @returns for each file in turn whether it was made; a file that was not is gone again
 * @throws SluiceError STORE_OBJECT_MISSING, STORE_OBJECT_CHANGED and what the store throws; files may be left then
 */
export async function fetchColumns(
  session: DuckDbSession,
  store: ObjectStore,
  files: readonly PartialFile[],
  columns: readonly string[],
): Promise<FetchedColumns[]> {
  const outcome = files.map((): FetchedColumns => 'whole');
  const tails = await eachAtOnce(REQUESTS_AT_ONCE, files, (file) => fetchTail(store, file));
  const readable = files.filter((_, i) => (tails[i] ?? null) !== null);
  const chunks = await columnChunks(session, readable, columns);
  const work: { readonly file: PartialFile; readonly range: ByteRange }[] = [];
  for (const [i, file] of files.entries()) {
    const tail = tails[i] ?? null;
    const wanted = chunks.get(file.target) ?? null;
    if (tail === null || wanted === null) continue;
    const ranges = rangesToFetch(wanted, tail.from);
    const bytes = ranges.reduce((sum, { from, to }) => sum + to - from, file.sizeBytes - tail.from);
    if (bytes > file.sizeBytes * WORTHWHILE_PART) continue;
    outcome[i] = 'columns';
    work.push(...ranges.map((range) => ({ file, range })));
  }
  await eachAtOnce(REQUESTS_AT_ONCE, work, async ({ file, range: { from, to } }) => {
    const bytes = await store.getRange(file.key, from, to);
    await withFile(file.target, 'r+', (handle) => writeFully(handle, bytes, from));
  });
  for (const [i, { target }] of files.entries()) if (outcome[i] === 'whole') await rm(target, { force: true });
  return outcome;
}

/**
 * The ranges that hold all chunks and that are not in the tail, which is there: in order, near ones as one, none too large
 * for one request.
 * @param tailFrom where what is there begins
 */
export function rangesToFetch(chunks: readonly ByteRange[], tailFrom: number): ByteRange[] {
  const merged: { from: number; to: number }[] = [];
  for (const { from, to } of chunks.toSorted((a, b) => a.from - b.from)) {
    const end = Math.min(to, tailFrom);
    if (from >= end) continue;
    const last = merged.at(-1);
    if (last !== undefined && from - last.to <= GAP_BYTES) last.to = Math.max(last.to, end);
    else merged.push({ from, to: end });
  }
  return merged.flatMap(({ from, to }) => {
    const count = Math.ceil((to - from) / REQUEST_BYTES);
    return Array.from({ length: count }, (_, i) => ({
      from: from + i * REQUEST_BYTES,
      to: Math.min(from + (i + 1) * REQUEST_BYTES, to),
    }));
  });
}

/** Makes the local file with its end, where the footer is. @returns where that begins; null for what is not Parquet as we know it */
async function fetchTail(
  store: ObjectStore,
  { key, sizeBytes, target }: PartialFile,
): Promise<{ from: number } | null> {
  let from = Math.max(0, sizeBytes - TAIL_BYTES);
  let tail = Buffer.from(await store.getRange(key, from, sizeBytes));
  if (tail.length < TRAILER_BYTES || tail.toString('latin1', tail.length - 4) !== MAGIC) return null;
  const footerFrom = sizeBytes - TRAILER_BYTES - tail.readUInt32LE(tail.length - TRAILER_BYTES);
  if (footerFrom < 0) return null;
  if (footerFrom < from) {
    tail = Buffer.concat([await store.getRange(key, footerFrom, from), tail]);
    from = footerFrom;
  }
  await withFile(target, 'w', async (handle) => {
    await handle.truncate(sizeBytes);
    await writeFully(handle, Buffer.from(MAGIC, 'latin1'), 0);
    await writeFully(handle, tail, from);
  });
  return { from };
}

/** By local file, where the chunks of the columns lie, with their bloom filters; null for a file that does not say all of it. */
async function columnChunks(
  session: DuckDbSession,
  files: readonly PartialFile[],
  columns: readonly string[],
): Promise<Map<string, ByteRange[] | null>> {
  const found = new Map<string, ByteRange[] | null>(files.map(({ target }) => [target, []]));
  if (files.length === 0) return found;
  // The path of a nested column is its parts, parted so.
  const wanted = columns
    .map((name) => literal(name.toLowerCase()))
    .map((name) => `lower(path_in_schema) = ${name} OR starts_with(lower(path_in_schema), ${name} || ', ')`);
  const rows = await session.rows<{
    file: string;
    data: string;
    dictionary: string | null;
    bytes: string;
    bloom: string | null;
    bloom_bytes: string | null;
  }>(
    `SELECT file_name AS file, data_page_offset AS data, dictionary_page_offset AS dictionary, total_compressed_size AS bytes,
       bloom_filter_offset AS bloom, bloom_filter_length AS bloom_bytes
     FROM parquet_metadata([${files.map(({ target }) => literal(target)).join(', ')}]) WHERE ${wanted.join(' OR ')}`,
  );
  for (const { file, data, dictionary, bytes, bloom, bloom_bytes } of rows) {
    const chunks = found.get(file);
    if (chunks === null || chunks === undefined) continue;
    // Some writers say 0 where there is no dictionary.
    const from =
      dictionary === null || Number(dictionary) === 0 ? Number(data) : Math.min(Number(data), Number(dictionary));
    chunks.push({ from, to: from + Number(bytes) });
    if (bloom === null) continue;
    if (bloom_bytes === null) found.set(file, null);
    else chunks.push({ from: Number(bloom), to: Number(bloom) + Number(bloom_bytes) });
  }
  return found;
}

async function withFile(
  file: string,
  flags: 'w' | 'r+',
  work: (handle: FileHandle) => Promise<unknown>,
): Promise<void> {
  const handle = await open(file, flags);
  try {
    await work(handle);
  } finally {
    await handle.close();
  }
}
