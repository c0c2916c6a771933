import {
  type HeldLock,
  holderOf,
  type LockDeps,
  type LockStatus,
  lockedError,
  lostError,
  type StateLock,
} from './lock.js';
import { isDead, type LockHolder, parseHolder } from './lock-file.js';
import {
  createTable,
  isSqlState,
  type KeptSession,
  lockKey,
  type PostgresStatePlace,
  placeText,
  type StateSession,
  tableName,
} from './postgres-state.js';

const POLL_MS = 1_000;
/** A quiet session must neither be forgotten by a firewall nor stay dead without anybody noticing. */
const PING_MS = 30_000;
/** A terminated session's lock is free within milliseconds. */
const UNLOCK_WAIT_MS = 5_000;
const UNLOCK_POLL_MS = 50;
const LOCK_NOT_AVAILABLE = '55P03';

/**
 * The lock of a state in Postgres: an advisory lock of a session that is kept for as long as it is held, so that the server
 * frees it when the process dies. The row `lock` says who holds it, for those who are refused. A pooler in between must
 * keep the session (PgBouncer: pool_mode = session).
 * @param reading a session for looking, which holds nothing
 */
export function openPostgresLock(place: PostgresStatePlace, reading: KeptSession, deps: LockDeps): StateLock {
  const table = tableName(place.schema);
  const path = `the lock of the state ${placeText(place)}`;
  const key = lockKey(place.schema);

  async function holdingBackend(): Promise<Backend | null> {
    const [row] = await reading.look<Backend>(
      `select l.pid, coalesce(a.application_name, '') as application, coalesce(host(a.client_addr), 'the server itself') as host,
         to_char(a.backend_start at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as since
       from pg_locks l left join pg_stat_activity a using (pid)
       where ${LOCK_ROW} and l.granted`,
      key,
    );
    return row ?? null;
  }

  async function status(): Promise<LockStatus | null> {
    const backend = await holdingBackend();
    if (backend === null) return null;
    const holder = (await noted(backend.pid)) ?? {
      host: backend.host,
      pid: backend.pid,
      started: null,
      command: backend.application === '' ? 'unknown' : backend.application,
      acquired_at: backend.since ?? '',
      token: `backend-${backend.pid}`,
    };
    const since = Date.parse(holder.acquired_at);
    const ageMs = Number.isNaN(since) ? 0 : Math.max(0, deps.clock.now().getTime() - since);
    return { holder, ageMs, dead: isDead(holder, deps.host, deps.processes) && !holder.token.startsWith('backend-') };
  }

  /** What the holder wrote of itself, where it is the one that has the lock. */
  async function noted(backendPid: number): Promise<LockHolder | null> {
    const rows = await reading
      .query<{ document: string }>(`select document from ${table} where name = 'lock' and serial = $1`, [backendPid])
      .catch(() => []);
    return rows[0] === undefined ? null : parseHolder(rows[0].document);
  }

  /** @returns false where it stayed held for that long */
  async function take(session: StateSession, waitMs: number, signal: AbortSignal): Promise<boolean> {
    if (waitMs <= 0) {
      const [row] = await session.query<{ taken: boolean }>(
        'select pg_try_advisory_lock($1, $2) as taken',
        key,
        signal,
      );
      return row?.taken === true;
    }
    await session.query(`select set_config('lock_timeout', $1, false)`, [`${Math.ceil(waitMs)}ms`], signal);
    try {
      await session.query('select pg_advisory_lock($1, $2)', key, signal);
    } catch (error) {
      if (isSqlState(error, LOCK_NOT_AVAILABLE)) return false;
      throw error;
    }
    await session.query(`select set_config('lock_timeout', '0', false)`, [], signal);
    return true;
  }

  return {
    path,
    pollMs: POLL_MS,
    status,

    async wanted() {
      const rows = await reading.look(
        `select 1 as one from pg_locks l where ${LOCK_ROW} and not l.granted limit 1`,
        key,
      );
      return rows.length > 0;
    },

    async acquire(waitMs, signal) {
      signal.throwIfAborted();
      if (waitMs <= 0) {
        // Followers ask again and again; a look spares the server a session each time.
        const held = await status();
        if (held !== null) throw lockedError(path, held);
      }
      await createTable(place.schema, reading);
      const session = await place.connect('state lock', signal);
      try {
        if (!(await take(session, waitMs, signal))) throw lockedError(path, await status());
        const me = holderOf(deps);
        await session.query(
          `insert into ${table} (name, document, serial) values ('lock', $1, pg_backend_pid())
           on conflict (name) do update set document = excluded.document, serial = excluded.serial, written_at = now()`,
          [JSON.stringify(me)],
          signal,
        );
        return hold(session, me);
      } catch (error) {
        await session.end();
        throw error;
      }
    },

    async unlock(force) {
      const found = await status();
      const backend = await holdingBackend();
      if (found === null || backend === null) return null;
      if (!force && !found.dead) throw lockedError(path, found);
      await reading.query('select pg_terminate_backend($1)', [backend.pid]);
      const deadline = deps.clock.monotonicMs() + UNLOCK_WAIT_MS;
      while ((await holdingBackend())?.pid === backend.pid) {
        if (deps.clock.monotonicMs() >= deadline) throw lockedError(path, found);
        await deps.clock.sleep(UNLOCK_POLL_MS, NEVER_ABORTED);
      }
      return found.holder;
    },
  };

  function hold(session: StateSession, me: LockHolder): HeldLock {
    const lost = new AbortController();
    const ending = new AbortController();
    const lose = (): void => {
      if (ending.signal.aborted) return;
      lost.abort(lostError(path, 'the session that held it ended'));
    };
    session.onLost(lose);
    const pinging = (async (): Promise<void> => {
      while (!ending.signal.aborted && !lost.signal.aborted) {
        await deps.clock.sleep(PING_MS, ending.signal);
        try {
          await session.query('select 1', [], ending.signal);
        } catch {
          lose();
        }
      }
    })().catch(() => undefined);
    return {
      holder: me,
      lost: lost.signal,
      async release() {
        if (ending.signal.aborted) return;
        ending.abort();
        await pinging;
        // The session ends in any case, and the lock with it; the row is for showing.
        await session
          .query(`delete from ${table} where name = 'lock' and serial = pg_backend_pid()`)
          .catch(() => undefined);
        await session.query('select pg_advisory_unlock($1, $2)', key).catch(() => undefined);
        await session.end();
      },
    };
  }
}

/** The lock with the key $1, $2 of this database. */
const LOCK_ROW = `l.locktype = 'advisory' and l.objsubid = 2 and l.classid = $1::bigint::oid and l.objid = $2::bigint::oid
  and l.database = (select oid from pg_database where datname = current_database())`;

interface Backend extends Readonly<Record<string, unknown>> {
  readonly pid: number;
  readonly application: string;
  readonly host: string;
  readonly since: string | null;
}

const NEVER_ABORTED = new AbortController().signal;
