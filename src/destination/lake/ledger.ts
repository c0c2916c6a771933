import { decodeDocument, isListOf, isRecord } from './versioned-document.js';

/**
 * The ledger of a source: one small JSON object in the lake, swapped as a whole by its etag. It is the commit point of
 * everything that Sluice writes there: whatever it tells of has happened, and the commits that it lists as pending are
 * brought into their tables' logs by whoever comes next. Facts are rows of the working file's `_sluice` tables.
 */
export interface Ledger {
  readonly format_version: 1;
  /** Made once; part of the application id under which the tables' logs know this ledger's commits. */
  readonly id: string;
  readonly source: string;
  /** One higher with every write; the version of the commits that came with it. */
  readonly serial: number;
  readonly written_at: string;
  readonly facts: Readonly<Record<string, readonly FactRow[]>>;
  readonly relations: readonly LedgerRelation[];
  /** Addresses of which the working file held changes: only there, so that without it such a table has to be loaded anew. */
  readonly held: readonly string[];
  /** Key of the Parquet file that holds `_sluice.rejected_values`; null while there are none. */
  readonly rejected: { readonly key: string; readonly fingerprint: string } | null;
  /** Commits that came with this serial. */
  readonly pending: readonly PendingCommit[];
}

export type FactRow = Readonly<Record<string, FactValue>>;
export type FactValue = string | number | boolean | null | readonly FactValue[];

/** A table of the lake: a consolidated table, a history, a retired one. */
export interface LedgerRelation {
  readonly schema: string;
  readonly name: string;
  /** Below the lake's place. */
  readonly folder: string;
  readonly columns: readonly LakeColumn[];
  /** What the source says that the table is; absent where it says nothing. */
  readonly comment?: string;
  /** Columns that are never NULL. */
  readonly key: readonly string[];
  /** By what a row is told from all others; [] where rows are never taken out one by one. */
  readonly identity: readonly string[];
  /** By whose values the table's files are kept apart; [] for none, and in ledgers of before there were partitions. */
  readonly partitionBy: readonly string[];
  /** The version of the table's log up to which everything was looked at, when the ledger was written; null for none. */
  readonly version: number | null;
}

export interface LakeColumn {
  readonly name: string;
  /** As batch/logical-type.ts writes DuckDB's types. */
  readonly type: string;
  /** What the source says that it is; absent where it says nothing. */
  readonly comment?: string;
}

/** A commit that is prepared: its files are in the lake, and nobody sees them yet. */
export interface PendingCommit {
  readonly folder: string;
  /** What the table's format makes of it. */
  readonly commit: unknown;
}

const LEDGERS = '_sluice/sources/';

/** A source's name as part of a key. */
export function sourceName(source: string): string {
  return encodeURIComponent(source).replaceAll('%', '~');
}

export function ledgerKey(source: string): string {
  return `${LEDGERS}${sourceName(source)}.json`;
}

export const LEDGER_PREFIX = LEDGERS;

/** Under which the logs of tables know the commits of a ledger. */
export function applicationId(ledger: Pick<Ledger, 'id'>): string {
  return `sluice-${ledger.id}`;
}

export function encodeLedger(ledger: Ledger): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(ledger)}\n`);
}

/** @throws SluiceError LEDGER_UNREADABLE */
export function decodeLedger(body: Uint8Array, place: string): Ledger {
  const stored = decodeDocument(body, place, {
    code: 'LEDGER_UNREADABLE',
    hint: 'bring it back from a backup or an older version of the object; without it the tables have to be loaded anew',
    is: isLedger,
  });
  const relations = stored.relations.map((relation) => ({ ...relation, partitionBy: relation.partitionBy ?? [] }));
  return { ...stored, relations };
}

type StoredRelation = Omit<LedgerRelation, 'partitionBy'> & Partial<Pick<LedgerRelation, 'partitionBy'>>;

function isLedger(value: unknown): value is Omit<Ledger, 'relations'> & { readonly relations: StoredRelation[] } {
  return (
    isRecord(value) &&
    value['format_version'] === 1 &&
    typeof value['id'] === 'string' &&
    typeof value['source'] === 'string' &&
    Number.isSafeInteger(value['serial']) &&
    typeof value['written_at'] === 'string' &&
    isRecord(value['facts']) &&
    Object.values(value['facts']).every((rows) => Array.isArray(rows) && rows.every(isRecord)) &&
    isListOf(value['relations'], isRelation) &&
    isListOf(value['held'], (address) => typeof address === 'string') &&
    (value['rejected'] === null || (isRecord(value['rejected']) && typeof value['rejected']['key'] === 'string')) &&
    isListOf(value['pending'], (entry) => isRecord(entry) && typeof entry['folder'] === 'string')
  );
}

function isRelation(value: unknown): boolean {
  return (
    isRecord(value) &&
    typeof value['schema'] === 'string' &&
    typeof value['name'] === 'string' &&
    typeof value['folder'] === 'string' &&
    (value['partitionBy'] === undefined || isListOf(value['partitionBy'], (name) => typeof name === 'string')) &&
    isListOf(
      value['columns'],
      (column) => isRecord(column) && typeof column['name'] === 'string' && typeof column['type'] === 'string',
    )
  );
}
