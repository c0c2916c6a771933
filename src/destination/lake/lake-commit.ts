import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { failpoint } from '../../thread/failpoint.js';
import type { DuckDbSession } from '../duckdb/session.js';
import { qualified } from '../duckdb/sql-text.js';
import { recordEmptyPartitionValues } from './empty-partition-values.js';
import { exportFacts } from './fact-exchange.js';
import { folderName } from './folder-name.js';
import { applicationId, type LakeColumn, type Ledger, type LedgerRelation, type PendingCommit } from './ledger.js';
import { type StoredLedger, writeLedger } from './ledger-store.js';
import type { ObjectStore, StoreTraffic } from './object-store.js';
import { keepRejected } from './rejected-values.js';
import { recordRunCosts } from './run-cost.js';
import type { TableChange, TableFormat } from './table-format.js';
import { addTraffic, NO_TRAFFIC, trafficSince } from './traffic.js';
import {
  asTableTrouble,
  isAdditive,
  type OpenWindow,
  relationName,
  sameColumns,
  sameComments,
  samePartitions,
  type Told,
} from './window.js';
import { heldAddresses, rememberLedger } from './work-file.js';

/** Brings what a transaction did for one source from the working file to its ledger. */

/** A change of columns that can only be made with all rows at hand; the work is done again with them. */
export class NeedsAllRows extends Error {
  constructor(readonly place: { readonly schema: string; readonly name: string }) {
    super(`${place.schema}.${place.name} has to be written anew`);
  }
}

/** A table that goes to another source, with the ledger that told of it until now. */
export interface HandedOver {
  readonly relation: LedgerRelation;
  readonly from: Ledger;
}

export interface SourceWork {
  readonly source: string;
  readonly before: StoredLedger | null;
  /** The source's tables in the working file. */
  readonly tables: readonly Pick<LedgerRelation, 'schema' | 'name' | 'columns' | 'comment'>[];
  /** By relationName: tables that another source's ledger tells of, and that change hands as they are. */
  readonly handedOver: ReadonlyMap<string, HandedOver>;
  /** By relationName: the rows that the work was done on. */
  readonly windows: ReadonlyMap<string, OpenWindow>;
  /** By folder: the newest version of a table's log that is ours. */
  readonly versions: ReadonlyMap<string, number>;
  /** What had been asked of the store when the work began. */
  readonly begun: StoreTraffic;
}

export interface CommitTools {
  readonly store: ObjectStore;
  readonly format: TableFormat;
  /** For files on their way. */
  readonly folder: string;
  readonly now: () => Date;
}

/**
 * Sends the files of all that changed and writes the ledger, which is the commit; its pending commits are to be published.
 * @returns null where nothing changed
 * @throws SluiceError LAKE_FENCED; NeedsAllRows, LakeTableTrouble; nothing is visible then
 */
export async function commitSource(
  session: DuckDbSession,
  work: SourceWork,
  tools: CommitTools,
): Promise<StoredLedger | null> {
  const { source, before } = work;
  const { id, serial } = identityOf(work);
  const { relations, changes } = await changesOf(session, work, applicationId({ id }), serial, tools.now);
  const rejectedBefore = before?.ledger.rejected ?? null;
  const content = {
    facts: await exportFacts(session, source),
    relations,
    held: await heldAddresses(session, source),
    rejected: await keepRejected(session, tools.store, source, rejectedBefore, tools.folder),
  };
  if (changes.length === 0 && isRecorded(content, before?.ledger ?? null)) return null;

  const pending: PendingCommit[] = [];
  const costs = new Map([...work.windows].map(([name, { cost }]) => [name, cost]));
  for (const { relation, ...change } of changes) {
    const asked = tools.store.traffic;
    const name = relationName(relation);
    let prepared: PendingCommit;
    try {
      prepared = await tools.format.prepare(session, change);
    } catch (error) {
      throw asTableTrouble(error, name);
    }
    pending.push(prepared);
    if (change.kind !== 'drop') await session.run(`DELETE FROM ${change.rows}`);
    // And its commit, which is written once the ledger is.
    const spent = addTraffic(trafficSince(asked, tools.store.traffic), sending(prepared));
    costs.set(name, addTraffic(costs.get(name) ?? NO_TRAFFIC, spent));
  }
  await failpoint('after_lake_upload');
  const written_at = tools.now().toISOString();
  const draft: Ledger = { format_version: 1, id, source, serial, written_at, ...content, pending };
  const asked = trafficSince(work.begun, tools.store.traffic);
  const hasRuns = await recordRunCosts(
    session,
    source,
    costs,
    [draft, ...pending].map(sending).reduce(addTraffic, asked),
  );
  const ledger: Ledger = hasRuns ? { ...draft, facts: await exportFacts(session, source) } : draft;
  const etag = await writeLedger(tools.store, ledger, before);
  await rememberLedger(session, ledger);
  await failpoint('after_ledger');
  return { ledger, etag };
}

/**
 * Under which id and number the next commit goes. Whoever takes tables over goes on in the name that their logs know, and
 * with higher numbers than the ones there: a lower one would be taken for a commit that is in them already.
 */
function identityOf({ before, tables, handedOver }: SourceWork): Pick<Ledger, 'id' | 'serial'> {
  const givers = tables.flatMap((table) => handedOver.get(relationName(table))?.from ?? []);
  const id = givers[0]?.id ?? before?.ledger.id ?? randomUUID();
  return { id, serial: Math.max(before?.ledger.serial ?? 0, ...givers.map((giver) => giver.serial)) + 1 };
}

/** One PUT of a document. */
function sending(document: unknown): StoreTraffic {
  return { ...NO_TRAFFIC, puts: 1, bytesSent: Buffer.byteLength(JSON.stringify(document)) };
}

type Content = Pick<Ledger, 'facts' | 'relations' | 'held' | 'rejected'>;

/** Versions of logs are noted when something else is. */
function isRecorded(content: Content, before: Ledger | null): boolean {
  if (before === null) return Object.values(content.facts).every((rows) => rows.length === 0);
  const plain = ({ facts, relations, held, rejected }: Content): unknown =>
    JSON.parse(JSON.stringify({ facts, held, rejected, relations: relations.map((r) => ({ ...r, version: null })) }));
  return isDeepStrictEqual(plain(content), plain(before));
}

interface RelationChange extends TableChange {
  readonly relation: { readonly schema: string; readonly name: string };
}

async function changesOf(
  session: DuckDbSession,
  { before, tables, handedOver, windows, versions }: SourceWork,
  application: string,
  serial: number,
  now: () => Date,
): Promise<{ relations: LedgerRelation[]; changes: RelationChange[] }> {
  const relations: LedgerRelation[] = [];
  const changes: RelationChange[] = [];
  const known = new Map((before?.ledger.relations ?? []).map((relation) => [relationName(relation), relation]));
  for (const table of tables) {
    const was = known.get(relationName(table)) ?? handedOver.get(relationName(table))?.relation ?? null;
    known.delete(relationName(table));
    const window = windows.get(relationName(table)) ?? null;
    const told = toldOf(was, window, table.columns);
    const folder = was?.folder ?? `${folderName(table.schema)}/${folderName(table.name)}`;
    const version = versions.get(folder) ?? was?.version ?? null;
    const relation = { ...table, folder, ...told, version };
    relations.push(relation);
    if (!samePartitions(was?.partitionBy ?? [], told.partitionBy)) {
      await recordEmptyPartitionValues(session, relation, now);
    }
    const work = await workOf(session, relation, was, window);
    if (work === null) continue;
    const { columns, comment } = relation;
    const described = comment === undefined ? { columns } : { columns, comment };
    const overwriteForeign = window?.request.overwriteForeign ?? false;
    const common = { table: { folder, application, version }, serial, ...described, ...told, overwriteForeign };
    changes.push({ ...common, ...work, rows: qualified(table), relation });
  }
  for (const [name, relation] of known) {
    if (handedOver.has(name)) continue;
    const { folder, columns } = relation;
    const table = { folder, application, version: versions.get(folder) ?? relation.version };
    changes.push({
      ...{ table, serial, columns, key: [], identity: [], partitionBy: [], overwriteForeign: true, relation },
      ...{ kind: 'drop', pulled: null, rows: '', operation: 'DROP TABLE' },
    });
  }
  return { relations, changes };
}

/** What the ledger says of a table from now on. Another partitioning comes with a load alone, which brings all of the rows. */
function toldOf(was: LedgerRelation | null, window: OpenWindow | null, columns: readonly LakeColumn[]): Told {
  const told = window?.request.told ?? null;
  const isNew = was === null || window?.request.repartitions === true;
  const partitionBy = (isNew ? told?.partitionBy : was?.partitionBy) ?? was?.partitionBy ?? [];
  return {
    key: told?.key ?? was?.key ?? [],
    identity: told?.identity ?? was?.identity ?? [],
    // A table that was loaded without one of them, as the source has dropped it, does without.
    partitionBy: partitionBy.filter((name) => columns.some((column) => column.name === name)),
  };
}

/** What a transaction did to a table, as the window in which it was done tells; null: nothing. */
async function workOf(
  session: DuckDbSession,
  relation: LedgerRelation,
  known: LedgerRelation | null,
  window: OpenWindow | null,
): Promise<Pick<TableChange, 'kind' | 'pulled' | 'operation'> | null> {
  if (known === null) return { kind: 'create', pulled: null, operation: 'CREATE TABLE' };
  if (window?.request.mode === 'replace') return { kind: 'replace', pulled: null, operation: 'WRITE' };
  const isWhole = window !== null && window.pulled !== null && window.request.choose?.kind === 'all';
  if (!isAdditive(known.columns, relation.columns) || !samePartitions(known.partitionBy, relation.partitionBy)) {
    if (!isWhole) throw new NeedsAllRows(relation);
    return { kind: 'replace', pulled: null, operation: 'REPLACE COLUMNS' };
  }
  const [row] = await session.rows<{ n: string }>(`SELECT count(*) AS n FROM ${qualified(relation)}`);
  const comes = Number(row?.n ?? 0) > 0;
  const goes = window !== null && (await hasPulled(session, window));
  if (isWhole && (comes || goes)) return { kind: 'replace', pulled: null, operation: 'WRITE' };
  if (goes) return { kind: 'rows', pulled: window?.pulled ?? null, operation: 'MERGE' };
  if (comes) return { kind: 'rows', pulled: null, operation: 'WRITE' };
  if (!sameColumns(known.columns, relation.columns)) return { kind: 'rows', pulled: null, operation: 'ADD COLUMNS' };
  return sameComments(known, relation) ? null : { kind: 'describe', pulled: null, operation: 'COMMENT' };
}

/** Whether rows go; fewer may than were pulled. */
async function hasPulled(session: DuckDbSession, { pulled }: OpenWindow): Promise<boolean> {
  if (pulled === null || pulled.rows === 0) return false;
  const [row] = await session.rows<{ some: boolean }>(`SELECT count(*) > 0 AS some FROM ${pulled.into}`);
  return row?.some === true;
}
