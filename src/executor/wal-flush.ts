import type { SourceConnection } from '../source/connect.js';
import { sqlState } from '../source/errors.js';
import type { Clock } from './engine.js';

/**
 * Commits with synchronous_commit = off reach the disk some time after they returned, and only what is on disk is decoded.
 *
 * A quiet publication needs nothing written: each sync confirms up to the end of the WAL as it was before the look, and
 * advancing the slot reads the server's own records of running transactions, which a busy server writes every 15 seconds;
 * so restart_lsn follows whatever other tables and databases write, and a server where nobody writes makes no WAL to hold.
 */

const INSUFFICIENT_PRIVILEGE = '42501';
const READ_ONLY_SQL_TRANSACTION = '25006';

const POLL_MS = 20;
/** The walwriter's own rounds are not to the millisecond. */
const SLACK_MS = 200;

export interface FlushDeps {
  /** May a message be written to the server's WAL? */
  readonly heartbeat: boolean;
  readonly clock: Clock;
  /** Told when the role may not write it. */
  readonly onNotice: (message: string) => void;
}

/**
 * Sees to it that all that was committed before the call can be decoded. A transactional message is a commit of our own
 * that takes everything before it to the disk. Without one the walwriter is waited for, which flushes an asynchronous
 * commit within three of its rounds.
 * @see Postgres docs, "Asynchronous Commit"
 */
export async function flushWal(control: SourceConnection, deps: FlushDeps, signal: AbortSignal): Promise<void> {
  if (deps.heartbeat && (await emitMessage(control, deps, signal))) return;
  const sql = `select pg_catalog.pg_current_wal_insert_lsn()::text as lsn,
    (select s.setting::pg_catalog.int4 from pg_catalog.pg_settings as s where s.name = 'wal_writer_delay') as "delayMs"`;
  const [row] = await control.query<{ lsn: string; delayMs: number }>(sql, [], signal);
  if (row === undefined) return;
  const until = deps.clock.monotonicMs() + 3 * row.delayMs + SLACK_MS;
  // What lies between the last commit and the insert position may stay unflushed for long; hence the end of patience.
  while (!(await isFlushed(control, row.lsn, signal)) && deps.clock.monotonicMs() < until) {
    await deps.clock.sleep(POLL_MS, signal);
  }
}

async function emitMessage(control: SourceConnection, deps: FlushDeps, signal: AbortSignal): Promise<boolean> {
  try {
    // Not `on`: that would also wait for synchronous standbys, for ever where none answers.
    await control.query('set synchronous_commit = local', [], signal);
    await control.query("select pg_catalog.pg_logical_emit_message(true, 'sluice', 'flush')", [], signal);
    return true;
  } catch (error) {
    const state = sqlState(error);
    if (state !== INSUFFICIENT_PRIVILEGE && state !== READ_ONLY_SQL_TRANSACTION) throw error;
    deps.onNotice(
      `role "${control.place.user}" may not write heartbeats (pg_logical_emit_message); asynchronous commits are waited for instead. To say so in the file: cdc: { heartbeat: false }`,
    );
    return false;
  }
}

async function isFlushed(control: SourceConnection, lsn: string, signal: AbortSignal): Promise<boolean> {
  const sql = 'select pg_catalog.pg_current_wal_flush_lsn() >= $1::pg_catalog.pg_lsn as done';
  const [row] = await control.query<{ done: boolean }>(sql, [lsn], signal);
  return row?.done ?? false;
}
