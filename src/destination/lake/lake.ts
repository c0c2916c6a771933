import { stat } from 'node:fs/promises';
import { asSluiceError, SluiceError } from '../../error/sluice-error.js';
import { failpoint } from '../../thread/failpoint.js';
import { DuckDbSession, type SessionSettings } from '../duckdb/session.js';
import { literal, qualified } from '../duckdb/sql-text.js';
import { eachAtOnce } from './each-at-once.js';
import { knownSources } from './fact-exchange.js';
import { folderName } from './folder-name.js';
import { LOOKS_DDL } from './idle-page.js';
import { commitSource, type HandedOver, NeedsAllRows } from './lake-commit.js';
import { markLake } from './lake-mark.js';
import { applicationId, type Ledger, type LedgerRelation, type PendingCommit } from './ledger.js';
import { readLedgers, type StoredLedger } from './ledger-store.js';
import type { ObjectStore, StoreTraffic } from './object-store.js';
import { RUN_COST_DDL } from './run-cost.js';
import type { TableFormat } from './table-format.js';
import {
  asTableTrouble,
  LakeTableTrouble,
  letGoOfUntouched,
  type OpenWindow,
  openWindows,
  recountRows,
  relationName,
  type Told,
  type WindowRequest,
  windowNames,
  windowTables,
} from './window.js';
import {
  dropEndedLoads,
  fillSource,
  ledgerMark,
  relationOwners,
  rememberedLedgers,
  WORK_DDL,
  wipeSource,
} from './work-file.js';
import { makeWorkFolder } from './work-folder.js';

export interface LakeSettings {
  /** The working file; its folder holds everything else that is kept on the disk. */
  readonly session: SessionSettings;
  readonly workFolder: string;
}

/** How often in a row work is done again because somebody rearranged the files of a table meanwhile. */
const MAX_MOVES = 3;

/** Tables whose logs are written at once: small objects, where the way there takes longer than the bytes. */
const PARALLEL_COMMITS = 6;

/** What maintenance works on. */
export interface MaintainedSource {
  readonly session: DuckDbSession;
  /** Null where the source has nothing in the lake. */
  readonly ledger: Ledger | null;
  readonly relations: readonly (LedgerRelation & { readonly application: string })[];
}

/**
 * A lake as one thread writes it. Work is done on the working file, by the very code that a DuckDB destination uses; at
 * the end of each of its transactions what it did is brought to the lake, and only then the working file commits. The
 * lake is the truth: a working file that does not belong to the ledgers is filled from them.
 */
export class Lake {
  readonly #settings: LakeSettings;
  readonly #store: ObjectStore;
  readonly #format: TableFormat;
  readonly #onWait: (what: string) => void;
  readonly now: () => Date;
  #session: DuckDbSession | null = null;
  #ledgers = new Map<string, StoredLedger>();
  /** By folder: the version of a table's log that our last commit made. */
  readonly #versions = new Map<string, number>();
  /** By source: the ledger whose pending commits are known to be in their tables. */
  readonly #settled = new Map<string, number>();
  #windows = new Map<string, OpenWindow>();
  /** The source whose work goes on: new tables are its. */
  #writing: string | null = null;
  /** What went wrong after the ledger was written: the work is done, but not visible yet. */
  #unpublished: SluiceError | null = null;
  /** Nobody knows what became of the last commit: the lake has to be looked at again. */
  #inDoubt = false;
  /** By source: how often what the working file held of it was thrown away. */
  readonly #wipes = new Map<string, number>();
  /** What had been asked of the store when the work began that goes on; null: there is none. */
  #begun: StoreTraffic | null = null;
  readonly #traffic = (): StoreTraffic => this.traffic;

  constructor(
    settings: LakeSettings,
    deps: {
      readonly store: ObjectStore;
      readonly format: TableFormat;
      readonly onWait: (what: string) => void;
      readonly now: () => Date;
    },
  ) {
    this.#settings = settings;
    this.#store = deps.store;
    this.#format = deps.format;
    this.#onWait = deps.onWait;
    this.now = deps.now;
  }

  /** What was asked of the store since it was opened. */
  get traffic(): StoreTraffic {
    return this.#store.traffic;
  }

  /** Makes it the place of a lake before anything is written to it. */
  async makePlace(): Promise<void> {
    await markLake(this.#store, this.now());
  }

  /** The working file, in step with the lake, with every pending commit in its table. */
  async opened(limits: { readonly busyWaitMs: number } | null = null): Promise<DuckDbSession> {
    // After work that has no part in write().
    if (this.#inDoubt || this.#unpublished !== null) await this.#doubt();
    if (this.#session !== null) return this.#session;
    await makeWorkFolder(this.#settings.workFolder);
    const session = await DuckDbSession.open({ ...this.#settings.session, ...limits }, this.#onWait);
    try {
      await session.prepareLayout();
      for (const ddl of [WORK_DDL, LOOKS_DDL, ...RUN_COST_DDL]) await session.run(ddl);
      await this.#readLake(session, 'opened');
    } catch (error) {
      session.close();
      throw error;
    }
    session.beforeCommit = () => this.#beforeCommit(session);
    this.#session = session;
    return session;
  }

  /** As {@link opened}, but null where the lake holds nothing of Sluice's; no working file is made for that. */
  async openedToLook(limits: { readonly busyWaitMs: number } | null): Promise<DuckDbSession | null> {
    // The lake is listed once: what is listed before the file is held may be old when it is.
    const isThere = this.#session !== null || (await stat(this.#settings.session.path).catch(() => null)) !== null;
    if (!isThere && !(await this.exists())) return null;
    const session = await this.opened(limits);
    return this.#ledgers.size > 0 ? session : null;
  }

  /** Whether the lake holds anything of Sluice's. */
  async exists(): Promise<boolean> {
    if (this.#session === null) this.#ledgers = await readLedgers(this.#store, this.#ledgers);
    return this.#ledgers.size > 0;
  }

  /** @throws SluiceError DESTINATION_OCCUPIED when there is a table at that place which is not Sluice's */
  async refuseOccupied(place: { readonly schema: string; readonly name: string }): Promise<void> {
    const session = await this.opened();
    if (this.#relations().has(relationName(place))) return;
    await this.#format.refuseOccupied(session, `${folderName(place.schema)}/${folderName(place.name)}`);
  }

  /** What the lake says of a table that it has; null for none. */
  async told(place: { readonly schema: string; readonly name: string }): Promise<Told | null> {
    await this.opened();
    const relation = this.#relations().get(relationName(place));
    if (relation === undefined) return null;
    const { key, identity, partitionBy } = relation;
    return { key, identity, partitionBy };
  }

  release(): void {
    this.#session?.close();
    this.#session = null;
  }

  /**
   * Does work that ends in one transaction on the rows that it needs.
   * @param source whose work it is
   * @param generation of the facts that the work goes by ({@link generationOf}); null where it goes by none
   * @throws SluiceError LAKE_FENCED, DELTA_FOREIGN_WRITE, and what the store throws; LAKE_MOVED where the facts are others now
   */
  async write<T>(
    source: string,
    requests: readonly WindowRequest[],
    work: () => Promise<T>,
    generation: number | null = null,
  ): Promise<T> {
    let wanted = requests;
    for (let moves = 0; ; ) {
      const session = await this.opened();
      if (generation !== null && generation !== this.generationOf(source)) throw outdated(source);
      this.#writing = source;
      try {
        const result = await this.#writeOnce(session, wanted, work);
        await this.#format.maintenance?.checkpoint(session);
        return result;
      } catch (error) {
        if (error instanceof NeedsAllRows) wanted = withAllRows(wanted, error.place);
        else if (!(error instanceof SluiceError && error.code === 'LAKE_MOVED') || ++moves > MAX_MOVES) throw error;
      }
    }
  }

  /**
   * Changes whenever what the working file held of a source was thrown away, as it was not what the lake says: a load that
   * began before that lacks the changes that were held for it.
   */
  generationOf(source: string): number {
    return this.#wipes.get(source) ?? 0;
  }

  /** As {@link generationOf} says at this moment. */
  generations(): (source: string) => number {
    const now = new Map(this.#wipes);
    return (source) => now.get(source) ?? 0;
  }

  /** Does work on the rows that it asks for and that changes nothing of them. */
  async look<T>(requests: readonly WindowRequest[], work: () => Promise<T>): Promise<T> {
    const session = await this.opened();
    const windows = await openWindows(session, this.#format, requests, this.#relations(), this.#traffic);
    try {
      return await work();
    } finally {
      await clearWindows(session, windows);
    }
  }

  /**
   * Does work on tables as they lie in the lake, which changes nothing of what they hold.
   * @param source whose tables
   */
  async maintain<T>(source: string, work: (tables: MaintainedSource) => Promise<T>): Promise<T> {
    const session = await this.opened();
    const ledger = this.#ledgers.get(source)?.ledger ?? null;
    const known = this.#relations();
    const relations = (ledger?.relations ?? []).flatMap((relation) => known.get(relationName(relation)) ?? []);
    try {
      return await work({ session, ledger, relations });
    } catch (error) {
      this.#format.forget();
      throw error;
    }
  }

  async #writeOnce<T>(session: DuckDbSession, requests: readonly WindowRequest[], work: () => Promise<T>): Promise<T> {
    let windows = new Map<string, OpenWindow>();
    this.#begun = this.#traffic();
    try {
      windows = await openWindows(session, this.#format, requests, this.#relations(), this.#traffic);
      this.#windows = windows;
      const result = await work();
      if (this.#unpublished !== null) throw this.#unpublished;
      return result;
    } catch (error) {
      // What the lake holds by now is looked at again before anything else is done.
      if (!(error instanceof NeedsAllRows)) await this.#doubt();
      throw error;
    } finally {
      this.#begun = null;
      this.#windows = new Map();
      if (this.#session !== null) await clearWindows(session, windows);
    }
  }

  /** After a failure the next work begins with the lake as it is. */
  async #doubt(): Promise<void> {
    this.#unpublished = null;
    this.#inDoubt = false;
    this.#format.forget();
    const session = this.#session;
    if (session === null) return;
    session.beforeCommit = null;
    try {
      await this.#readLake(session, 'in_use');
      session.beforeCommit = () => this.#beforeCommit(session);
    } catch {
      // Whoever comes next opens the file anew and hears of it, if it is still so.
      this.release();
    }
  }

  #relations(): Map<string, LedgerRelation & { readonly application: string }> {
    const all = new Map<string, LedgerRelation & { readonly application: string }>();
    for (const { ledger } of this.#ledgers.values()) {
      for (const relation of ledger.relations) {
        const version = this.#versions.get(relation.folder) ?? relation.version;
        all.set(relationName(relation), { ...relation, version, application: applicationId(ledger) });
      }
    }
    return all;
  }

  /** Brings the working file in step with the ledgers, and their pending commits into the tables. */
  async #readLake(session: DuckDbSession, file: 'opened' | 'in_use'): Promise<void> {
    this.#ledgers = await readLedgers(this.#store, this.#ledgers);
    const remembered = await rememberedLedgers(session);
    for (const source of new Set([...remembered.keys(), ...(await knownSources(session))])) {
      const ledger = this.#ledgers.get(source)?.ledger;
      if (ledger !== undefined && remembered.get(source) === ledgerMark(ledger)) continue;
      this.#wipes.set(source, this.generationOf(source) + 1);
      await session.transaction(() => wipeSource(session, source));
      remembered.delete(source);
    }
    const relations = this.#relations();
    for (const table of await windowNames(session)) {
      if (!relations.has(relationName(table))) await session.run(`DROP TABLE ${qualified(table)}`);
      else await session.run(`DELETE FROM ${qualified(table)}`);
    }
    for (const { ledger } of this.#ledgers.values()) {
      if (remembered.has(ledger.source)) continue;
      await session.transaction(async () => {
        if (file === 'opened') await dropEndedLoads(session, ledger);
        await fillSource(session, this.#store, ledger, this.#settings.workFolder);
      });
    }
    for (const { ledger } of this.#ledgers.values()) {
      if (this.#settled.get(ledger.source) === ledger.serial) continue;
      for (const pending of ledger.pending) {
        try {
          this.#published(pending, await this.#format.publish(session, pending));
        } catch (error) {
          await this.#giveUp(session, ledger, pending, error);
        }
      }
      this.#settled.set(ledger.source, ledger.serial);
    }
  }

  #published({ folder }: PendingCommit, version: number | null): void {
    if (version === null) this.#versions.delete(folder);
    else this.#versions.set(folder, version);
  }

  /**
   * A pending commit that its table takes no more, as somebody else has changed it: the other tables go on, and this one
   * says so and waits for a load.
   */
  async #giveUp(session: DuckDbSession, ledger: Ledger, pending: PendingCommit, error: unknown): Promise<void> {
    const relation = ledger.relations.find(({ folder }) => folder === pending.folder);
    const trouble = relation === undefined ? error : asTableTrouble(error, relationName(relation));
    if (!(trouble instanceof LakeTableTrouble) || relation === undefined) throw error;
    const { code, message } = trouble.reason;
    await session.run(
      `UPDATE _sluice.tables SET resnapshot_reason = ${literal(code)}, error_code = ${literal(code)},
         error_message = ${literal(message)}, error_at = TIMESTAMPTZ ${literal(this.now().toISOString())}
       WHERE target_schema = ${literal(relation.schema)} AND ${literal(relation.name)} IN (target_name, target_name || '_cdc')`,
    );
  }

  async #beforeCommit(session: DuckDbSession): Promise<void> {
    try {
      await this.#commit(session);
    } catch (error) {
      if (!(error instanceof NeedsAllRows)) this.#inDoubt = true;
      throw error;
    }
  }

  /** The end of a transaction: what it did goes to the lake. */
  async #commit(session: DuckDbSession): Promise<void> {
    const windows = this.#windows;
    const tables = await windowTables(session);
    const names = new Set(tables.map(relationName));
    await recountRows(session, windows, names);
    await letGoOfUntouched(session, windows, names);
    const ledgers = [...this.#ledgers.values()].map(({ ledger }) => ledger);
    const owners = await relationOwners(session, ledgers);
    const ownerOf = (table: { readonly schema: string; readonly name: string }) =>
      owners.get(relationName(table)) ?? this.#writing;
    const handedOver = new Map<string, HandedOver>();
    for (const from of ledgers) {
      for (const relation of from.relations) {
        const stays = tables.some((table) => relationName(table) === relationName(relation));
        if (stays && ownerOf(relation) !== from.source) handedOver.set(relationName(relation), { relation, from });
      }
    }
    // Who takes something over writes first, a table or a place in the stream: a crash in between must not leave it without
    // an owner. What both have then is moved once more (moved-facts.ts).
    const first = [...tables.filter((table) => handedOver.has(relationName(table))).map(ownerOf), this.#writing];
    const all = [...first, ...(await knownSources(session)), ...this.#ledgers.keys()];
    for (const source of new Set(all.filter((name) => name !== null))) {
      const own = tables.filter((table) => ownerOf(table) === source);
      const before = this.#ledgers.get(source) ?? null;
      const written = await commitSource(
        session,
        {
          source,
          before,
          tables: own,
          handedOver,
          windows,
          versions: this.#versions,
          begun: this.#begun ?? this.traffic,
        },
        { store: this.#store, format: this.#format, folder: this.#settings.workFolder, now: this.now },
      );
      if (written === null) continue;
      this.#ledgers.set(source, written);
      await this.#publish(session, written.ledger);
    }
  }

  /**
   * The ledger stands, so the working file commits whatever comes; where a table's log cannot be written now the caller
   * hears that its work is not visible yet, and whoever comes next brings it into the tables first.
   */
  async #publish(session: DuckDbSession, { source, serial, pending }: Ledger): Promise<void> {
    try {
      await eachAtOnce(PARALLEL_COMMITS, [...commitsByFolder(pending)], async (commits) => {
        for (const entry of commits) {
          this.#published(entry, await this.#format.publish(session, entry));
          await failpoint('after_table_commit');
        }
      });
      this.#settled.set(source, serial);
    } catch (error) {
      this.#unpublished = asSluiceError(error);
    }
  }
}

/** Commits to one table stay in their order. */
function commitsByFolder(pending: readonly PendingCommit[]): Iterable<PendingCommit[]> {
  const folders = new Map<string, PendingCommit[]>();
  for (const entry of pending) folders.set(entry.folder, [...(folders.get(entry.folder) ?? []), entry]);
  return folders.values();
}

/** What it read from Postgres begins where the tables were, not where they are. */
function outdated(source: string): SluiceError {
  return new SluiceError({
    code: 'LAKE_MOVED',
    message: `the lake's tables of ${source} are not as they were when this sync began: another Sluice has written them, or a commit whose end was not known had taken effect`,
    hint: 'nothing was changed; the next sync goes on from what the lake holds',
  });
}

function withAllRows(
  requests: readonly WindowRequest[],
  place: { readonly schema: string; readonly name: string },
): WindowRequest[] {
  const asked = requests.find((request) => relationName(request) === relationName(place));
  if (asked?.choose?.kind === 'all') {
    const message = `${place.schema}.${place.name} could not be written anew with all of its rows`;
    throw new SluiceError({ code: 'INTERNAL', message });
  }
  const request = asked ?? { schema: place.schema, name: place.name, told: null, counted: null };
  return [
    ...requests.filter((other) => other !== asked),
    { ...request, mode: 'rows', choose: { kind: 'all' }, untouched: null },
  ];
}

async function clearWindows(session: DuckDbSession, windows: ReadonlyMap<string, OpenWindow>): Promise<void> {
  const tables = new Set((await windowNames(session)).map(relationName));
  for (const [name, { request, pulled }] of windows) {
    if (tables.has(name)) await session.run(`DELETE FROM ${qualified(request)}`);
    if (pulled !== null) await session.run(`DROP TABLE IF EXISTS ${pulled.into}`);
  }
}
