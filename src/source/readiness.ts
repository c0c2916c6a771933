import type pg from 'pg';
import { asSluiceError, SluiceError, toPlain } from '../error/sluice-error.js';
import type { SourceConnection } from './connect.js';
import { readPooling } from './pooling.js';
import type {
  ClockFacts,
  CursorFacts,
  DecodingFacts,
  EncryptionFacts,
  InheritanceChild,
  OpenWriter,
  Platform,
  PreparedTransaction,
  Readiness,
  ReadinessDetails,
  Reading,
  SessionFacts,
  TableOwner,
} from './readiness-model.js';
import { quoteIdentifier, quoteQualified } from './sql-identifier.js';

export interface ReadinessRequest {
  /** `plan` reads only what may keep an apply from working: a handful of short statements. */
  readonly depth: 'plan' | 'doctor';
  /** Columns that `incremental` and `append` go by. */
  readonly cursors: readonly CursorProbe[];
  /** The slot of the source; null where it streams nothing. */
  readonly slot: string | null;
  /** This machine's clock. */
  readonly now: () => Date;
  /** A second session of the same target, asked for only when a pooler is seen. */
  readonly openAnother: (signal: AbortSignal) => Promise<SourceConnection>;
}

export interface CursorProbe {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly column: string;
  readonly notNull: boolean;
}

/** No question here is worth keeping a server busy for longer. */
const STATEMENT_TIMEOUT_MS = 2_000;
/** Tables that are asked for NULLs, a second each at worst; of the rest only statistics are read. */
const PROBED_CURSORS = 20;
const PROBE_TIMEOUT_MS = 1_000;

/**
 * Looks at a database for guard/. Each part is a short read-only transaction of its own; one that fails becomes its
 * error. Only a cancel or the loss of the connection is thrown.
 * @throws SluiceError
 */
export async function readReadiness(
  connection: SourceConnection,
  request: ReadinessRequest,
  signal: AbortSignal,
): Promise<Readiness> {
  const read = <Value>(work: () => Promise<Value>): Promise<Reading<Value>> => reading(connection, work, signal);
  // The pooler is looked for first, while nothing but the catalog was asked in between.
  const pooling = await read(() => readPooling(connection, request.openAnother, signal));
  const session = await read(() => readSession(connection, signal));
  if (request.depth === 'plan') return { session, pooling, details: null };
  const details: ReadinessDetails = {
    clock: await read(() => readClock(connection, request.now, signal)),
    encryption: await read(() => one<EncryptionFacts>(connection, ENCRYPTION_SQL, [], signal)),
    writers: await read(() => bounded<OpenWriter>(connection, WRITERS_SQL, [], signal)),
    prepared: await read(() => bounded<PreparedTransaction>(connection, PREPARED_SQL, [], signal)),
    owners: await read(() => bounded<TableOwner>(connection, OWNERS_SQL, [], signal)),
    children: await read(() => bounded<InheritanceChild>(connection, CHILDREN_SQL, [], signal)),
    cursors: await read(() => readCursors(connection, request.cursors, signal)),
    decoding: await read(() => readDecoding(connection, request.slot, signal)),
  };
  return { session, pooling, details };
}

async function reading<Value>(
  connection: SourceConnection,
  work: () => Promise<Value>,
  signal: AbortSignal,
): Promise<Reading<Value>> {
  try {
    return { ok: true, value: await work() };
  } catch (error) {
    signal.throwIfAborted();
    // Fails where the connection itself is what is gone, and then so would everything after it.
    await connection.query('select', [], signal);
    return { ok: false, error: toPlain(asSluiceError(error)) };
  }
}

/** One statement in a read-only transaction that the server itself ends in time. */
async function bounded<Row extends pg.QueryResultRow>(
  connection: SourceConnection,
  sql: string,
  params: readonly unknown[],
  signal: AbortSignal,
  timeoutMs: number = STATEMENT_TIMEOUT_MS,
): Promise<readonly Row[]> {
  await connection.query('begin read only', [], signal);
  try {
    await connection.query(`set local statement_timeout = ${timeoutMs}`, [], signal);
    const rows = await connection.query<Row>(sql, params, signal);
    await connection.query('commit', [], signal);
    return rows;
  } catch (error) {
    // Without the signal: it may be what brought us here, and the session is to be usable again.
    await connection.query('rollback', [], new AbortController().signal).catch(() => connection.destroy());
    throw error;
  }
}

async function one<Row extends pg.QueryResultRow>(
  connection: SourceConnection,
  sql: string,
  params: readonly unknown[],
  signal: AbortSignal,
): Promise<Row> {
  const [row] = await bounded<Row>(connection, sql, params, signal);
  if (row === undefined) {
    throw new SluiceError({ code: 'PROTOCOL_VIOLATION', message: 'Postgres answered without a row' });
  }
  return row;
}

interface SettingRow {
  readonly name: string;
  readonly setting: string;
  /** What the session would have without our own SET: by server, database and role. */
  readonly prescribed: string | null;
  readonly unit: string | null;
}

const TIMEOUTS = [
  'statement_timeout',
  'idle_in_transaction_session_timeout',
  'idle_session_timeout',
  'transaction_timeout',
];

/** Settings and administrators that only one service has; the first that is found decides. */
const MARKS: readonly { readonly platform: Platform; readonly prefix: string | null; readonly role: string }[] = [
  { platform: 'rds', prefix: 'rds.', role: 'rds_superuser' },
  { platform: 'alloydb', prefix: 'alloydb.', role: 'alloydbsuperuser' },
  { platform: 'cloudsql', prefix: 'cloudsql.', role: 'cloudsqlsuperuser' },
  { platform: 'azure', prefix: 'azure.', role: 'azure_pg_admin' },
  { platform: 'neon', prefix: 'neon.', role: 'neon_superuser' },
  { platform: 'supabase', prefix: null, role: 'supabase_admin' },
];

const SESSION_SQL = `
  select s.name, s.setting, s.reset_val as "prescribed", s.unit from pg_catalog.pg_settings as s
  where s.name = any ($1::text[]) or s.name ~ '^(rds|cloudsql|azure|alloydb|neon)[.]'
  union all
  select 'role:' || r.rolname, '', null, null from pg_catalog.pg_roles as r where r.rolname = any ($2::text[])`;

async function readSession(connection: SourceConnection, signal: AbortSignal): Promise<SessionFacts> {
  const names = ['default_transaction_read_only', 'logical_decoding_work_mem', 'idle_replication_slot_timeout'];
  const rows = await bounded<SettingRow>(
    connection,
    SESSION_SQL,
    [[...names, ...TIMEOUTS], MARKS.map((mark) => mark.role)],
    signal,
  );
  const setting = (name: string): string | null => rows.find((row) => row.name === name)?.setting ?? null;
  const idle = rows.find((row) => row.name === 'idle_replication_slot_timeout');
  const idleSlotTimeoutMs = idle === undefined ? 0 : milliseconds(idle.setting, idle.unit);
  return {
    platform: platformOf(rows.map((row) => row.name)),
    defaultReadOnly: setting('default_transaction_read_only') === 'on',
    timeouts: rows.flatMap((row) => {
      const ms = TIMEOUTS.includes(row.name) ? milliseconds(row.prescribed ?? '0', row.unit) : 0;
      return ms > 0 ? [{ name: row.name, ms }] : [];
    }),
    decodingWorkMemKb: Number(setting('logical_decoding_work_mem') ?? 0),
    idleSlotTimeoutMs: idleSlotTimeoutMs > 0 ? idleSlotTimeoutMs : null,
  };
}

function platformOf(names: readonly string[]): Platform {
  const mark = MARKS.find(
    ({ prefix, role }) =>
      names.includes(`role:${role}`) || (prefix !== null && names.some((name) => name.startsWith(prefix))),
  );
  return mark?.platform ?? 'plain';
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, min: 60_000, h: 3_600_000, d: 86_400_000 };

/** @param unit of pg_settings */
function milliseconds(value: string, unit: string | null): number {
  return Number(value) * (UNIT_MS[unit ?? 'ms'] ?? 1);
}

async function readClock(connection: SourceConnection, now: () => Date, signal: AbortSignal): Promise<ClockFacts> {
  const sql = `select pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) * 1000 as "serverMs"`;
  const before = now().getTime();
  const [row] = await connection.query<{ serverMs: number }>(sql, [], signal);
  const after = now().getTime();
  const roundTripMs = after - before;
  return { aheadMs: Math.round((row?.serverMs ?? 0) - before - roundTripMs / 2), roundTripMs };
}

const ENCRYPTION_SQL = `
  select coalesce(pg_catalog.bool_or(s.ssl), false) as "encrypted", pg_catalog.max(s.version) as "version",
    pg_catalog.max(s.cipher) as "cipher"
  from pg_catalog.pg_stat_ssl as s where s.pid = pg_catalog.pg_backend_pid()`;

/**
 * A transaction that has an id holds a lock on it, and so does each of its subtransactions; pg_locks shows them to
 * everybody, while pg_stat_activity hides from a plain role what others do.
 */
const WRITERS_SQL = `
  select l.pid, a.usename::text as "user", nullif(a.application_name, '') as "application", a.datname::text as "database", a.state,
    pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - a.xact_start) * 1000 as "ageMs",
    pg_catalog.max(pg_catalog.age(l.transactionid)) as "laterTransactions"
  from pg_catalog.pg_locks as l left join pg_catalog.pg_stat_activity as a on a.pid = l.pid
  where l.locktype = 'transactionid' and l.mode = 'ExclusiveLock' and l.granted and l.pid <> pg_catalog.pg_backend_pid()
  group by l.pid, a.usename, a.application_name, a.datname, a.state, a.xact_start
  order by 6 desc nulls last, l.pid`;

const PREPARED_SQL = `
  select p.gid, p.owner::text as "owner", p.database::text as "database",
    pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - p.prepared) * 1000 as "ageMs"
  from pg_catalog.pg_prepared_xacts as p order by p.prepared, p.gid`;

const OWNERS_SQL = `
  select c.oid, r.rolname::text as "owner", r.rolsuper as "superuser"
  from pg_catalog.pg_class as c join pg_catalog.pg_roles as r on r.oid = c.relowner
  where c.relkind in ('r', 'p') and c.relpersistence = 'p' and not pg_catalog.pg_has_role(c.relowner, 'usage')
    and c.relnamespace not in (select n.oid from pg_catalog.pg_namespace as n where n.nspname in ('pg_catalog', 'information_schema'))`;

const CHILDREN_SQL = `
  select i.inhparent as "parentOid", n.nspname::text as "schema", c.relname::text as "name"
  from pg_catalog.pg_inherits as i
    join pg_catalog.pg_class as c on c.oid = i.inhrelid
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where not c.relispartition and c.relkind in ('r', 'f')
  order by i.inhparent, n.nspname, c.relname`;

interface CursorRow {
  readonly oid: number;
  readonly column: string;
  readonly indexed: boolean;
  /** Null: never analyzed, or not for this role to see. */
  readonly nullFraction: number | null;
}

const CURSORS_SQL = `
  select t.oid, t.name as "column",
    exists (select from pg_catalog.pg_index as i join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attname = t.name
      where i.indrelid = t.oid and i.indisvalid and i.indpred is null and i.indkey[0] = a.attnum) as "indexed",
    (select pg_catalog.max(s.null_frac) from pg_catalog.pg_stats as s
      join pg_catalog.pg_class as c on c.relname = s.tablename
      join pg_catalog.pg_namespace as n on n.oid = c.relnamespace and n.nspname = s.schemaname
      where c.oid = t.oid and s.attname = t.name) as "nullFraction"
  from rows from (pg_catalog.unnest($1::oid[]), pg_catalog.unnest($2::text[])) as t (oid, name)`;

async function readCursors(
  connection: SourceConnection,
  probes: readonly CursorProbe[],
  signal: AbortSignal,
): Promise<readonly CursorFacts[]> {
  if (probes.length === 0) return [];
  const params = [probes.map((probe) => probe.oid), probes.map((probe) => probe.column)];
  const rows = await bounded<CursorRow>(connection, CURSORS_SQL, params, signal);
  const facts: CursorFacts[] = [];
  let left = PROBED_CURSORS;
  for (const probe of probes) {
    const row = rows.find((candidate) => candidate.oid === probe.oid && candidate.column === probe.column);
    let holdsNulls: boolean | null = probe.notNull ? false : null;
    if (holdsNulls === null && left > 0) {
      left -= 1;
      holdsNulls = await findNull(connection, probe, signal);
    }
    // Statistics tell that there are NULLs, but not that there are none.
    if (holdsNulls === null && (row?.nullFraction ?? 0) > 0) holdsNulls = true;
    facts.push({ oid: probe.oid, column: probe.column, holdsNulls, indexed: row?.indexed ?? false });
  }
  return facts;
}

/** @returns null when it may not be asked, or the answer took too long */
async function findNull(
  connection: SourceConnection,
  probe: CursorProbe,
  signal: AbortSignal,
): Promise<boolean | null> {
  const sql = `select exists (select from ${quoteQualified(probe)} where ${quoteIdentifier(probe.column)} is null) as "found"`;
  try {
    const [row] = await bounded<{ found: boolean }>(connection, sql, [], signal, PROBE_TIMEOUT_MS);
    return row?.found ?? null;
  } catch {
    signal.throwIfAborted();
    return null;
  }
}

async function readDecoding(
  connection: SourceConnection,
  slot: string | null,
  signal: AbortSignal,
): Promise<DecodingFacts> {
  if (slot === null || connection.versionNum < 140_000) return { spilledBytes: null };
  const sql = `select s.spill_bytes::float8 as "spilledBytes" from pg_catalog.pg_stat_replication_slots as s where s.slot_name = $1`;
  const [row] = await bounded<DecodingFacts & pg.QueryResultRow>(connection, sql, [slot], signal);
  return { spilledBytes: row?.spilledBytes ?? null };
}
