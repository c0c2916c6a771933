import { randomUUID } from 'node:crypto';
import { SluiceError } from '../../error/sluice-error.js';
import type { DuckDbSession } from '../duckdb/session.js';
import { identifier } from '../duckdb/sql-text.js';
import { shortTypeName } from '../duckdb/target-ddl.js';
import type { LakeColumn, PendingCommit } from '../lake/ledger.js';
import { Gate } from '../lake/store/gate.js';
import type {
  KnownTable,
  PulledRows,
  PullRequest,
  TableChange,
  TableFormat,
  ViewRequest,
} from '../lake/table-format.js';
import type { MaintenanceSettings } from '../lake/table-maintenance.js';
import { sameColumns, sameComments, samePartitions } from '../lake/window.js';
import type { Action, AddAction, MetadataAction } from './action.js';
import { deleteByRewriting, deleteByVectors, removeOf, type TouchedFile } from './change-actions.js';
import { commitActions, type Decide, type PreparedCommit, refittedActions } from './commit.js';
import { VectorReader } from './data-file.js';
import { type DataFileTools, pullableFiles, readableFiles } from './data-files.js';
import type { DeletionVector } from './deletion-vector/deletion-vector.js';
import { inlineDescriptor } from './deletion-vector/descriptor.js';
import { type FilePruning, prunedFiles } from './file-pruning.js';
import { refuseForeign } from './foreign-check.js';
import { LOG_FOLDER, logPrefix } from './log-path.js';
import { openTable, readCommitsBehind } from './log-reader.js';
import { DeltaMaintenance } from './maintenance/delta-maintenance.js';
import { writePartitions } from './partitioned-files.js';
import { deletedRowsTable, vectorsOf } from './positions.js';
import { assertWritable, requiredProtocol, upgradedProtocol } from './protocol.js';
import { pullRows, viewRows } from './pull-rows.js';
import { type RowsCommit, rebaseOver } from './rebase.js';
import { columnComment, deltaField, duckdbType, parseSchema, schemaString, withOtherMetadata } from './schema.js';
import { applyCommits, type DeltaSnapshot, fileKey } from './snapshot.js';

export interface DeltaSettings {
  /** dv: rows are deleted by deletion vectors; cow: their files are written anew. */
  readonly deletes: 'dv' | 'cow';
  /** `sluice/0.1.0` */
  readonly engineInfo: string;
  readonly maintenance: MaintenanceSettings;
}

/** What a ledger keeps of a commit to a Delta table. */
type PendingDelta =
  | {
      readonly kind: 'commit';
      readonly commit: PreparedCommit;
      /** The version of the table that it was prepared for; -1 where there was none. */
      readonly base: number;
      readonly rows: Omit<RowsCommit, 'folder' | 'actions'>;
    }
  | { readonly kind: 'drop' };

export class DeltaFormat implements TableFormat {
  readonly #settings: DeltaSettings;
  readonly #tools: DataFileTools;
  readonly #vectors: VectorReader;
  readonly #snapshots = new Map<string, DeltaSnapshot>();
  /** Several tables' commits are published at once: what they do with the session and the cache goes one after the other. */
  readonly #alone = new Gate(1);
  readonly maintenance: DeltaMaintenance;

  constructor(settings: DeltaSettings, tools: DataFileTools) {
    this.#settings = settings;
    this.#tools = tools;
    this.#vectors = new VectorReader(tools.store);
    const { engineInfo, maintenance } = settings;
    this.maintenance = new DeltaMaintenance(
      { ...maintenance, engineInfo },
      {
        tables: {
          current: async (session, table) => {
            const snapshot = await this.#current(session, table);
            if (snapshot === null) throw missing(table.folder);
            return snapshot;
          },
          remember: (folder, snapshot) => this.#snapshots.set(folder, snapshot),
          known: (folder) => this.#snapshots.get(folder),
          actionsOf: pendingActions,
        },
        ...{ vectors: this.#vectors, tools },
      },
    );
  }

  async pull(session: DuckDbSession, request: PullRequest): Promise<PulledRows> {
    const { table, into, choose } = request;
    const snapshot = await this.#current(session, table, request.overwriteForeign);
    if (snapshot === null) throw missing(table.folder);
    const pruning: FilePruning = { columns: request.columns, choose };
    const adds = await prunedFiles(session, [...snapshot.files.values()], pruning);
    const deleted = await this.#deletedRows(session, table.folder, adds, `${into}_gone`);
    const files = await pullableFiles(session, this.#tools.cache, table.folder, adds);
    const rows = await pullRows(session, request, files, deleted);
    if (deleted !== null) await session.run(`DROP TABLE ${deleted}`);
    return { into, rows, files: adds.map(fileKey) };
  }

  isFirst({ folder, commit }: PendingCommit): boolean {
    const pending = readPending(commit, folder);
    return pending.kind === 'commit' && pending.base < 0;
  }

  async view(session: DuckDbSession, { table, columns, place }: ViewRequest): Promise<boolean> {
    const snapshot = await this.#current(session, table, true);
    if (snapshot === null) return false;
    const gone = identifier(`gone ${place.schema}.${place.name}`);
    const adds = [...snapshot.files.values()];
    const deleted = await this.#deletedRows(session, table.folder, adds, gone);
    await viewRows(session, { columns, place }, await readableFiles(this.#tools.cache, table.folder, adds), deleted);
    return true;
  }

  /** Makes a temporary table of the deleted rows of files, each by its place in the list. @returns null where there are none */
  async #deletedRows(
    session: DuckDbSession,
    folder: string,
    adds: readonly AddAction[],
    into: string,
  ): Promise<string | null> {
    const vectors = new Map<number, DeletionVector>();
    for (const [index, add] of adds.entries()) {
      const vector = await this.#vectors.read(folder, add);
      if (vector.cardinality > 0) vectors.set(index, vector);
    }
    if (vectors.size === 0) return null;
    await deletedRowsTable(session, into, vectors);
    return into;
  }

  async prepare(session: DuckDbSession, change: TableChange): Promise<PendingCommit> {
    const { table, columns, kind } = change;
    const { folder } = table;
    if (kind === 'drop') return { folder, commit: { kind: 'drop' } satisfies PendingDelta };
    // What was pulled a moment ago was looked at then; whoever commits in between is met by publish().
    const looked = change.pulled === null ? undefined : this.#snapshots.get(folder);
    const before = looked ?? (await this.#current(session, table, change.overwriteForeign));
    if (before !== null && kind === 'create' && !before.transactions.has(table.application)) throw occupied(folder);
    // Rows that come to a table lie as it says; only as a whole it can be told anew.
    const stays = kind === 'rows' || kind === 'describe';
    const partitionBy = stays && before !== null ? before.metadata.partitionColumns : change.partitionBy;
    const actions: Action[] = this.#tableActions(before, { ...change, partitionBy });
    const names = columns.map(({ name }) => identifier(name)).join(', ');
    const now = this.#tools.now();
    const query = `SELECT ${names} FROM ${change.rows}`;
    const written = { folder, columns, partitionBy };
    const adds = kind === 'describe' ? [] : await writePartitions(session, query, written, true, this.#tools);
    const touched = kind === 'rows' ? await this.#touched(session, before, change) : [];
    if (kind === 'rows') actions.push(...(await this.#takeOut(session, folder, columns, touched)));
    if (kind === 'create' || kind === 'replace') {
      for (const add of before?.files.values() ?? []) actions.push({ remove: removeOf(add, now.getTime(), true) });
    }
    actions.push(...adds.map((add): Action => ({ add })));
    const rows = {
      identity: change.identity,
      fresh: adds.map(({ path }) => path),
      taken: touched.map(({ add, rows: vector }) => ({
        add,
        rows: this.#settings.deletes === 'cow' ? inlineDescriptor(vector) : null,
      })),
    };
    const commit: PreparedCommit = {
      actions,
      appId: table.application,
      txnVersion: change.serial,
      commitId: randomUUID(),
      operation: before === null ? 'CREATE TABLE' : change.operation,
      timestamp: now.getTime(),
      engineInfo: this.#settings.engineInfo,
    };
    return { folder, commit: { kind: 'commit', commit, base: before?.version ?? -1, rows } satisfies PendingDelta };
  }

  async publish(session: DuckDbSession, pending: PendingCommit): Promise<number | null> {
    const { folder } = pending;
    const delta = readPending(pending.commit, folder);
    if (delta.kind === 'drop') {
      await this.#drop(folder);
      return null;
    }
    const open = () => openTable(this.#tools.store, folder, this.#checkpointTools(session));
    const snapshot = this.#snapshots.get(folder) ?? (await this.#alone.run(1, open));
    if (snapshot === null && delta.base >= 0) throw missing(folder);
    const { actions } = delta.commit;
    const rebase = rebaseOver(
      { folder, actions, ...delta.rows },
      {
        ...{ session, vectors: this.#vectors, files: this.#tools },
        takeOut: (columns, touched) => this.#takeOut(session, folder, columns, touched),
      },
    );
    const decide: Decide = (...others) => this.#alone.run(1, async () => rebase(...others));
    const request = { snapshot, commit: delta.commit, decide };
    const refitted = await refittedActions(this.#tools.store, folder, delta.base, request);
    const result = await commitActions(this.#tools.store, folder, {
      ...request,
      commit: { ...delta.commit, actions: refitted },
    });
    this.#snapshots.set(folder, result.snapshot);
    this.maintenance.committed(folder, snapshot?.version ?? -1, result.snapshot);
    // Not while another commit works with files that it has fetched.
    await this.#alone.run(1, () => this.#tools.cache.trim());
    return result.version;
  }

  async refuseOccupied(session: DuckDbSession, folder: string): Promise<void> {
    const snapshot = await openTable(this.#tools.store, folder, this.#checkpointTools(session));
    if (snapshot !== null) throw occupied(folder);
  }

  forget(): void {
    this.#snapshots.clear();
  }

  async #takeOut(
    session: DuckDbSession,
    folder: string,
    columns: readonly LakeColumn[],
    touched: readonly TouchedFile[],
  ): Promise<Action[]> {
    if (touched.length === 0) return [];
    if (this.#settings.deletes === 'dv') return deleteByVectors(folder, touched, this.#vectors, this.#tools);
    return deleteByRewriting(session, { folder, columns, touched }, this.#vectors, this.#tools);
  }

  #checkpointTools(session: DuckDbSession) {
    return { connection: session.connection, tempFolder: this.#tools.folder };
  }

  /**
   * The table as it is now, after a look at what others did to it.
   * @throws SluiceError DELTA_FOREIGN_WRITE
   */
  async #current(session: DuckDbSession, table: KnownTable, overwriteForeign = false): Promise<DeltaSnapshot | null> {
    const { folder, application } = table;
    const { store } = this.#tools;
    const known = this.#snapshots.get(folder);
    const looked = known?.version ?? table.version;
    const commits = looked === null ? null : await readCommitsBehind(store, folder, looked);
    if (commits !== null && !overwriteForeign) refuseForeign(folder, application, commits);
    const snapshot =
      known !== undefined && commits !== null
        ? applyCommits(known, commits, folder)
        : await openTable(store, folder, this.#checkpointTools(session));
    if (snapshot !== null) this.#snapshots.set(folder, snapshot);
    return snapshot;
  }

  /** Protocol and metadata, where they are new or change. */
  #tableActions(before: DeltaSnapshot | null, change: TableChange): Action[] {
    const { columns, key, table, partitionBy } = change;
    const had = before === null ? null : parseSchema(before.metadata.schemaString);
    const schema = {
      fields: columns.map(({ name, type, comment = null }) =>
        withOtherMetadata(deltaField({ name, duckdbType: type, nullable: !key.includes(name), comment }), had),
      ),
    };
    const wanted = this.#settings.deletes === 'dv' ? 'true' : undefined;
    const configuration = { ...before?.metadata.configuration };
    const retention = retentionProperty(this.#settings.maintenance.retentionMs);
    setProperty(configuration, DELETION_VECTORS, wanted);
    setProperty(configuration, FILE_RETENTION, retention);
    const metaData: MetadataAction = {
      id: before?.metadata.id ?? randomUUID(),
      ...nameOf(before),
      ...(change.comment === undefined ? {} : { description: change.comment }),
      format: { provider: 'parquet', options: {} },
      schemaString: schemaString(schema),
      partitionColumns: partitionBy,
      configuration,
      createdTime: before?.metadata.createdTime ?? this.#tools.now().getTime(),
    };
    if (before === null) return [{ protocol: requiredProtocol(schema, configuration) }, { metaData }];
    assertWritable(table.folder, before, 'change');
    const protocol = upgradedProtocol(before.protocol, schema, configuration);
    const has = describedColumns(before);
    const sameProperties =
      before.metadata.configuration[DELETION_VECTORS] === wanted &&
      before.metadata.configuration[FILE_RETENTION] === retention;
    const sameSchema = has !== null && sameColumns(has.columns, columns) && sameComments(has, change);
    const same = sameSchema && sameProperties && samePartitions(before.metadata.partitionColumns, partitionBy);
    return [...(protocol === null ? [] : [{ protocol }]), ...(same ? [] : [{ metaData }])];
  }

  async #touched(session: DuckDbSession, before: DeltaSnapshot | null, change: TableChange): Promise<TouchedFile[]> {
    const { pulled, table } = change;
    if (pulled === null || pulled.rows === 0) return [];
    const touched: TouchedFile[] = [];
    for (const [index, rows] of await vectorsOf(session, pulled.into)) {
      const add: AddAction | undefined = before?.files.get(pulled.files[index] ?? '');
      // Between the pull and now somebody has rearranged the table: the work is done again on what it is.
      if (add === undefined) {
        throw new SluiceError({
          code: 'LAKE_MOVED',
          message: `files of ${table.folder} were rearranged while rows of them were worked on`,
          hint: 'nothing was changed; the next sync does it again',
        });
      }
      touched.push({ add, rows });
    }
    return touched;
  }

  /** The log goes first, so that nobody takes what is left for a table. */
  async #drop(folder: string): Promise<void> {
    const { store } = this.#tools;
    for (const prefix of [logPrefix(folder), `${folder}/`]) {
      const keys: string[] = [];
      for await (const { key } of store.list(prefix)) keys.push(key);
      await store.delete(keys);
    }
    this.#snapshots.delete(folder);
  }
}

const DELETION_VECTORS = 'delta.enableDeletionVectors';
/** Checkpoints of every writer keep the traces of files for so long that were taken out. */
const FILE_RETENTION = 'delta.deletedFileRetentionDuration';
const DEFAULT_RETENTION_MS = 7 * 86_400_000;

/** Undefined where Delta's own default says the same. */
function retentionProperty(retentionMs: number): string | undefined {
  return retentionMs === DEFAULT_RETENTION_MS ? undefined : `interval ${Math.ceil(retentionMs / 1_000)} seconds`;
}

function setProperty(configuration: Record<string, string>, name: string, value: string | undefined): void {
  if (value === undefined) delete configuration[name];
  else configuration[name] = value;
}

/** Null where it has columns that Sluice does not write. */
function describedColumns({ metadata }: DeltaSnapshot): Pick<TableChange, 'columns' | 'comment'> | null {
  const { fields } = parseSchema(metadata.schemaString);
  if (fields.some((field) => field.type.kind === 'opaque')) return null;
  const columns = fields.map((field): LakeColumn => {
    const comment = columnComment(field);
    const column = { name: field.name, type: shortTypeName(duckdbType(field.type)) };
    return comment === null ? column : { ...column, comment };
  });
  const { description } = metadata;
  return description === undefined || description === null ? { columns } : { columns, comment: description };
}

function nameOf(snapshot: DeltaSnapshot | null): Pick<MetadataAction, 'name'> {
  const name = snapshot?.metadata.name;
  return name === undefined ? {} : { name };
}

function readPending(value: unknown, folder: string): PendingDelta {
  if (typeof value === 'object' && value !== null && 'kind' in value) {
    if (value.kind === 'drop') return { kind: 'drop' };
    if (value.kind === 'commit' && 'commit' in value && 'base' in value && 'rows' in value)
      return value as PendingDelta;
  }
  throw new SluiceError({
    code: 'LEDGER_UNREADABLE',
    message: `the ledger holds a commit to ${folder} that this Sluice does not know`,
    hint: 'a newer Sluice may have written it',
  });
}

/** What a commit of the ledger that is not in the table yet adds and takes out; also the files that its rows may have to be looked up in again. */
function pendingActions(value: unknown, folder: string, { transactions }: DeltaSnapshot): readonly Action[] {
  const delta = readPending(value, folder);
  if (delta.kind === 'drop') return [];
  const { appId, txnVersion } = delta.commit;
  if (txnVersion !== null && (transactions.get(appId)?.version ?? -1) >= txnVersion) return [];
  return [...delta.commit.actions, ...delta.rows.taken.map(({ add }): Action => ({ add }))];
}

function missing(folder: string): SluiceError {
  return new SluiceError({
    code: 'DELTA_LOG_CORRUPT',
    message: `there is no Delta table in ${folder}, where there was one`,
    hint: 'somebody has removed it; load it anew: sluice resync',
  });
}

function occupied(folder: string): SluiceError {
  return new SluiceError({
    code: 'DESTINATION_OCCUPIED',
    message: `the lake has a Delta table ${folder}/${LOG_FOLDER} that Sluice did not make`,
    hint: 'move it away, or set another target_schema for the source',
  });
}
