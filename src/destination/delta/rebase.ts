import { randomUUID } from 'node:crypto';
import type { DuckDbSession } from '../duckdb/session.js';
import { columnList } from '../duckdb/sql-text.js';
import type { LakeColumn } from '../lake/ledger.js';
import type { Action, AddAction, DeletionVectorDescriptor } from './action.js';
import type { TouchedFile } from './change-actions.js';
import { type Decide, describe } from './commit.js';
import type { VectorReader } from './data-file.js';
import { type DataFileTools, pullableFiles, readableFiles } from './data-files.js';
import { DeletionVector } from './deletion-vector/deletion-vector.js';
import { readInlineVector } from './deletion-vector/descriptor.js';
import { prunedFiles } from './file-pruning.js';
import { leavesRows } from './foreign-check.js';
import { deletedRowsTable, vectorsOf } from './positions.js';
import { nearFiles, pullRows } from './pull-rows.js';
import { duckdbType, parseSchema } from './schema.js';
import { type DeltaSnapshot, fileKey } from './snapshot.js';
import { rowCount } from './stats.js';

/**
 * A prepared commit whose files somebody has rearranged in the meantime (OPTIMIZE): the rows that it takes out are looked
 * up, by their identity, in the files where they are now. What it adds stays as it is.
 */
export interface RowsCommit {
  readonly folder: string;
  /** As they were prepared. */
  readonly actions: readonly Action[];
  /** By what rows of the table are told apart; [] where none are ever taken out one by one. */
  readonly identity: readonly string[];
  /** Paths of the files that hold the rows that come. */
  readonly fresh: readonly string[];
  /** The files that rows go from, as they were. `rows`: which; null: what the commit's deletion vectors add to theirs. */
  readonly taken: readonly { readonly add: AddAction; readonly rows: DeletionVectorDescriptor | null }[];
}

export interface RebaseTools {
  readonly session: DuckDbSession;
  readonly vectors: VectorReader;
  readonly files: DataFileTools;
  /** Actions that take rows out of files. */
  readonly takeOut: (columns: readonly LakeColumn[], touched: readonly TouchedFile[]) => Promise<Action[]>;
}

/** Passes maintenance, and stops at everything else. */
export function rebaseOver(commit: RowsCommit, tools: RebaseTools): Decide {
  return async (foreign, now, actions) => {
    const bad = foreign.find((other) => !leavesRows(other));
    if (bad !== undefined) return { kind: 'stop', because: describe(bad) };
    const replaces = commit.taken.length === 0 && actions.some((action) => 'remove' in action);
    if (!replaces && fits(actions, now)) return { kind: 'retry', actions };
    if (!replaces) return { kind: 'retry', actions: await relocated(commit, now, tools) };
    // The whole table is replaced: whatever its files are by now.
    const removed: Action[] = [...now.files.values()].map((add) => ({
      remove: { path: add.path, dataChange: true, deletionTimestamp: tools.files.now().getTime(), ...vectorOf(add) },
    }));
    return { kind: 'retry', actions: [...actions.filter((action) => !('remove' in action)), ...removed] };
  };
}

/** Whether the files that actions take out or give another deletion vector are there as they were prepared for. */
function fits(actions: readonly Action[], now: DeltaSnapshot): boolean {
  return actions.every((action) => !('remove' in action) || now.files.has(fileKey(action.remove)));
}

function vectorOf({ deletionVector }: AddAction): { deletionVector?: DeletionVectorDescriptor } {
  return deletionVector === null || deletionVector === undefined ? {} : { deletionVector };
}

async function relocated(commit: RowsCommit, now: DeltaSnapshot, tools: RebaseTools): Promise<Action[]> {
  // Always from what was prepared: a second move knows nothing of what the first one wrote.
  const { folder, identity, actions } = commit;
  const { session, vectors } = tools;
  const columns: LakeColumn[] = parseSchema(now.metadata.schemaString).fields.map((field) => ({
    name: field.name,
    type: duckdbType(field.type),
  }));
  const name = `rebase_${randomUUID().replaceAll('-', '')}`;
  const [places, wanted, dead, found] = ['places', 'wanted', 'dead', 'found'].map((part) => `${name}_${part}`) as [
    string,
    string,
    string,
    string,
  ];
  // Rows by place in the old files, which stay where they are until their retention ends.
  const rows = new Map<number, DeletionVector>();
  for (const [index, file] of commit.taken.entries()) {
    rows.set(index, await takenRows(commit, file, actions, vectors));
  }
  await deletedRowsTable(session, places, rows);
  const { cache } = tools.files;
  const taken = commit.taken.map(({ add }) => add);
  const old = nearFiles(await readableFiles(cache, folder, taken));
  const told = columns.filter((column) => identity.includes(column.name));
  await pullRows(session, { columns: told, into: wanted, choose: { kind: 'all' } }, old, null);
  const keys = `SELECT ${columnList(identity, 'w')} FROM ${wanted} w SEMI JOIN ${places} p ON p.__file = w.__file AND p.__row = w.__row`;
  const choose = { kind: 'keys', keys, key: identity, where: null, whole: 'none', always: [] } as const;
  const adds = await prunedFiles(session, [...now.files.values()], { columns, choose });
  const gone = new Map<number, DeletionVector>();
  for (const [index, add] of adds.entries()) gone.set(index, await vectors.read(folder, add));
  await deletedRowsTable(session, dead, gone);
  const files = await pullableFiles(session, cache, folder, adds);
  await pullRows(session, { columns, into: found, choose }, files, dead);
  const touched: TouchedFile[] = [];
  for (const [index, vector] of await vectorsOf(session, found)) {
    const add = adds[index];
    if (add !== undefined) touched.push({ add, rows: vector });
  }
  for (const table of [places, wanted, dead, found]) await session.run(`DROP TABLE IF EXISTS ${table}`);
  const kept = actions.filter((action) =>
    'add' in action ? commit.fresh.includes(action.add.path) : !('remove' in action),
  );
  return [...kept, ...(await tools.takeOut(columns, touched))];
}

async function takenRows(
  commit: RowsCommit,
  { add, rows }: RowsCommit['taken'][number],
  actions: readonly Action[],
  vectors: VectorReader,
): Promise<DeletionVector> {
  if (rows !== null) return readInlineVector(rows, add.path);
  const before = await vectors.read(commit.folder, add);
  const after = actions.flatMap((action) => ('add' in action && action.add.path === add.path ? [action.add] : []))[0];
  const positions: number[] = [];
  if (after === undefined) {
    // The file went as a whole.
    for (let row = 0; row < (rowCount(add.stats) ?? 0); row += 1) if (!before.has(row)) positions.push(row);
  } else {
    const gone = await vectors.read(commit.folder, after);
    for (const chunk of gone.positions()) for (const row of chunk) if (!before.has(row)) positions.push(row);
  }
  return DeletionVector.of(Uint32Array.from(positions));
}
