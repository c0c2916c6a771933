import { hasHeld, heldTable } from '../duckdb/held-changes.js';
import { OP_DELETE, unchangedColumnNames } from '../../batch/change-columns.js';
import { deletedColumn } from '../duckdb/merge-sql.js';
import { stageName } from '../duckdb/pages.js';
import { loadTable } from '../duckdb/running-load.js';
import type { DuckDbSession } from '../duckdb/session.js';
import { type DuckDbSurface, duckDbSurface, incomingTable } from '../duckdb/surface.js';
import { historyName, metadataColumns, type TargetTable } from '../target-table.js';
import type { CommitPage, FinishLoad, PageTable, RetireTable, WriteRows } from '../writer.js';
import type { Lake } from './lake.js';
import { hasTemporary, keysOf, type WindowRequest } from './window.js';

/**
 * What a lake does for a DestinationWriter: the work that a DuckDB file does, on the rows of the lake that it needs. Each
 * method says which those are; what becomes of them is for Lake to find out.
 */
export function lakeSurface(lake: Lake, onBegin: (table: TargetTable) => Promise<void>): DuckDbSurface {
  const inner = duckDbSurface({
    openedToLook: async (limits) => ((await lake.exists()) ? lake.opened(limits) : null),
    opened: () => lake.opened(),
    release: async () => lake.release(),
    publish: async () => undefined,
  });
  /** Work that changes facts alone, which then go into the ledger. */
  const recording = async (work: () => Promise<void>): Promise<void> => {
    const session = await lake.opened();
    await session.transaction(work);
  };
  return {
    ...inner,

    async beginLoad(begin) {
      await lake.opened();
      await onBegin(begin.table);
      return inner.beginLoad(begin);
    },

    async finishLoad(finish) {
      return lake.write(sourceOf(finish.table), loadWindows(finish), () => inner.finishLoad(finish));
    },

    async finishBackfill(backfill) {
      const { table } = backfill;
      const all = placesOf(table).map((place) => whole(table, place));
      return lake.write(sourceOf(table), all, () => inner.finishBackfill(backfill));
    },

    async commitPage(page) {
      const session = await lake.opened();
      const windows: WindowRequest[] = [];
      for (const entry of page.tables) windows.push(...(await pageWindows(session, entry)));
      await alignFirst(page);
      return lake.write(page.source, windows, () => inner.commitPage(page));
    },

    async writeRows(rows) {
      await alignTable(rows.table);
      return lake.write(sourceOf(rows.table), rowWindows(rows), () => inner.writeRows(rows));
    },

    async compareShadow(request) {
      const { table } = request;
      return lake.look(
        placesOf(table).map((place) => whole(table, place)),
        () => inner.compareShadow(request),
      );
    },

    requestSnapshot: (request) => recording(() => inner.requestSnapshot(request)),

    // What may take all rows says so when it is tried without them.
    addColumns: (request) => lake.write(sourceOf(request.table), [], () => inner.addColumns(request)),
    widenColumns: (table) => lake.write(sourceOf(table), [], () => inner.widenColumns(table)),
    renameColumns: (request) => lake.write(sourceOf(request.table), [], () => inner.renameColumns(request)),

    retireTable: (table) => lake.write(sourceOf(table), retiredParts(table), () => inner.retireTable(table)),
    moveTable: (request) =>
      lake.write(sourceOf(request.to), retiredParts(request.from), () => inner.moveTable(request)),
  };

  /** A change of a type takes all rows; a page's own windows have only some. */
  async function alignFirst(page: CommitPage): Promise<void> {
    for (const { table, mode } of page.tables) if (mode === 'merge') await alignTable(table);
  }

  async function alignTable(table: TargetTable): Promise<void> {
    if (table.widened) await lake.write(sourceOf(table), [], () => inner.widenColumns(table));
  }
}

function sourceOf({ address }: { readonly address: string }): string {
  return address.slice(0, address.indexOf(':'));
}

interface Place {
  readonly schema: string;
  readonly name: string;
  readonly history: boolean;
}

function placesOf(table: TargetTable): Place[] {
  const consolidated = { schema: table.schema, name: table.name, history: false };
  const history = { schema: table.schema, name: historyName(table), history: true };
  if (table.method !== 'cdc' || table.output === 'consolidated') return [consolidated];
  return table.output === 'history' ? [history] : [consolidated, history];
}

/** Which rows of a place count as the table's (target-ddl.ts, liveRows). */
function counted(table: TargetTable, place: Place): WindowRequest['counted'] {
  if (table.method !== 'cdc') return { address: table.address, where: 'true' };
  if (!place.history) return { address: table.address, where: `NOT ${deletedColumn(table)}` };
  if (table.output !== 'history') return null;
  return { address: table.address, where: `valid_to IS NULL AND NOT ${deletedColumn(table)}` };
}

function whole(table: TargetTable, place: Place): WindowRequest {
  const { schema, name } = place;
  return { schema, name, mode: 'rows', choose: { kind: 'all' }, counted: counted(table, place) };
}

const OPEN_VERSIONS = 'valid_to IS NULL';

/**
 * A load replaces the table, but keeps rows that the source no longer has where deletes are soft. A history keeps its
 * closed versions where they are.
 */
function loadWindows({ table, mark }: FinishLoad): WindowRequest[] {
  const windows: WindowRequest[] = [];
  const { schema } = table;
  const cdc = mark !== null;
  const carries = cdc && table.output !== 'history' && table.deletes === 'soft';
  windows.push({
    ...{ schema, name: table.name, mode: 'replace', counted: null },
    choose: carries ? { kind: 'other_keys', keys: keysOf(loadTable(table), table.key), key: table.key } : null,
  });
  if (cdc && table.output !== 'consolidated') {
    const name = historyName(table);
    windows.push({ schema, name, mode: 'rows', choose: { kind: 'where', where: OPEN_VERSIONS }, counted: null });
  }
  return windows;
}

/** The rows with the keys of a page's changes, and of those that were held for its table. */
async function pageWindows(session: DuckDbSession, entry: PageTable): Promise<WindowRequest[]> {
  const { table } = entry;
  if (entry.mode !== 'merge') return [];
  const staged = await hasTemporary(session, stageName(entry.index));
  const held = entry.upTo === null || entry.upTo === undefined ? await hasHeld(session, table.address) : false;
  const relations = [...(staged ? [stageName(entry.index)] : []), ...(held ? [heldTable(table.address)] : [])];
  const truncated = entry.truncates.length > 0;
  if (relations.length === 0 && !truncated) return [];
  const keys = relations.map((relation) => keysOf(relation, table.key)).join(' UNION ');
  const whole = held ? 'all' : await wholeRows(session, table, stageName(entry.index));
  return placesOf(table).map((place): WindowRequest => {
    const { schema, name, history } = place;
    const base = { schema, name, mode: 'rows', counted: counted(table, place) } as const;
    if (history && truncated) return { ...base, choose: { kind: 'where', where: OPEN_VERSIONS } };
    if (relations.length === 0) return { ...base, choose: null };
    const shared = { kind: 'keys', keys, key: table.key, always: [deletedName(table)] } as const;
    // A version that is closed is written anew, as a whole.
    if (history) return { ...base, choose: { ...shared, where: OPEN_VERSIONS, whole: 'all' } };
    return { ...base, choose: { ...shared, where: null, whole } };
  });
}

/**
 * Which rows a page's changes need whole: those that are deleted softly keep their values, and values that the stream did
 * not send are looked up. All others are replaced by what the stream sent.
 */
async function wholeRows(
  session: DuckDbSession,
  table: TargetTable,
  changes: string,
): Promise<'all' | 'none' | { readonly keys: string }> {
  const unsent = unchangedColumnNames(table.columns.length).map((word) => `${word} <> 0`);
  const soft = table.output !== 'consolidated' || table.deletes === 'soft' ? [`__op = ${OP_DELETE}`] : [];
  const needs = [...unsent, ...soft].join(' OR ');
  const [row] = await session.rows<{ some: boolean | null; moved: boolean | null }>(
    `SELECT bool_or(${needs}) AS some, bool_or(__key_change = 1) AS moved FROM ${changes}`,
  );
  if (row?.some !== true) return 'none';
  // A value that was not sent may be the one under the key that the row had before.
  if (row.moved === true) return 'all';
  return { keys: `${keysOf(changes, table.key)} WHERE ${needs}` };
}

function rowWindows({ table, mode }: WriteRows): WindowRequest[] {
  return placesOf(table).map((place) => ({
    ...{ schema: place.schema, name: place.name, mode: 'rows', counted: counted(table, place) },
    choose:
      mode === 'append'
        ? null
        : {
            ...{ kind: 'keys', keys: keysOf(incomingTable(table), table.key), key: table.key, where: null },
            ...{ whole: 'none', always: [] },
          },
  }));
}

function deletedName(table: TargetTable): string {
  return metadataColumns(table.metadataPrefix).deleted;
}

function retiredParts(table: RetireTable): WindowRequest[] {
  const base = { schema: table.schema, mode: 'rows', choose: { kind: 'all' }, counted: null } as const;
  return [
    ...(table.consolidated ? [{ ...base, name: table.name }] : []),
    ...(table.history ? [{ ...base, name: historyName(table) }] : []),
  ];
}
