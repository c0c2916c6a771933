import { formatDuration } from '../../config/duration.js';
import { quoteIdentifier } from '../../source/sql-identifier.js';
import type { Finding } from '../finding.js';
import { cdcTables, known, type Subject } from '../subject.js';

/** Postgres's own default; less than that spills early. */
const DEFAULT_WORK_MEM_KB = 65_536;
/** Above it more memory hardly helps. */
const AMPLE_WORK_MEM_KB = 262_144;
const MB_BYTES = 1024 * 1024;

/** Sluice leaves default_transaction_read_only as it finds it: who sets it means it. Slots do without writing. */
export function checkReadOnlyRole(subject: Subject): Finding[] {
  const { source, catalog } = subject;
  const readOnly = known(subject.readiness?.session)?.defaultReadOnly === true;
  const streams = cdcTables(subject).length > 0;
  if (!readOnly || !streams || source.cdc.management !== 'managed' || catalog.server.inRecovery) return [];
  const role = quoteIdentifier(catalog.server.user);
  return [
    {
      level: 'error',
      code: 'READ_ONLY_ROLE',
      address: source.name,
      message: `transactions of role "${catalog.server.user}" are read-only by default (default_transaction_read_only)`,
      why: 'a managed source makes and alters its publication; with management: self_managed somebody else does',
      fixSql: `alter role ${role} set default_transaction_read_only = off;`,
      needsRestart: false,
    },
  ];
}

/** Sluice sets timeouts to 0 in its own sessions; behind a pooler in transaction mode that is lost. */
export function checkTimeouts(subject: Subject): Finding[] {
  const { source, catalog } = subject;
  const timeouts = known(subject.readiness?.session)?.timeouts ?? [];
  if (timeouts.length === 0) return [];
  const pooled = known(subject.readiness?.pooling) === 'transaction';
  const role = quoteIdentifier(catalog.server.user);
  const list = timeouts.map(({ name, ms }) => `${name} = ${formatDuration(ms)}`).join(', ');
  return [
    {
      level: pooled ? 'warning' : 'info',
      code: 'TIMEOUTS',
      address: source.name,
      message: `sessions of role "${catalog.server.user}" start with ${list}`,
      why: pooled
        ? 'a load that takes longer is cut off, as the pooler does not keep the settings of a session'
        : 'Sluice sets these to 0 in its own sessions, so loads are not cut off',
      fixSql: pooled ? timeouts.map(({ name }) => `alter role ${role} set ${name} = 0;`).join('\n') : null,
      needsRestart: false,
    },
  ];
}

/** Transactions beyond logical_decoding_work_mem are written to the server's disk before they are sent. */
export function checkDecodingMemory(subject: Subject): Finding[] {
  const { source, catalog } = subject;
  const session = known(subject.readiness?.session);
  if (session === null || cdcTables(subject).length === 0) return [];
  const spilledBytes = known(subject.readiness?.details?.decoding)?.spilledBytes ?? 0;
  const workMemKb = session.decodingWorkMemKb;
  const spills = spilledBytes > 0 && workMemKb < AMPLE_WORK_MEM_KB;
  if (workMemKb >= DEFAULT_WORK_MEM_KB && !spills) return [];
  const spilled = spills ? `; decoding has written ${Math.ceil(spilledBytes / MB_BYTES)} MB to the server's disk` : '';
  return [
    {
      level: 'info',
      code: 'DECODING_MEMORY',
      address: source.name,
      message: `logical_decoding_work_mem is ${formatKb(workMemKb)}${spilled}`,
      why: "transactions larger than that go over the server's disk before they are sent, which is slower",
      fixSql: `alter role ${quoteIdentifier(catalog.server.user)} set logical_decoding_work_mem = '${AMPLE_WORK_MEM_KB / 1024}MB';`,
      needsRestart: false,
    },
  ];
}

function formatKb(kb: number): string {
  return kb % 1024 === 0 ? `${kb / 1024} MB` : `${kb} kB`;
}
