import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import type { SourceRun, SyncReport } from '../../src/executor/engine.js';
import { describeFailures, EngineFixture, lsnValue, SOURCE } from '../engine-fixture.js';
import type { TestPostgres } from '../postgres/server.js';
import { readDestination, readSource, takeLog } from './observation.js';
import { ALL_TABLES, FIRST_TABLES, isCdc, LATE_TABLES, logSql, type OracleTable } from './oracle-table.js';
import { TableModel } from './table-model.js';
import { changeStatements, SESSIONS, STEP, type Step, WorkSession } from './workload.js';

/** Keys that every table holds before Sluice sees it. */
const FIRST_KEYS = 6;
/** A sync that goes on beside the workload gets this much time before each next step. */
const BESIDE_MS = 15;

export interface OracleOptions {
  /** Settings of the destination, instead of the everyday one. */
  readonly destination?: Readonly<Record<string, unknown>>;
  /** Called at each checkpoint, when everything is caught up and has been checked; nothing else goes on meanwhile. */
  readonly atCheckpoint?: (fixture: EngineFixture, known: readonly OracleTable[]) => Promise<void>;
}

/** One database, one Sluice, one list of steps. Throws with everything that differed. */
export class OracleRun {
  readonly #fixture: EngineFixture;
  readonly #sessions: readonly WorkSession[];
  readonly #models = new Map<string, TableModel>();
  readonly #options: OracleOptions;
  /** Added to the file and not loaded yet: a sync waits for transactions that wrote to them. */
  readonly #waiting = new Set<string>();
  #known: readonly OracleTable[] = FIRST_TABLES;
  #loaded = new Set<string>();
  #sync: Promise<SyncReport> | null = null;
  #follow: { readonly run: Promise<SourceRun>; readonly stop: AbortController } | null = null;
  #eventsSeen = 0;

  private constructor(fixture: EngineFixture, sessions: readonly WorkSession[], options: OracleOptions) {
    this.#fixture = fixture;
    this.#options = options;
    this.#sessions = sessions;
    for (const table of ALL_TABLES) this.#models.set(table.name, new TableModel(table));
  }

  /** One list of steps a seed, not shrunk: what a run finds depends on timing too. */
  static async playSeed(postgres: TestPostgres, database: string, seed: number): Promise<void> {
    const [steps = []] = fc.sample(fc.array(STEP, { minLength: 60, maxLength: 140, size: 'max' }), {
      seed,
      numRuns: 1,
    });
    try {
      await OracleRun.play(postgres, database, steps);
    } catch (error) {
      throw new Error(`SLUICE_SEED=${seed} on Postgres ${postgres.major}: ${String(error)}`, { cause: error });
    }
  }

  static async play(
    postgres: TestPostgres,
    database: string,
    steps: readonly Step[],
    options: OracleOptions = {},
  ): Promise<void> {
    await postgres.createDatabase(database);
    await postgres.query(setUpSql(), [], database);
    const fixture = await EngineFixture.create({
      postgres,
      database,
      tables: Object.fromEntries(FIRST_TABLES.map((table) => [table.key, table.settings])),
      cdc: { slot: database, publication: database, transport: 'continuous', flush: { every: '1s', rows: 50 } },
      ...(options.destination === undefined ? {} : { destination: options.destination }),
    });
    const sessions = await Promise.all(Array.from({ length: SESSIONS }, () => WorkSession.open(postgres, database)));
    const run = new OracleRun(fixture, sessions, options);
    try {
      await run.#begin();
      for (const step of steps) await run.#step(step);
      await run.#checkpoint({ leaveOpen: false, commit: true });
    } finally {
      await run.#sync?.catch(() => undefined);
      run.#follow?.stop.abort();
      await run.#follow?.run.catch(() => undefined);
      for (const session of sessions) await session.close();
      await fixture.remove();
    }
  }

  /** The first apply has to wait for a transaction that was open before the slot. */
  async #begin(): Promise<void> {
    const [early] = this.#sessions;
    await early?.transaction('begin');
    await early?.run('accounts', ["update accounts set name = 'before the slot' where id = 1"]);
    const applying = this.#fixture.apply();
    await sleep(100);
    await early?.transaction('commit');
    await applying;
    await takeLog(this.#fixture, ALL_TABLES);
    for (const table of ALL_TABLES) {
      this.#models.get(table.name)?.startFrom(await readSource(this.#fixture, table));
    }
  }

  async #step(step: Step): Promise<void> {
    if (this.#sync !== null || this.#follow !== null) await sleep(BESIDE_MS);
    switch (step.kind) {
      case 'change': {
        const table = ALL_TABLES[step.table % ALL_TABLES.length];
        if (table !== undefined) await this.#session(step.session).run(table.name, changeStatements(table, step));
        return;
      }
      case 'transaction':
        await this.#session(step.session).transaction(step.verb);
        return;
      case 'truncate': {
        const table = ALL_TABLES[step.table % ALL_TABLES.length];
        const session = this.#session(step.session);
        if (table?.truncates !== true) return;
        const done = await session.run(table.name, [`truncate ${table.name}`]);
        session.truncated ||= done && session.isOpen;
        return;
      }
      case 'sync':
        await this.#settleSync(true);
        this.#sync = this.#fixture.trySync({ address: this.#addressOf(step.only) });
        // Awaited later; until then a failure must not count as unhandled.
        this.#sync.catch(() => undefined);
        return;
      case 'follow': {
        await this.#settleSync(true);
        const stop = new AbortController();
        const run = (await this.#fixture.engine()).follow(SOURCE, stop.signal);
        run.catch(() => undefined);
        this.#follow = { run, stop };
        return;
      }
      case 'resync': {
        const loadable = this.#known.filter(isCdc);
        const table = loadable[step.table % loadable.length];
        await this.#settleSync(true);
        if (table !== undefined) await this.#fixture.resync(table.key);
        return;
      }
      case 'add_table': {
        const table = LATE_TABLES[this.#known.length - FIRST_TABLES.length];
        if (table === undefined) return;
        await this.#settleSync(true);
        await this.#endSessions((session) => session.truncated, true);
        await this.#fixture.configure({ ...this.#fixture.tables, [table.key]: table.settings });
        await this.#fixture.apply();
        this.#known = [...this.#known, table];
        this.#waiting.add(table.name);
        return;
      }
      case 'checkpoint':
        await this.#checkpoint(step);
        return;
    }
  }

  #addressOf(index: number | null): string | null {
    const table = index === null ? undefined : this.#known[index % this.#known.length];
    return table === undefined ? null : `${SOURCE}:${table.key}`;
  }

  #session(index: number): WorkSession {
    const session = this.#sessions[index];
    if (session === undefined) throw new Error(`no session ${index}`);
    return session;
  }

  async #endSessions(which: (session: WorkSession) => boolean, commit: boolean): Promise<void> {
    for (const session of this.#sessions) {
      if (session.isOpen && which(session)) await session.transaction(commit ? 'commit' : 'rollback');
    }
  }

  /** Some loads and all cursor methods wait for open transactions that wrote to their table. */
  #isWaitedFor(session: WorkSession): boolean {
    if (session.truncated) return true;
    return this.#known.some(
      (table) => session.written.has(table.name) && (this.#waiting.has(table.name) || !isCdc(table)),
    );
  }

  async #settleSync(commit: boolean): Promise<void> {
    const sync = this.#sync;
    const follow = this.#follow;
    if (sync === null && follow === null) return;
    await this.#endSessions((session) => this.#isWaitedFor(session), commit);
    this.#sync = null;
    this.#follow = null;
    if (sync !== null) this.#note(await sync);
    if (follow === null) return;
    follow.stop.abort();
    const { error, tables } = await follow.run;
    const failed = tables.filter((table) => table.status === 'failed');
    if (error !== null || failed.length > 0) throw new Error(`following failed: ${JSON.stringify([error, failed])}`);
    this.#noteLoads();
  }

  #note(report: SyncReport): void {
    if (!report.ok) throw new Error(`a sync failed: ${describeFailures(report)}`);
    this.#noteLoads();
  }

  /** By the events, as a follower that is stopped tells nothing of the loads before. */
  #noteLoads(): void {
    for (const event of this.#fixture.events.slice(this.#eventsSeen)) {
      if (event.kind !== 'load_ended') continue;
      const table = this.#known.find(({ key }) => event.address === `${SOURCE}:${key}`);
      if (table === undefined || !isCdc(table)) continue;
      this.#loaded.add(table.name);
      this.#waiting.delete(table.name);
    }
    this.#eventsSeen = this.#fixture.events.length;
  }

  async #checkpoint(how: { readonly leaveOpen: boolean; readonly commit: boolean }): Promise<void> {
    await this.#settleSync(how.commit);
    await this.#endSessions((session) => !how.leaveOpen || this.#isWaitedFor(session), how.commit);
    this.#note(await this.#fixture.trySync());
    const log = await takeLog(this.#fixture, ALL_TABLES);
    const { slot, destination } = await this.#fixture.positions();
    if (destination === null || slot === null) throw new Error('the stream has no position');
    const [clock] = await this.#fixture.source<{ time: string }>(
      'select (extract(epoch from clock_timestamp()) * 1000000)::bigint::text as time',
    );
    const problems = lsnValue(slot) > lsnValue(destination) ? [`slot ${slot} is ahead of ${destination}`] : [];
    await this.#fixture.read(async (duckdb) => {
      for (const table of this.#known) {
        const situation = {
          lsn: lsnValue(destination),
          time: BigInt(clock?.time ?? 0),
          source: await readSource(this.#fixture, table),
          log: log.get(table.name) ?? [],
          loaded: this.#loaded.has(table.name),
          destination: await readDestination(duckdb, table),
        };
        problems.push(...(this.#models.get(table.name)?.check(situation) ?? []));
      }
    });
    this.#loaded = new Set();
    if (problems.length > 0) throw new Error(`the destination differs:\n${problems.slice(0, 20).join('\n')}`);
    await this.#options.atCheckpoint?.(this.#fixture, this.#known);
  }
}

function setUpSql(): string {
  const rows = ALL_TABLES.flatMap((table) =>
    Array.from({ length: FIRST_KEYS }, (_, i) => {
      const { columns, values } = table.fresh(i);
      const names = table.columns.slice(0, table.keyColumns).map((column) => column.name);
      return `insert into ${table.name} (${names.join(', ')}, ${columns}) values (${table.keyOf(i * 2)}, ${values})`;
    }),
  );
  return [
    'create extension citext',
    'create schema oracle',
    'create table oracle.log (id bigserial primary key, tab text, op text, cells text[])',
    ...ALL_TABLES.map((table) => table.ddl),
    ...ALL_TABLES.map(logSql),
    ...rows,
  ].join(';\n');
}
