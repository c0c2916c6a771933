import { SluiceError } from '../../error/sluice-error.js';
import { failpoint } from '../../thread/failpoint.js';
import type { DuckDbSession } from '../duckdb/session.js';
import { columnList, identifier, keyEquality, qualified } from '../duckdb/sql-text.js';
import type { LakeColumn, PendingCommit } from '../lake/ledger.js';
import type {
  KnownTable,
  PulledRows,
  PullRequest,
  TableChange,
  TableFormat,
  ViewRequest,
} from '../lake/table-format.js';
import { type CompactionSettings, compacted } from './compaction.js';
import { freshId, type ParquetTools, writeFiles } from './data-files.js';
import { type Expired, type Expiry, expireFiles } from './expiry.js';
import { liveRows, storedColumns, type TableFiles } from './live-rows.js';
import { COMMIT_COLUMN, changePath, type Manifest, manifestKey, REMOVED_COLUMN, snapshotPath } from './manifest.js';
import { readManifest, type StoredManifest, swapManifest } from './manifest-store.js';
import { type CommitParquet, isIn, type PendingParquet, readPending, withCommit } from './pending.js';
import { ParquetUpkeep } from './upkeep.js';

/** How often a manifest is looked at again because a compaction came first. */
const SWAPS = 5;

/**
 * Tables as plain Parquet files: a snapshot and the changes since, which a manifest names. No row is ever taken out of a
 * file; one that changes is written again under a later commit, and one that goes is written as removed.
 */
export class ParquetFormat implements TableFormat {
  readonly #tools: ParquetTools;
  readonly #manifests = new Map<string, StoredManifest>();

  readonly maintenance?: ParquetUpkeep;

  /** @param upkeep null: its tables are only read and written */
  constructor(tools: ParquetTools, upkeep: { readonly retentionMs: number } | null = null) {
    this.#tools = tools;
    if (upkeep !== null) this.maintenance = new ParquetUpkeep(this, upkeep.retentionMs);
  }

  /** The table as it is now; null where there is none. @throws SluiceError PARQUET_FOREIGN_WRITE */
  async manifest(table: KnownTable): Promise<Manifest | null> {
    return (await this.#current(table))?.manifest ?? null;
  }

  async pull(session: DuckDbSession, request: PullRequest): Promise<PulledRows> {
    const { table, columns, into, choose, overwriteForeign = false } = request;
    const stored = await this.#current(table, overwriteForeign);
    if (stored === null) {
      if (!overwriteForeign) throw missing(table.folder);
      await session.run(`CREATE OR REPLACE TEMP TABLE ${into} (${definitions(columns)})`);
      return { into, rows: 0, files: [] };
    }
    const files = await this.#readable(session, table.folder, stored.manifest);
    const narrow =
      choose.kind === 'keys' && choose.whole === 'none' ? new Set([...choose.key, ...choose.always]) : null;
    const names = columnList(columns.map(({ name }) => name));
    await session.run(
      `CREATE OR REPLACE TEMP TABLE ${into} AS SELECT ${names} FROM (${liveRows(files, columns, choose, narrow)})`,
    );
    const [row] = await session.rows<{ n: string }>(`SELECT count(*) AS n FROM ${into}`);
    return { into, rows: Number(row?.n ?? 0), files: [] };
  }

  isFirst({ folder, commit }: PendingCommit): boolean {
    const pending = readPending(commit, folder);
    return pending.kind === 'replace' && pending.commit === 1;
  }

  async view(session: DuckDbSession, { table, columns, place }: ViewRequest): Promise<boolean> {
    const stored = await this.#read(table.folder);
    if (stored === null) return false;
    const files = await this.#readable(session, table.folder, stored.manifest);
    const names = columnList(columns.map(({ name }) => name));
    await session.run(`CREATE SCHEMA IF NOT EXISTS ${identifier(place.schema)}`);
    await session.run(
      `CREATE VIEW ${qualified(place)} AS SELECT ${names} FROM (${liveRows(files, columns, { kind: 'all' }, null)})`,
    );
    return true;
  }

  async prepare(session: DuckDbSession, change: TableChange): Promise<PendingCommit> {
    const { table, columns, comment, kind, key, identity, overwriteForeign } = change;
    const { folder, application } = table;
    if (kind === 'drop') return { folder, commit: { kind: 'drop' } satisfies PendingParquet };
    refuseReserved(folder, columns);
    const before = (await this.#current(table, overwriteForeign || kind === 'create'))?.manifest ?? null;
    if (kind === 'create' && before !== null && before.application !== application) throw occupied(folder);
    if ((kind === 'rows' || kind === 'describe') && before === null && !overwriteForeign) throw missing(folder);
    const commit = Math.max(before?.commit ?? 0, table.version ?? 0) + 1;
    const described = comment === undefined ? { columns } : { columns, comment };
    const shared = { application, serial: change.serial, commit, ...described, key, overwriteForeign } as const;
    const id = freshId();
    let pending: CommitParquet;
    if (kind === 'describe') {
      pending = { kind: 'rows', ...shared, changes: [] };
    } else if (kind === 'rows' && before !== null) {
      const path = changePath(commit, commit, this.#tools.now(), id);
      const query = `${exported(columns, change.rows, commit)}${goneRows(change, commit)}`;
      const files = await writeFiles(session, { folder, query, columns, sortedBy: key, path }, this.#tools);
      const changes = files.map((file) => ({ ...file, first: commit, last: commit }));
      pending = { kind: 'rows', ...shared, changes };
    } else {
      const generation = (before?.snapshot.generation ?? 0) + 1;
      const path = snapshotPath(generation, id);
      const query = exported(columns, change.rows, commit);
      const files = await writeFiles(
        session,
        { folder, query, columns, sortedBy: key, path: `${path}/part` },
        this.#tools,
      );
      pending = { kind: 'replace', ...shared, identity, snapshot: { path, generation, commit, files } };
    }
    return { folder, commit: pending };
  }

  async publish(_session: DuckDbSession, { folder, commit: value }: PendingCommit): Promise<number | null> {
    const pending = readPending(value, folder);
    if (pending.kind === 'drop') {
      await this.#drop(folder);
      return null;
    }
    for (let swap = 0; swap < SWAPS; swap += 1) {
      const known = this.#manifests.get(folder) ?? (await readManifest(this.#tools.store, folder, null));
      if (known !== null && isIn(known.manifest, pending)) {
        this.#manifests.set(folder, known);
        return known.manifest.commit;
      }
      const manifest = withCommit(known?.manifest ?? null, pending, folder, this.#tools.now());
      const written = await swapManifest(this.#tools.store, folder, manifest, known);
      if (written !== null) {
        this.#manifests.set(folder, written);
        await this.#tools.cache.trim();
        return manifest.commit;
      }
      this.#manifests.delete(folder);
    }
    throw moved(folder);
  }

  /**
   * Writes a new snapshot of a table whose changes have outgrown the one it has.
   * @returns whether there was anything to do
   * @throws SluiceError PARQUET_FOREIGN_WRITE; LAKE_MOVED when a commit came first, and nothing was changed
   */
  async compact(session: DuckDbSession, table: KnownTable, settings: CompactionSettings): Promise<boolean> {
    const stored = await this.#current(table);
    if (stored === null) return false;
    const { folder } = table;
    const files = await this.#readable(session, folder, stored.manifest);
    const manifest = await compacted(session, { folder, manifest: stored.manifest, files, settings }, this.#tools);
    if (manifest === null) return false;
    await failpoint('after_compaction_upload');
    const written = await swapManifest(this.#tools.store, folder, manifest, stored);
    if (written === null) {
      this.#manifests.delete(folder);
      throw moved(folder);
    }
    await failpoint('after_compaction');
    this.#manifests.set(folder, written);
    return true;
  }

  /**
   * Deletes files that have belonged to no table for longer than the retention, and what broken commits left. Only a lake
   * whose pending commits were published may do this.
   * @throws SluiceError PARQUET_FOREIGN_WRITE
   */
  async expire(table: KnownTable, expiry: Expiry): Promise<Expired> {
    const stored = await this.#current(table);
    if (stored === null) return { keys: [], bytes: 0 };
    const { folder } = table;
    const { expired, manifest } = await expireFiles(this.#tools.store, folder, stored.manifest, expiry);
    if (manifest !== null) {
      const written = await swapManifest(this.#tools.store, folder, manifest, stored);
      // A commit that came first keeps the entries of what is gone; the next time finds nothing for them.
      if (written === null) this.#manifests.delete(folder);
      else this.#manifests.set(folder, written);
    }
    return expired;
  }

  async refuseOccupied(_session: DuckDbSession, folder: string): Promise<void> {
    if ((await this.#read(folder)) !== null) throw occupied(folder);
  }

  forget(): void {
    this.#manifests.clear();
  }

  async #read(folder: string): Promise<StoredManifest | null> {
    const stored = await readManifest(this.#tools.store, folder, this.#manifests.get(folder) ?? null);
    if (stored === null) this.#manifests.delete(folder);
    else this.#manifests.set(folder, stored);
    return stored;
  }

  /** @throws SluiceError PARQUET_FOREIGN_WRITE when the manifest is not one that we wrote last */
  async #current({ folder, application, version }: KnownTable, takesAny = false): Promise<StoredManifest | null> {
    const stored = await this.#read(folder);
    if (stored === null || takesAny) return stored;
    const { manifest } = stored;
    if (manifest.application !== application || manifest.commit < (version ?? 0)) throw foreign(folder, manifest);
    return stored;
  }

  async #readable(session: DuckDbSession, folder: string, manifest: Manifest): Promise<TableFiles> {
    const { snapshot, changes, identity } = manifest;
    const keys = [...snapshot.files, ...changes].map(({ path }) => `${folder}/${path}`);
    const paths = await this.#tools.cache.files(keys);
    return {
      snapshot: paths.slice(0, snapshot.files.length),
      changes: paths.slice(snapshot.files.length),
      identity,
      stored: await storedColumns(session, paths),
    };
  }

  /** The manifest goes first, so that nobody takes what is left for a table. */
  async #drop(folder: string): Promise<void> {
    const { store } = this.#tools;
    await store.delete([manifestKey(folder)]);
    const keys: string[] = [];
    for await (const { key } of store.list(`${folder}/`)) keys.push(key);
    await store.delete(keys);
    this.#manifests.delete(folder);
  }
}

function definitions(columns: readonly LakeColumn[]): string {
  return columns.map(({ name, type }) => `${identifier(name)} ${type}`).join(', ');
}

function exported(columns: readonly LakeColumn[], rows: string, commit: number): string {
  const names = columnList(columns.map(({ name }) => name));
  return `SELECT ${names}, ${commit}::BIGINT AS ${COMMIT_COLUMN}, false AS ${REMOVED_COLUMN} FROM ${rows}`;
}

/** The rows that were pulled and are no more, of which only what tells them apart is written. */
function goneRows({ pulled, identity, columns, rows, table }: TableChange, commit: number): string {
  if (pulled === null || pulled.rows === 0) return '';
  if (identity.length === 0) {
    throw new SluiceError({ code: 'INTERNAL', message: `rows of ${table.folder} cannot be taken out one by one` });
  }
  const cells = columns.map(({ name, type }) =>
    identity.includes(name) ? `p.${identifier(name)}` : `NULL::${type} AS ${identifier(name)}`,
  );
  return ` UNION ALL SELECT ${cells.join(', ')}, ${commit}::BIGINT, true FROM ${pulled.into} p ANTI JOIN ${rows} w ON ${keyEquality(identity, 'p', 'w')}`;
}

function refuseReserved(folder: string, columns: readonly LakeColumn[]): void {
  const taken = columns.find(({ name }) => [COMMIT_COLUMN, REMOVED_COLUMN].includes(name.toLowerCase()));
  if (taken === undefined) return;
  throw new SluiceError({
    code: 'PARQUET_COLUMN_RESERVED',
    message: `${folder} has a column "${taken.name}", which is the name of one of Sluice's own in Parquet files`,
    hint: 'leave it out with columns: { exclude }, or use format: delta',
  });
}

function moved(folder: string): SluiceError {
  return new SluiceError({
    code: 'LAKE_MOVED',
    message: `${manifestKey(folder)} was swapped by others again and again`,
    hint: 'nothing was changed; the next sync does it again',
  });
}

function foreign(folder: string, { application, commit }: Manifest): SluiceError {
  return new SluiceError({
    code: 'PARQUET_FOREIGN_WRITE',
    message: `somebody else wrote ${manifestKey(folder)}: commit ${commit} of ${application}`,
    hint: 'let nobody else write there; `sluice resync` loads the table anew, over what they wrote',
  });
}

function missing(folder: string): SluiceError {
  return new SluiceError({
    code: 'PARQUET_MANIFEST_CORRUPT',
    message: `there is no ${manifestKey(folder)}, where there was one`,
    hint: 'somebody has removed it; load the table anew: sluice resync',
  });
}

function occupied(folder: string): SluiceError {
  return new SluiceError({
    code: 'DESTINATION_OCCUPIED',
    message: `the lake has a table ${manifestKey(folder)} that Sluice did not make`,
    hint: 'move it away, or set another target_schema for the source',
  });
}
