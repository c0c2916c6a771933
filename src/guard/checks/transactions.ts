import { formatDuration } from '../../config/duration.js';
import type { OpenWriter } from '../../source/readiness-model.js';
import { quoteLiteral } from '../../source/sql-identifier.js';
import type { Finding } from '../finding.js';
import { cdcTables, known, type Subject } from '../subject.js';

/** Ordinary transactions are over by then. */
const NOTABLE_MS = 10_000;
const LONG_MS = 300_000;
/** For a transaction whose age the role may not see. */
const LONG_TRANSACTIONS = 100_000;

/**
 * Making a slot waits for every transaction of the server that has written; a load of a table added later waits for those
 * that touched it; and WAL from the start of the oldest on is kept for the slot.
 */
export function checkOpenWriters(subject: Subject): Finding[] {
  if (cdcTables(subject).length === 0) return [];
  return (known(subject.readiness?.details?.writers) ?? []).filter(isNotable).map((writer): Finding => {
    const long = writer.ageMs === null || writer.ageMs >= LONG_MS;
    const who = [
      ...(writer.user === null ? [] : [`role "${writer.user}"`]),
      ...(writer.application === null ? [] : [`application "${writer.application}"`]),
      ...(writer.database === null ? [] : [`database "${writer.database}"`]),
      ...(writer.state === null ? [] : [writer.state]),
    ];
    const age =
      writer.ageMs === null
        ? `for ${writer.laterTransactions} transactions of others`
        : `for ${formatDuration(wholeSeconds(writer.ageMs))}`;
    return {
      level: long ? 'warning' : 'info',
      code: 'TRANSACTION_OPEN',
      address: `${subject.source.name}:slot`,
      message: `a transaction of backend ${writer.pid} that has written is open ${age}${who.length === 0 ? '' : ` (${who.join(', ')})`}`,
      why: 'making the slot, and loads of tables that are added, wait for it, and it holds WAL that the slot needs',
      fixSql: `select pg_terminate_backend(${writer.pid});`,
      needsRestart: false,
    };
  });
}

/** They outlive their session, and a restart, until somebody ends them by name. */
export function checkPreparedTransactions(subject: Subject): Finding[] {
  if (cdcTables(subject).length === 0) return [];
  return (known(subject.readiness?.details?.prepared) ?? []).map((prepared): Finding => {
    const elsewhere = prepared.database !== subject.catalog.server.database;
    const gid = quoteLiteral(prepared.gid);
    return {
      level: prepared.ageMs >= LONG_MS ? 'warning' : 'info',
      code: 'TRANSACTION_PREPARED',
      address: `${subject.source.name}:slot`,
      message: `a transaction of role "${prepared.owner}" was prepared ${formatDuration(wholeSeconds(prepared.ageMs))} ago as ${gid} and not ended`,
      why: 'making the slot, and loads of tables that are added, wait for it, and it holds WAL that the slot needs',
      fixSql: `${elsewhere ? `-- in database ${JSON.stringify(prepared.database)}; ` : '-- '}or commit prepared, if that is what was meant\nrollback prepared ${gid};`,
      needsRestart: false,
    };
  });
}

function isNotable(writer: OpenWriter): boolean {
  return writer.ageMs === null ? writer.laterTransactions >= LONG_TRANSACTIONS : writer.ageMs >= NOTABLE_MS;
}

function wholeSeconds(ms: number): number {
  return Math.round(ms / 1_000) * 1_000;
}
