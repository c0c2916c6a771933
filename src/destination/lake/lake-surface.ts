import { OP_DELETE, unchangedColumnNames } from '../../batch/change-columns.js';
import { type PlainError, SluiceError, toPlain } from '../../error/sluice-error.js';
import { undescribed } from '../duckdb/comments.js';
import { hasHeld, heldTable } from '../duckdb/held-changes.js';
import { deletedColumn } from '../duckdb/merge-sql.js';
import { stageName } from '../duckdb/pages.js';
import { loadTable } from '../duckdb/running-load.js';
import type { DuckDbSession } from '../duckdb/session.js';
import { identifier, literal } from '../duckdb/sql-text.js';
import { type DuckDbSurface, duckDbSurface, incomingTable } from '../duckdb/surface.js';
import { columnTypes } from '../duckdb/target-ddl.js';
import { historyName, metadataColumns, placesOf, type TablePlace, type TargetTable } from '../target-table.js';
import type { FinishLoad, PageTable, RenameColumns, RetireTable, TableTrouble, WriteRows } from '../writer.js';
import { canWait, rememberLook, withLooks } from './idle-page.js';
import type { Lake } from './lake.js';
import { hasTemporary, keysOf, LakeTableTrouble, relationName, type WindowRequest } from './window.js';

/** Runs that go on at once are few. */
const RUNS_REMEMBERED = 64;

/**
 * What a lake does for a DestinationWriter: the work that a DuckDB file does, on the rows of the lake that it needs. Each
 * method says which those are; what becomes of them is for Lake to find out.
 */
export function lakeSurface(lake: Lake, beforeLoad: () => Promise<void>): DuckDbSurface {
  const inner = duckDbSurface({
    openedToLook: (limits) => lake.openedToLook(limits),
    opened: () => lake.opened(),
    release: async () => lake.release(),
    publish: async () => undefined,
  });
  const write = <T>(source: string, windows: readonly WindowRequest[], work: () => Promise<T>): Promise<T> =>
    lake.write(source, windows, work).catch(plainly);
  /** By load: what the lake said of the source's working file when it began. */
  const begun = new Map<string, number>();
  const begins = (table: TargetTable): void => {
    begun.set(table.address, lake.generationOf(sourceOf(table)));
  };
  /** The changes that were held for a load may be gone, and with them what happened while it was under way. */
  const assertUndisturbed = (table: TargetTable): void => {
    if (begun.get(table.address) === lake.generationOf(sourceOf(table))) return;
    throw new SluiceError({
      code: 'SNAPSHOT_RACED',
      address: table.address,
      message: 'the lake was written by another Sluice, or by an unknown end of a commit, while the table was loaded',
      hint: 'nothing was changed; the load is made again',
    });
  };
  /** When facts were read last. A run begins with that, and what it reads from Postgres goes by them. */
  let read = lake.generations();
  const runs = new Map<string, number>();
  const generationFor = (source: string, runId: string): number => {
    const known = runs.get(runId);
    if (known !== undefined) return known;
    runs.set(runId, read(source));
    for (const oldest of runs.keys()) {
      if (runs.size <= RUNS_REMEMBERED) break;
      runs.delete(oldest);
    }
    return read(source);
  };
  return {
    ...inner,

    makePlace: () => lake.makePlace(),

    readTraffic: async () => lake.traffic,

    async readFacts(limits) {
      const session = await lake.openedToLook(limits);
      const facts = await inner.readFacts(limits);
      read = lake.generations();
      return session === null ? facts : withLooks(session, facts);
    },

    async beginLoad(begin) {
      await lake.opened();
      await beforeLoad();
      for (const place of placesOf(begin.table)) await lake.refuseOccupied(place);
      begins(begin.table);
      return inner.beginLoad(begin);
    },

    async resumeLoad(load) {
      await lake.opened();
      begins(load.table);
      return inner.resumeLoad(load);
    },

    async finishLoad(finish) {
      // A load that somebody asked for, by a plan or by resync, brings a generation of its own. It goes over what others
      // wrote; of that, rows that it keeps (deleted ones, old versions) stay as they are found.
      const loaded = await loadedGeneration(await lake.opened(), finish.table.address);
      const windows = loadWindows(finish, loaded < finish.table.generation);
      if (finish.mark !== null) assertUndisturbed(finish.table);
      return write(sourceOf(finish.table), windows, () => inner.finishLoad(finish));
    },

    async finishBackfill(backfill) {
      const { table } = backfill;
      await lake.opened();
      assertUndisturbed(table);
      const all = placesOf(table).map((place) => whole(table, place));
      return write(sourceOf(table), all, () => inner.finishBackfill(backfill));
    },

    async commitPage(page) {
      const session = await lake.opened();
      const now = lake.now();
      if (await canWait(session, page, now)) {
        await rememberLook(session, page, now);
        return { recorded: false, tables: [] };
      }
      const troubles = new Map<number, PlainError>();
      for (;;) {
        // The changes of a table that cannot be written now are held; its neighbours go on.
        const tables = page.tables.map((entry) => ({ ...entry, trouble: troubles.get(entry.index) ?? null }));
        const windows: WindowRequest[] = [];
        for (const entry of tables) if (entry.trouble === null) windows.push(...(await pageWindows(session, entry)));
        try {
          for (const { table, mode, trouble } of tables) {
            if (mode === 'merge' && trouble === null) await alignTable(table);
          }
          const generation = generationFor(page.source, page.runId);
          return await lake.write(page.source, windows, () => inner.commitPage({ ...page, tables }), generation);
        } catch (error) {
          if (!(error instanceof LakeTableTrouble)) throw error;
          const troubled = tables.find((entry) =>
            placesOf(entry.table).some((place) => relationName(place) === error.relation),
          );
          if (troubled === undefined || troubles.has(troubled.index)) throw error.reason;
          troubles.set(troubled.index, toPlain(error.reason));
        }
      }
    },

    async writeRows(rows) {
      await alignTable(rows.table);
      const source = sourceOf(rows.table);
      const generation = generationFor(source, rows.run.runId);
      return lake.write(source, rowWindows(rows), () => inner.writeRows(rows), generation).catch(plainly);
    },

    async compareShadow(request) {
      const { table } = request;
      return lake
        .look(
          placesOf(table).map((place) => whole(table, place)),
          () => inner.compareShadow(request),
        )
        .catch(plainly);
    },

    // Facts alone, which go into the ledger.
    requestSnapshot: (request) =>
      write(sourceOf(request), [], async () => {
        const session = await lake.opened();
        await session.transaction(() => inner.requestSnapshot(request));
      }),
    recordFailure: (failure) => write(failure.source, [], () => inner.recordFailure(failure)),
    recordPartitions: (request) => write(sourceOf(request), [], () => inner.recordPartitions(request)),
    moveStream: (request) => write(request.to, [], () => inner.moveStream(request)),
    forgetStream: (source) => write(source, [], () => inner.forgetStream(source)),
    restartStream: (request) => write(request.source, [], () => inner.restartStream(request)),
    dropTable: (table) => write(sourceOf(table), [], () => inner.dropTable(table)),

    // What may take all rows says so when it is tried without them.
    async addColumns(request) {
      const { table, added } = request;
      const session = await lake.opened();
      const wanted = new Set(added.map((name) => name.toLowerCase()));
      const windows: WindowRequest[] = [];
      for (const place of placesOf(table)) {
        const has = [...(await columnTypes(session, place)).keys()];
        // Whether a column of that name, left by a dropped one, holds anything is for all rows to say.
        if (has.some((name) => wanted.has(name.toLowerCase()))) windows.push(whole(table, place));
      }
      return write(sourceOf(table), windows, () => inner.addColumns(request));
    },
    widenColumns: (table) => write(sourceOf(table), [], () => inner.widenColumns(table)),
    renameColumns: async (request) => {
      const windows = await renamedWindows(lake, request);
      return write(sourceOf(request.table), windows, () => inner.renameColumns(request));
    },

    async describeTables({ source, tables }) {
      let wanted = await undescribed(await lake.opened(), tables);
      const troubles: TableTrouble[] = [];
      while (wanted.length > 0) {
        const now = wanted;
        try {
          await lake.write(source, [], () => inner.describeTables({ source, tables: now }));
          break;
        } catch (error) {
          // One that cannot be written now keeps its neighbours from nothing.
          if (!(error instanceof LakeTableTrouble)) throw error;
          const troubled = now.find((table) => placesOf(table).some((place) => relationName(place) === error.relation));
          if (troubled === undefined) throw error.reason;
          troubles.push({ address: troubled.address, error: toPlain(error.reason) });
          wanted = now.filter((table) => table !== troubled);
        }
      }
      return troubles;
    },
    retireTable: (table) => write(sourceOf(table), retiredParts(table), () => inner.retireTable(table)),
    moveTable: async (request) => {
      const windows = await movedParts(lake, request);
      return write(sourceOf(request.to), windows, () => inner.moveTable(request));
    },
  };

  /** A change of a type takes all rows, of which a page's own windows have only some. */
  async function alignTable(table: TargetTable): Promise<void> {
    if (table.widened) await write(sourceOf(table), [], () => inner.widenColumns(table));
  }
}

/** Callers that work on one table hear what is wrong with it as it is. */
function plainly(error: unknown): never {
  throw error instanceof LakeTableTrouble ? error.reason : error;
}

async function loadedGeneration(session: DuckDbSession, address: string): Promise<number> {
  const [row] = await session.rows<{ n: number | null }>(
    `SELECT loaded_generation AS n FROM _sluice.tables WHERE address = ${literal(address)}`,
  );
  return row?.n ?? 0;
}

function sourceOf({ address }: { readonly address: string }): string {
  return address.slice(0, address.indexOf(':'));
}

/** Which rows of a place count as the table's (target-ddl.ts, liveRows). */
function counted(table: TargetTable, place: TablePlace): WindowRequest['counted'] {
  if (table.method !== 'cdc') return { address: table.address, where: 'true' };
  if (!place.history) return { address: table.address, where: `NOT ${deletedColumn(table)}` };
  if (table.output !== 'history') return null;
  return { address: table.address, where: `valid_to IS NULL AND NOT ${deletedColumn(table)}` };
}

/** What a place's rows are told apart by: of a history, each change of a key is a row. */
function told(table: TargetTable, place: TablePlace): NonNullable<WindowRequest['told']> {
  const { lsn, seq } = metadataColumns(table.metadataPrefix);
  const { key, partitionBy = [] } = table;
  // Rows that are only appended may bear one key more than once.
  if (table.method === 'append' || table.method === 'full_table') return { key, identity: [], partitionBy };
  return { key, identity: place.history ? [...key, lsn, seq] : key, partitionBy };
}

function whole(table: TargetTable, place: TablePlace): WindowRequest {
  const { schema, name } = place;
  return {
    schema,
    name,
    mode: 'rows',
    choose: { kind: 'all' },
    untouched: null,
    told: told(table, place),
    counted: counted(table, place),
  };
}

const OPEN_VERSIONS = 'valid_to IS NULL';

/**
 * A load replaces the table, but keeps rows that the source no longer has where deletes are soft. A history keeps its
 * closed versions where they are.
 */
function loadWindows({ table, mark }: FinishLoad, overwriteForeign: boolean): WindowRequest[] {
  const { schema } = table;
  const cdc = mark !== null;
  const carries = cdc && table.output !== 'history' && table.deletes === 'soft';
  const place = { schema, name: table.name, history: false };
  const consolidated: WindowRequest = {
    ...{ schema, name: table.name, mode: 'replace', untouched: null, told: told(table, place), counted: null },
    ...{ overwriteForeign, repartitions: true },
    choose: carries ? { kind: 'other_keys', keys: keysOf(loadTable(table), table.key), key: table.key } : null,
  };
  if (!cdc || table.output === 'consolidated') return [consolidated];
  const name = historyName(table);
  const history: WindowRequest = {
    ...{ schema, name, mode: 'rows', untouched: null, counted: null, overwriteForeign, repartitions: true },
    told: told(table, { schema, name, history: true }),
    choose: { kind: 'where', where: OPEN_VERSIONS },
  };
  return [consolidated, history];
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
  // Changes that were held may do anything; a TRUNCATE alone brings none.
  const whole = held || !staged ? 'all' : await wholeRows(session, table, stageName(entry.index));
  return placesOf(table).map((place): WindowRequest => {
    const { schema, name, history } = place;
    const known = { told: told(table, place), counted: counted(table, place) };
    const base = { schema, name, mode: 'rows', untouched: null, ...known } as const;
    if (history && truncated) return { ...base, choose: { kind: 'where', where: OPEN_VERSIONS } };
    if (relations.length === 0) return { ...base, choose: null };
    const shared = { kind: 'keys', keys, key: table.key, always: [deletedName(table)] } as const;
    // A version that is closed is written anew, as a whole.
    if (history) return { ...base, choose: { ...shared, always: ['valid_to'], where: OPEN_VERSIONS, whole: 'all' } };
    // A row that was merged has a position in the stream; of one that was pulled in part it was not read.
    const untouched = whole === 'all' ? null : `${identifier(metadataColumns(table.metadataPrefix).lsn)} IS NULL`;
    return { ...base, untouched, choose: { ...shared, where: null, whole } };
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
  const unsent = unchangedColumnNames(table.columns.length)
    .map((word) => `${word} <> 0`)
    .join(' OR ');
  const isDelete = `__op = ${OP_DELETE}`;
  // Of a row that is deleted the stream sends no more than its key, and nothing more is needed where it goes for good.
  const keepsDeleted = table.output !== 'consolidated' || table.deletes === 'soft';
  const needs = keepsDeleted ? `${isDelete} OR ${unsent}` : `NOT ${isDelete} AND (${unsent})`;
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
    ...{
      schema: place.schema,
      name: place.name,
      mode: 'rows',
      // Every row whose key came is replaced.
      untouched: null,
      told: told(table, place),
      counted: counted(table, place),
    },
    choose:
      mode === 'append'
        ? null
        : {
            ...{ kind: 'keys', keys: keysOf(incomingTable(table), table.key), key: table.key, where: null },
            ...{ whole: 'none', always: [] },
          },
  }));
}

/** No rows: what tells them apart bears its new names. */
async function renamedWindows(lake: Lake, { table, renames }: RenameColumns): Promise<WindowRequest[]> {
  const newName = (name: string): string => renames.find(({ from }) => from === name)?.to ?? name;
  const windows: WindowRequest[] = [];
  for (const place of placesOf(table)) {
    const { key, identity } = told(table, place);
    const { schema, name } = place;
    const partitionBy = ((await lake.told(place))?.partitionBy ?? []).map(newName);
    const names = { key: key.map(newName), identity: identity.map(newName), partitionBy };
    const base = { schema, name, mode: 'rows', choose: null, counted: null, untouched: null } as const;
    windows.push({ ...base, told: names, repartitions: true });
  }
  return windows;
}

function deletedName(table: TargetTable): string {
  return metadataColumns(table.metadataPrefix).deleted;
}

/** A table that keeps its place keeps its files, whoever's it is from now on; at another one it is told of as it was. */
async function movedParts(
  lake: Lake,
  { from, to }: { readonly from: RetireTable; readonly to: RetireTable },
): Promise<WindowRequest[]> {
  if (from.schema === to.schema && from.name === to.name) return [];
  const windows = retiredParts(from);
  const targets = retiredParts(to);
  for (const [index, part] of retiredParts(from).entries()) {
    const target = targets[index];
    if (target !== undefined) windows.push({ ...target, choose: null, told: await lake.told(part) });
  }
  return windows;
}

const NOTHING_TOLD = { untouched: null, told: null, counted: null } as const;

function retiredParts(table: RetireTable): WindowRequest[] {
  const base = { schema: table.schema, mode: 'rows', choose: { kind: 'all' }, ...NOTHING_TOLD } as const;
  return [
    ...(table.consolidated ? [{ ...base, name: table.name }] : []),
    ...(table.history ? [{ ...base, name: historyName(table) }] : []),
  ];
}
