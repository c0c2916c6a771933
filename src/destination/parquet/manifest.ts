import type { LakeColumn } from '../lake/ledger.js';
import { decodeDocument, isListOf, isRecord } from '../lake/versioned-document.js';

/**
 * `latest.json` of a table's folder: which of its files hold the table. It is swapped as a whole by its etag, and whatever
 * it does not name is no part of the table. docs/parquet.md describes it for readers.
 */
export interface Manifest {
  readonly format_version: 1;
  /** Whose the table is, and the last of its commits that is in it. */
  readonly application: string;
  readonly serial: number;
  /** One higher with every commit; rows carry the number of theirs. */
  readonly commit: number;
  readonly written_at: string;
  readonly columns: readonly LakeColumn[];
  /** What the source says that the table is; absent where it says nothing. */
  readonly comment?: string;
  readonly key: readonly string[];
  /** Rows of a later commit take the place of earlier ones with the same values in these columns; [] for never. */
  readonly identity: readonly string[];
  /** Paths of all files of the snapshot and the changes, below the table's folder. */
  readonly files: readonly string[];
  readonly snapshot: {
    readonly path: string;
    /** One higher with every snapshot. */
    readonly generation: number;
    /** It holds everything up to this commit. */
    readonly commit: number;
    readonly files: readonly ManifestFile[];
  };
  /** In the order of their commits. */
  readonly changes: readonly ManifestChange[];
  /** Since when snapshots and changes up to a number that are not named above belong to no table any more, oldest first. */
  readonly retired: readonly Retirement[];
}

export interface ManifestFile {
  readonly path: string;
  readonly rows: number;
  readonly bytes: number;
}

export interface ManifestChange extends ManifestFile {
  /** The first and the last commit that it has rows of. */
  readonly first: number;
  readonly last: number;
}

export interface Retirement {
  readonly generation: number;
  readonly commit: number;
  readonly since: string;
}

/** The columns that every data file has behind the table's own. */
export const COMMIT_COLUMN = '_sluice_commit';
export const REMOVED_COLUMN = '_sluice_removed';

const DIGITS = 12;

export function manifestKey(folder: string): string {
  return `${folder}/latest.json`;
}

/** A generation's folder: `snapshots/000000000012-1f0c9a2e`. @param id of unreserved ASCII, new for each one */
export function snapshotPath(generation: number, id: string): string {
  return `snapshots/${padded(generation)}-${id}`;
}

/** Without the number of the part and the ending. @param date of the commit */
export function changePath(first: number, last: number, date: Date, id: string): string {
  return `changes/dt=${date.toISOString().slice(0, 10)}/${padded(first)}-${padded(last)}-${id}`;
}

/** What a file below a table's folder says of itself by its path; null for one that is no data file of ours. */
export type DataPath =
  | { readonly kind: 'snapshot'; readonly generation: number }
  | { readonly kind: 'changes'; readonly commit: number };

export function parseDataPath(path: string): DataPath | null {
  const snapshot = /^snapshots\/(\d{12})-[^/]+\/[^/]+\.parquet$/.exec(path);
  if (snapshot !== null) return { kind: 'snapshot', generation: Number(snapshot[1]) };
  const changes = /^changes\/dt=[0-9-]{10}\/\d{12}-(\d{12})-[^/]+\.parquet$/.exec(path);
  return changes === null ? null : { kind: 'changes', commit: Number(changes[1]) };
}

function padded(number: number): string {
  return String(number).padStart(DIGITS, '0');
}

export function filesOf(manifest: Pick<Manifest, 'snapshot' | 'changes'>): string[] {
  return [...manifest.snapshot.files, ...manifest.changes].map((file) => file.path);
}

const HOUR = 'yyyy-mm-ddThh'.length;

/**
 * What stands in `retired` after another snapshot took the place of everything: one entry an hour, which only keeps files
 * longer.
 * @param next the other snapshot's generation
 */
export function retire(manifest: Manifest, next: number, now: Date): Retirement[] {
  const since = now.toISOString();
  const hour = since.slice(0, HOUR);
  return [
    ...manifest.retired.filter((entry) => entry.since.slice(0, HOUR) !== hour),
    { generation: Math.min(manifest.snapshot.generation, next - 1), commit: manifest.commit, since },
  ];
}

export function encodeManifest(manifest: Manifest): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(manifest, null, 1)}\n`);
}

/** @throws SluiceError PARQUET_MANIFEST_CORRUPT */
export function decodeManifest(body: Uint8Array, place: string): Manifest {
  return decodeDocument(body, place, {
    code: 'PARQUET_MANIFEST_CORRUPT',
    hint: 'bring it back from an older version of the object, or remove it and load the table anew: sluice resync',
    is: isManifest,
  });
}

function isManifest(value: unknown): value is Manifest {
  return (
    isRecord(value) &&
    value['format_version'] === 1 &&
    typeof value['application'] === 'string' &&
    Number.isSafeInteger(value['serial']) &&
    Number.isSafeInteger(value['commit']) &&
    typeof value['written_at'] === 'string' &&
    isListOf(value['columns'], isColumn) &&
    isListOf(value['key'], isText) &&
    isListOf(value['identity'], isText) &&
    isListOf(value['files'], isText) &&
    isRecord(value['snapshot']) &&
    typeof value['snapshot']['path'] === 'string' &&
    Number.isSafeInteger(value['snapshot']['generation']) &&
    Number.isSafeInteger(value['snapshot']['commit']) &&
    isListOf(value['snapshot']['files'], isFile) &&
    isListOf(value['changes'], isChange) &&
    isListOf(value['retired'], isRetirement)
  );
}

function isColumn(value: unknown): boolean {
  return isRecord(value) && isText(value['name']) && isText(value['type']);
}

function isFile(value: unknown): boolean {
  return (
    isRecord(value) &&
    typeof value['path'] === 'string' &&
    !value['path'].split('/').includes('..') &&
    Number.isSafeInteger(value['rows']) &&
    Number.isSafeInteger(value['bytes'])
  );
}

function isChange(value: unknown): boolean {
  return (
    isFile(value) && isRecord(value) && Number.isSafeInteger(value['first']) && Number.isSafeInteger(value['last'])
  );
}

function isRetirement(value: unknown): boolean {
  return (
    isRecord(value) &&
    Number.isSafeInteger(value['generation']) &&
    Number.isSafeInteger(value['commit']) &&
    typeof value['since'] === 'string'
  );
}

function isText(value: unknown): boolean {
  return typeof value === 'string';
}
