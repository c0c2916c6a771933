import { expect, vi } from 'vitest';
import type { SourceRun } from '../../src/executor/engine.js';
import { type Cells, EngineFixture, lsnValue, SOURCE, type TableSettings } from '../engine-fixture.js';
import type { TestPostgres } from '../postgres/server.js';
import { OutsideReader } from './outside-reader.js';

/** A Sluice that follows its source, with what tests ask of it, also before the first test. */

const PATIENCE = { interval: 50, timeout: 90_000 } as const;

/** What the server notes now and then by itself, smaller than any change; of a lake it is left unconfirmed for a while. */
const NOTE_BYTES = 56n;

export interface FollowedOptions {
  readonly tables?: Readonly<Record<string, TableSettings>>;
  readonly flush?: { readonly every: string; readonly rows?: number };
  /** More sources beside the followed one. */
  readonly moreSources?: Readonly<Record<string, unknown>>;
}

export class FollowedFixture {
  #running: { readonly stop: AbortController; readonly done: Promise<SourceRun> } | null = null;

  readonly #reader: Pick<OutsideReader, 'rows' | 'close'>;

  /** @param fixture applied, with the transport `continuous` and its slot on that server */
  constructor(
    readonly fixture: EngineFixture,
    readonly postgres: TestPostgres,
  ) {
    // A lake has no locks: whoever reads it is outside.
    this.#reader = fixture.isLake
      ? { rows: (sql) => fixture.read((lake) => lake.rows(sql)), close: async () => {} }
      : new OutsideReader(fixture.place);
  }

  /** A database of that name made by `sql`, applied; table `t` unless `tables` says otherwise. */
  static async create(
    postgres: TestPostgres,
    database: string,
    sql: string,
    options: FollowedOptions = {},
  ): Promise<FollowedFixture> {
    await postgres.createDatabase(database);
    await postgres.query(sql, [], database);
    const fixture = await EngineFixture.create({
      postgres,
      database,
      tables: options.tables ?? { 'public.t': {} },
      cdc: {
        slot: database,
        publication: database,
        transport: 'continuous',
        flush: options.flush ?? { every: '1s' },
      },
      ...(options.moreSources === undefined ? {} : { moreSources: options.moreSources }),
    });
    await fixture.apply();
    return new FollowedFixture(fixture, postgres);
  }

  get slot(): string {
    return this.fixture.slot;
  }

  /** Begins to follow; resolves when the server streams to it. */
  async follow(): Promise<void> {
    this.start();
    await this.untilStreaming();
  }

  start(): void {
    const stop = new AbortController();
    const done = this.fixture.engine().then((engine) => engine.follow(SOURCE, stop.signal));
    done.catch(() => undefined);
    this.#running = { stop, done };
  }

  /** @returns what following came to */
  async stop(): Promise<SourceRun> {
    const running = this.#running;
    this.#running = null;
    if (running === null) throw new Error('nothing is followed');
    running.stop.abort();
    return running.done;
  }

  /** How following ends when nobody stops it. */
  async ended(): Promise<SourceRun> {
    const running = this.#running;
    this.#running = null;
    if (running === null) throw new Error('nothing is followed');
    return running.done;
  }

  async untilStreaming(): Promise<void> {
    await vi.waitFor(async () => expect(await this.walsender()).not.toBeNull(), PATIENCE);
  }

  /** The process that streams, once it does. */
  async walsender(): Promise<number | null> {
    const [row] = await this.postgres.query<{ pid: number }>(
      `select r.pid from pg_stat_replication r join pg_replication_slots s on s.active_pid = r.pid
       where s.slot_name = $1 and r.state in ('streaming', 'catchup')`,
      [this.slot],
    );
    return row?.pid ?? null;
  }

  async confirmed(): Promise<bigint> {
    const [row] = await this.postgres.query<{ lsn: string }>(
      'select confirmed_flush_lsn::text as lsn from pg_replication_slots where slot_name = $1',
      [this.slot],
    );
    return lsnValue(row?.lsn ?? '0/0');
  }

  async serverLsn(): Promise<bigint> {
    const [row] = await this.postgres.query<{ lsn: string }>('select pg_current_wal_lsn()::text as lsn');
    return lsnValue(row?.lsn ?? '0/0');
  }

  /** Waits until Postgres has been told that everything up to now is durable. @param but the last bytes of WAL */
  async untilConfirmed(but = this.fixture.isLake ? NOTE_BYTES : 0n): Promise<void> {
    const target = (await this.serverLsn()) - but;
    await vi.waitFor(async () => expect(await this.confirmed()).toBeGreaterThanOrEqual(target), PATIENCE);
  }

  /** Compares a table's rows, and what the slot was told with what the destination holds. */
  async expectEqual(table = 't'): Promise<void> {
    const { fixture } = this;
    const [source] = await fixture.source<{ row: string[] }>(
      `select array[count(*)::text, md5(string_agg(id || '=' || coalesce(v, '-'), ',' order by id))] as row from ${table}`,
    );
    const [rows] = await this.rows(
      `SELECT count(*), md5(string_agg(id || '=' || coalesce(v, '-'), ',' ORDER BY id)) FROM public.${table} WHERE NOT _ph_deleted`,
    );
    expect(rows).toEqual(source?.row);
    const slot = await this.confirmed();
    const [stream] = await this.rows(`SELECT confirmed_lsn FROM _sluice.streams WHERE source = '${SOURCE}'`);
    expect(slot).toBeLessThanOrEqual(lsnValue(stream?.[0] ?? '0/0'));
  }

  /** SQL on the destination, also while it is followed. */
  rows(sql: string): Promise<Cells[]> {
    return this.#reader.rows(sql);
  }

  async remove(): Promise<void> {
    if (this.#running !== null) await this.stop().catch(() => undefined);
    await this.#reader.close();
    await this.fixture.remove();
  }
}
