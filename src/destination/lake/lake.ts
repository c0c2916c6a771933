import { randomUUID } from 'node:crypto';
import { mkdir, stat } from 'node:fs/promises';
import { asSluiceError, SluiceError } from '../../error/sluice-error.js';
import { failpoint } from '../../thread/failpoint.js';
import { heldTable } from '../duckdb/held-changes.js';
import { DuckDbSession, type SessionSettings } from '../duckdb/session.js';
import { forgetProgressOfOthers } from '../duckdb/snapshot-progress.js';
import { literal, qualified } from '../duckdb/sql-text.js';
import { historyName } from '../target-table.js';
import { exportFacts, forgetFacts, importFacts, knownSources, ownedBy } from './fact-exchange.js';
import { folderName } from './folder-name.js';
import { LOOKS_DDL } from './idle-page.js';
import { applicationId, type Ledger, type LedgerRelation, type PendingCommit } from './ledger.js';
import { readLedgers, type StoredLedger, writeLedger } from './ledger-store.js';
import type { ObjectStore, StoreTraffic } from './object-store.js';
import { importRejected, keepRejected } from './rejected-values.js';
import { RUN_COST_DDL, recordRunCosts } from './run-cost.js';
import type { TableChange, TableFormat } from './table-format.js';
import { addTraffic, NO_TRAFFIC, trafficSince } from './traffic.js';
import {
  asTableTrouble,
  createWindow,
  isAdditive,
  LakeTableTrouble,
  type OpenWindow,
  openWindows,
  recountRows,
  relationName,
  sameColumns,
  type WindowRequest,
  windowTables,
} from './window.js';

export interface LakeSettings {
  /** The working file; its folder holds everything else that is kept on the disk. */
  readonly session: SessionSettings;
  readonly workFolder: string;
}

/** A change of columns that can only be made with all rows at hand; the work is done again with them. */
class NeedsAllRows extends Error {
  constructor(readonly relation: string) {
    super(`${relation} has to be written anew`);
  }
}

/** Sluice's own table in the working file: the ledger that its facts and held changes belong to. */
const WORK_DDL = 'CREATE TABLE IF NOT EXISTS _sluice.lake_ledgers (source VARCHAR, ledger VARCHAR, serial BIGINT)';

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

  /** The working file, in step with the lake, with every pending commit in its table. */
  async opened(limits: { readonly busyWaitMs: number } | null = null): Promise<DuckDbSession> {
    if (this.#session !== null) return this.#session;
    await mkdir(this.#settings.workFolder, { recursive: true });
    const session = await DuckDbSession.open({ ...this.#settings.session, ...limits }, this.#onWait);
    try {
      await session.prepareLayout();
      for (const ddl of [WORK_DDL, LOOKS_DDL, ...RUN_COST_DDL]) await session.run(ddl);
      await this.#readLake(session);
    } catch (error) {
      session.close();
      throw error;
    }
    session.beforeCommit = () => this.#commit(session);
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

  release(): void {
    this.#session?.close();
    this.#session = null;
  }

  /**
   * Does work that ends in one transaction on the rows that it needs.
   * @param source whose work it is
   * @throws SluiceError LAKE_FENCED, DELTA_FOREIGN_WRITE, and what the store throws
   */
  async write<T>(source: string, requests: readonly WindowRequest[], work: () => Promise<T>): Promise<T> {
    const session = await this.opened();
    this.#writing = source;
    let wanted = requests;
    for (;;) {
      try {
        return await this.#writeOnce(session, wanted, work);
      } catch (error) {
        if (!(error instanceof NeedsAllRows)) throw error;
        wanted = withAllRows(wanted, error.relation);
      }
    }
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
    this.#format.forget();
    const session = this.#session;
    if (session === null) return;
    session.beforeCommit = null;
    try {
      await this.#readLake(session);
      session.beforeCommit = () => this.#commit(session);
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
  async #readLake(session: DuckDbSession): Promise<void> {
    this.#ledgers = await readLedgers(this.#store, this.#ledgers);
    const local = await session.rows<{ source: string; ledger: string; serial: string }>(
      'SELECT source, ledger, serial FROM _sluice.lake_ledgers',
    );
    const serials = new Map(local.map((row) => [row.source, `${row.ledger} ${row.serial}`]));
    const wiped = new Set([...serials.keys(), ...(await knownSources(session))]);
    for (const source of wiped) {
      const ledger = this.#ledgers.get(source)?.ledger;
      if (ledger !== undefined && serials.get(source) === `${ledger.id} ${ledger.serial}`) continue;
      await session.transaction(() => this.#wipe(session, source));
      serials.delete(source);
    }
    const relations = this.#relations();
    for (const table of await windowTables(session)) {
      if (!relations.has(relationName(table))) await session.run(`DROP TABLE ${qualified(table)}`);
      else await session.run(`DELETE FROM ${qualified(table)}`);
    }
    for (const { ledger } of this.#ledgers.values()) {
      if (!serials.has(ledger.source)) await session.transaction(() => this.#fill(session, ledger));
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

  /** Forgets what the working file says of a source. */
  async #wipe(session: DuckDbSession, source: string): Promise<void> {
    await forgetFacts(session, source);
    await session.run(`DELETE FROM _sluice.rejected_values WHERE ${ownedBy(source, 'address')}`);
    await session.run(`DELETE FROM _sluice.held_gaps WHERE ${ownedBy(source, 'address')}`);
    await forgetProgressOfOthers(session, source, []);
    for (const address of await heldAddresses(session, source)) {
      await session.run(`DROP TABLE IF EXISTS ${heldTable(address)}`);
    }
    await session.run(`DELETE FROM _sluice.lake_ledgers WHERE source = ${literal(source)}`);
  }

  async #fill(session: DuckDbSession, ledger: Ledger): Promise<void> {
    await importFacts(session, ledger.facts, this.#settings.workFolder);
    await importRejected(session, this.#store, ledger, this.#settings.workFolder);
    for (const relation of ledger.relations) await createWindow(session, relation);
    for (const address of ledger.held) {
      // They were on a disk that is not this one; the table's next load sees what they said.
      await session.run(
        `UPDATE _sluice.tables SET resnapshot_reason = 'HELD_CHANGES_LOST'
         WHERE address = ${literal(address)} AND loaded_generation > 0 AND resnapshot_reason IS NULL`,
      );
    }
    await this.#remember(session, ledger);
  }

  async #remember(session: DuckDbSession, ledger: Ledger): Promise<void> {
    await session.run(`DELETE FROM _sluice.lake_ledgers WHERE source = ${literal(ledger.source)}`);
    await session.run(
      `INSERT INTO _sluice.lake_ledgers VALUES (${[ledger.source, ledger.id, ledger.serial].map(literal).join(', ')})`,
    );
  }

  /** The end of a transaction: what it did goes to the lake. */
  async #commit(session: DuckDbSession): Promise<void> {
    const windows = this.#windows;
    const tables = await windowTables(session);
    await recountRows(session, windows, new Set(tables.map(relationName)));
    const owners = await relationOwners(session, this.#ledgers);
    for (const source of new Set([...(await knownSources(session)), ...this.#ledgers.keys()])) {
      const own = tables.filter((table) => (owners.get(relationName(table)) ?? this.#writing) === source);
      await this.#commitSource(session, source, own, windows);
    }
  }

  async #commitSource(
    session: DuckDbSession,
    source: string,
    tables: readonly Pick<LedgerRelation, 'schema' | 'name' | 'columns'>[],
    windows: ReadonlyMap<string, OpenWindow>,
  ): Promise<void> {
    const stored = this.#ledgers.get(source) ?? null;
    const before = stored?.ledger ?? null;
    const begun = this.#begun ?? this.#traffic();
    const id = before?.id ?? randomUUID();
    const serial = (before?.serial ?? 0) + 1;
    const application = applicationId({ id });
    const relations: LedgerRelation[] = [];
    const changes: TableChange[] = [];
    for (const table of tables) {
      const known = before?.relations.find((relation) => relationName(relation) === relationName(table)) ?? null;
      const window = windows.get(relationName(table)) ?? null;
      const told = window?.request.told ?? { key: known?.key ?? [], identity: known?.identity ?? [] };
      const folder = known?.folder ?? `${folderName(table.schema)}/${folderName(table.name)}`;
      const version = this.#versions.get(folder) ?? known?.version ?? null;
      const relation = { schema: table.schema, name: table.name, folder, columns: table.columns, ...told, version };
      relations.push(relation);
      const work = await workOf(session, relation, known, window);
      if (work === null) continue;
      const { columns, key, identity } = relation;
      const overwriteForeign = window?.request.overwriteForeign ?? false;
      const common = { table: { folder, application, version }, serial, columns, key, identity, overwriteForeign };
      changes.push({ ...common, ...work, rows: qualified(table) });
    }
    for (const { folder, columns, version, schema, name } of before?.relations ?? []) {
      if (relations.some((relation) => relationName(relation) === relationName({ schema, name }))) continue;
      changes.push({
        ...{ table: { folder, application, version }, serial, columns, key: [], identity: [], overwriteForeign: true },
        ...{ kind: 'drop', pulled: null, rows: '', operation: 'DROP TABLE' },
      });
    }
    const facts = await exportFacts(session, source);
    const rejected = await keepRejected(
      session,
      this.#store,
      source,
      before?.rejected ?? null,
      this.#settings.workFolder,
    );
    const held = await heldAddresses(session, source);
    const content = { facts, relations, held, rejected };
    const quiet = before === null ? Object.values(facts).every((rows) => rows.length === 0) : false;
    const same =
      before !== null &&
      JSON.stringify(content) ===
        JSON.stringify({
          facts: before.facts,
          relations: before.relations,
          held: before.held,
          rejected: before.rejected,
        });
    if (changes.length === 0 && (same || quiet)) return;

    const pending: PendingCommit[] = [];
    const costs = new Map([...windows].map(([name, { cost }]) => [name, cost]));
    for (const change of changes) {
      const asked = this.#traffic();
      try {
        pending.push(await this.#format.prepare(session, change));
      } catch (error) {
        const relation = relations.find(({ folder }) => folder === change.table.folder);
        throw relation === undefined ? error : asTableTrouble(error, relationName(relation));
      }
      if (change.kind !== 'drop') await session.run(`DELETE FROM ${change.rows}`);
      const name = relations.find(({ folder }) => folder === change.table.folder);
      if (name === undefined) continue;
      // And its commit, which is written once the ledger is.
      const spent = addTraffic(trafficSince(asked, this.#traffic()), sending(pending.at(-1)));
      costs.set(relationName(name), addTraffic(costs.get(relationName(name)) ?? NO_TRAFFIC, spent));
    }
    await failpoint('after_lake_upload');
    const draft: Ledger = {
      ...{ format_version: 1, id, source, serial, written_at: this.now().toISOString() },
      ...content,
      pending,
    };
    const total = [sending(draft), ...pending.map(sending)].reduce(addTraffic, trafficSince(begun, this.#traffic()));
    const hasRuns = await recordRunCosts(session, source, costs, total);
    const ledger: Ledger = hasRuns ? { ...draft, facts: await exportFacts(session, source) } : draft;
    const etag = await writeLedger(this.#store, ledger, stored);
    this.#ledgers.set(source, { ledger, etag });
    await this.#remember(session, ledger);
    await failpoint('after_ledger');
    try {
      for (const entry of pending) {
        this.#published(entry, await this.#format.publish(session, entry));
        await failpoint('after_table_commit');
      }
      this.#settled.set(source, serial);
    } catch (error) {
      // The ledger stands, so the working file commits; the caller hears that it is not visible yet, and whoever comes
      // next brings it into the tables first.
      this.#unpublished = asSluiceError(error);
    }
  }
}

/** One PUT of a document. */
function sending(document: unknown): StoreTraffic {
  return { ...NO_TRAFFIC, puts: 1, bytesSent: Buffer.byteLength(JSON.stringify(document)) };
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
  if (!isAdditive(known.columns, relation.columns)) {
    if (!isWhole) throw new NeedsAllRows(relationName(relation));
    return { kind: 'replace', pulled: null, operation: 'REPLACE COLUMNS' };
  }
  const [row] = await session.rows<{ n: string }>(`SELECT count(*) AS n FROM ${qualified(relation)}`);
  const comes = Number(row?.n ?? 0) > 0;
  const goes = (window?.pulled?.rows ?? 0) > 0;
  if (isWhole && (comes || goes)) return { kind: 'replace', pulled: null, operation: 'WRITE' };
  if (goes) return { kind: 'rows', pulled: window?.pulled ?? null, operation: 'MERGE' };
  if (comes) return { kind: 'rows', pulled: null, operation: 'WRITE' };
  return sameColumns(known.columns, relation.columns) ? null : { kind: 'rows', pulled: null, operation: 'ADD COLUMNS' };
}

function withAllRows(requests: readonly WindowRequest[], name: string): WindowRequest[] {
  const asked = requests.find((request) => relationName(request) === name);
  if (asked?.choose?.kind === 'all') {
    throw new SluiceError({ code: 'INTERNAL', message: `${name} could not be written anew with all of its rows` });
  }
  const at = name.indexOf('.');
  const request = asked ?? { schema: name.slice(0, at), name: name.slice(at + 1), told: null, counted: null };
  return [...requests.filter((other) => other !== asked), { ...request, mode: 'rows', choose: { kind: 'all' } }];
}

async function clearWindows(session: DuckDbSession, windows: ReadonlyMap<string, OpenWindow>): Promise<void> {
  const tables = new Set((await windowTables(session)).map(relationName));
  for (const [name, { request, pulled }] of windows) {
    if (tables.has(name)) await session.run(`DELETE FROM ${qualified(request)}`);
    if (pulled !== null) await session.run(`DROP TABLE IF EXISTS ${pulled.into}`);
  }
}

/** Whose a table of the working file is; undefined for one that no ledger and no fact tells of. */
async function relationOwners(
  session: DuckDbSession,
  ledgers: ReadonlyMap<string, StoredLedger>,
): Promise<Map<string, string>> {
  const owners = new Map<string, string>();
  for (const [source, { ledger }] of ledgers) {
    for (const relation of ledger.relations) owners.set(relationName(relation), source);
  }
  const rows = await session.rows<{ schema: string; name: string; source: string }>(
    `SELECT target_schema AS schema, target_name AS name, split_part(address, ':', 1) AS source FROM _sluice.tables
     WHERE target_name IS NOT NULL`,
  );
  for (const { schema, name, source } of rows) {
    owners.set(relationName({ schema, name }), source);
    owners.set(relationName({ schema, name: historyName({ name }) }), source);
  }
  return owners;
}

/** Addresses of which the working file holds changes. */
async function heldAddresses(session: DuckDbSession, source: string): Promise<string[]> {
  const prefix = 'held ';
  const rows = await session.rows<{ name: string }>(
    `SELECT table_name AS name FROM duckdb_tables() WHERE schema_name = '_sluice'
       AND starts_with(table_name, ${literal(`${prefix}${source}:`)}) ORDER BY table_name`,
  );
  return rows.map((row) => row.name.slice(prefix.length));
}
