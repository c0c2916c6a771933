import { createHash } from 'node:crypto';
import { SluiceError } from '../error/sluice-error.js';
import { failpoint } from '../thread/failpoint.js';
import type { StateMedium, StoredText } from './state-store.js';

/** What is needed of a session with Postgres. The executor passes in those that sources are read by. */
export interface StateSession {
  query<Row extends Readonly<Record<string, unknown>>>(
    sql: string,
    params?: readonly unknown[],
    signal?: AbortSignal,
  ): Promise<Row[]>;
  /** Called once when the session ends by itself. */
  onLost(told: () => void): void;
  end(): Promise<void>;
}

export interface PostgresStatePlace {
  readonly connection: string;
  readonly schema: string;
  /** @throws SluiceError SOURCE_*, SECRET_MISSING */
  readonly connect: (purpose: 'state' | 'state lock', signal: AbortSignal) => Promise<StateSession>;
}

/** The first half of the advisory lock's key: "slui". The other half tells the schemas of a database apart. */
const LOCK_CLASS = 0x736c7569;

export function lockKey(schema: string): readonly [number, number] {
  // Without the sign bit, as pg_locks shows the halves as unsigned.
  return [LOCK_CLASS, createHash('sha256').update(schema).digest().readUInt32BE(0) & 0x7fffffff];
}

export function tableName(schema: string): string {
  return `"${schema.replaceAll('"', '""')}".sluice_state`;
}

export function placeText({ connection, schema }: PostgresStatePlace): string {
  return `in table ${tableName(schema)} of connection "${connection}"`;
}

/** A session that is kept from one statement to the next, one statement at a time, and opened anew where it was lost. */
export class KeptSession {
  #session: StateSession | null = null;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(private readonly place: PostgresStatePlace) {}

  query<Row extends Readonly<Record<string, unknown>>>(sql: string, params: readonly unknown[] = []): Promise<Row[]> {
    const answer = this.#queue.then(async () => {
      const session = await this.#open();
      try {
        return await session.query<Row>(sql, params);
      } catch (error) {
        // The news of its end may come later than this.
        if (isLost(error) && this.#session === session) this.#session = null;
        throw error;
      }
    });
    this.#queue = answer.catch(() => undefined);
    return answer;
  }

  /** A statement that changes nothing: repeated on a new session where the kept one has ended since it was last used. */
  async look<Row extends Readonly<Record<string, unknown>>>(
    sql: string,
    params: readonly unknown[] = [],
  ): Promise<Row[]> {
    try {
      return await this.query<Row>(sql, params);
    } catch (error) {
      if (!isLost(error)) throw error;
      return await this.query<Row>(sql, params);
    }
  }

  async close(): Promise<void> {
    await this.#queue;
    await this.#session?.end();
    this.#session = null;
  }

  async #open(): Promise<StateSession> {
    if (this.#session !== null) return this.#session;
    const session = await this.place.connect('state', NEVER_ABORTED);
    session.onLost(() => {
      if (this.#session === session) this.#session = null;
    });
    this.#session = session;
    return session;
  }
}

/**
 * The state as one row of a table, compared and replaced in one statement. What is compared is the whole document and so its
 * serial and what a person may have edited; serial and lineage stand beside it for people. The version before is the row
 * `backup`.
 */
export function postgresMedium(place: PostgresStatePlace, session: KeptSession): StateMedium {
  const table = tableName(place.schema);
  return {
    place: placeText(place),
    mend: `the version before is the row "backup". To go back to it: update ${table} s set document = b.document from ${table} b where s.name = 'state' and b.name = 'backup'; then run sluice plan`,
    remote: true,

    async load(): Promise<StoredText | null> {
      try {
        const [row] = await session.look<{ document: string }>(`select document from ${table} where name = 'state'`);
        return row === undefined ? null : { text: row.document, version: row.document };
      } catch (error) {
        if (isSqlState(error, UNDEFINED_TABLE, INVALID_SCHEMA)) return null;
        throw await withGrants(error, place.schema, session);
      }
    },

    async swap(text, version, kept) {
      await failpoint('in_state_write');
      const { serial, lineage } = columnsOf(text);
      if (version === null) {
        await createTable(place.schema, session);
        const made = await session.query(
          `insert into ${table} (name, document, serial, lineage) values ('state', $1, $2, $3)
           on conflict (name) do nothing returning 1 as made`,
          [text, serial, lineage],
        );
        return made.length > 0 ? 'written' : 'refused';
      }
      const copies = (once: boolean) => kept.filter((copy) => copy.once === once);
      const swapped = await session.query(
        `with old as materialized (select name from ${table} where name = 'state' and document = $1 for update),
         replaced as (
           insert into ${table} (name, document)
           select k.name, k.document from old, unnest($5::text[], $6::text[]) as k (name, document)
           on conflict (name) do update set document = excluded.document, written_at = now()),
         kept as (
           insert into ${table} (name, document)
           select k.name, k.document from old, unnest($7::text[], $8::text[]) as k (name, document)
           on conflict (name) do nothing)
         update ${table} as t set document = $2, serial = $3, lineage = $4, written_at = now()
         from old where t.name = old.name returning 1 as made`,
        [
          version,
          text,
          serial,
          lineage,
          copies(false).map(({ name }) => name),
          copies(false).map((copy) => copy.text),
          copies(true).map(({ name }) => name),
          copies(true).map((copy) => copy.text),
        ],
      );
      return swapped.length > 0 ? 'written' : 'refused';
    },
  };
}

/** Makes schema and table where they are missing. @throws SluiceError PRIVILEGE_MISSING with the SQL that mends it */
export async function createTable(schema: string, session: KeptSession): Promise<void> {
  const table = tableName(schema);
  const isThere = async (): Promise<boolean> => {
    const [row] = await session.query<{ there: boolean }>('select to_regclass($1) is not null as there', [table]);
    return row?.there === true;
  };
  try {
    if (await isThere()) return;
    const [found] = await session.query<{ there: boolean }>('select to_regnamespace($1) is not null as there', [
      quoted(schema),
    ]);
    if (found?.there !== true) await session.query(`create schema if not exists ${quoted(schema)}`);
    await session.query(`create table if not exists ${table} (${COLUMNS})`);
  } catch (cause) {
    // Another process may have made it this moment, which Postgres tells as a clash of names.
    if (await isThere().catch(() => false)) return;
    throw await withGrants(cause, schema, session);
  }
}

const COLUMNS =
  'name text primary key, document text not null, serial bigint, lineage text, written_at timestamptz not null default now()';

/** @returns for a privilege that the role lacks: an error with the SQL that gives it; any other as it is */
async function withGrants(cause: unknown, schema: string, session: KeptSession): Promise<unknown> {
  if (!isSqlState(cause, INSUFFICIENT_PRIVILEGE)) return cause;
  const [row] = await session.look<{ role: string }>('select quote_ident(current_user) as role');
  const role = row?.role ?? 'the_role';
  const table = tableName(schema);
  return new SluiceError({
    code: 'PRIVILEGE_MISSING',
    message: `the role ${role} may not make or use the table ${table} for the state${cause instanceof Error ? `: ${cause.message}` : ''}`,
    hint: `as an owner of the database: create schema if not exists ${quoted(schema)}; create table if not exists ${table} (${COLUMNS}); grant usage on schema ${quoted(schema)} to ${role}; grant select, insert, update, delete on ${table} to ${role};`,
    cause,
  });
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function isLost(error: unknown): boolean {
  return error instanceof SluiceError && error.code === 'SOURCE_CONNECTION_LOST';
}

const UNDEFINED_TABLE = '42P01';
const INVALID_SCHEMA = '3F000';
const INSUFFICIENT_PRIVILEGE = '42501';

/** Whether an error, or what brought it about, has one of these SQLSTATEs. */
export function isSqlState(error: unknown, ...states: readonly string[]): boolean {
  for (let current: unknown = error; current instanceof Error; current = current.cause) {
    if ('code' in current && typeof current.code === 'string' && states.includes(current.code)) return true;
  }
  return false;
}

/** For people who look at the table; nothing reads them. Null for what is no document. */
function columnsOf(text: string): { readonly serial: number | null; readonly lineage: string | null } {
  const raw: unknown = JSON.parse(text);
  const field = (key: string): unknown => (typeof raw === 'object' && raw !== null ? Reflect.get(raw, key) : null);
  const [serial, lineage] = [field('serial'), field('lineage')];
  return {
    serial: typeof serial === 'number' ? serial : null,
    lineage: typeof lineage === 'string' ? lineage : null,
  };
}

/** Recording what was done must not be cut short by a stop; connecting and statements have deadlines of their own. */
const NEVER_ABORTED = new AbortController().signal;
