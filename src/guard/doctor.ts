import type { Config } from '../config/config.js';
import { isErrorCode } from '../error/codes.js';
import type { PlainError } from '../error/sluice-error.js';
import type { Observed } from '../planner/observed.js';
import { dialectOf } from '../source/dialect.js';
import { checkClock } from './checks/clock.js';
import { checkGeneratedColumns, checkInheritance, checkNamedColumns, checkTextColumns } from './checks/column.js';
import { checkCursors } from './checks/cursor.js';
import { checkLakeStore, checkWorkFolder, destinationAddress } from './checks/lake.js';
import { checkPooler } from './checks/pooler.js';
import { checkReplicationRole, checkRowSecurity, checkTablePrivileges } from './checks/privileges.js';
import { checkPublication } from './checks/publication.js';
import { checkEncoding, checkRecovery, checkServerVersion, checkWalLevel } from './checks/server.js';
import { checkDecodingMemory, checkReadOnlyRole, checkTimeouts } from './checks/session.js';
import {
  checkIdleSlotTimeout,
  checkSlot,
  checkSlotCapacity,
  checkWalRetention,
  checkWalSenders,
} from './checks/slot.js';
import { checkMissingTables, checkPrimaryKeys, checkReplicaIdentity, checkTableKinds } from './checks/table.js';
import { checkTls } from './checks/tls.js';
import { checkOpenWriters, checkPreparedTransactions } from './checks/transactions.js';
import { checkUnread } from './checks/unread.js';
import type { Finding } from './finding.js';
import type { LakeLook } from './lake-look.js';
import { type Subject, subjectOf } from './subject.js';

type Check = (subject: Subject) => Finding[];

/** In the order a person would mend them: the server, the role, then publication, slot and tables. */
const CHECKS: readonly Check[] = [
  checkServerVersion,
  checkRecovery,
  checkWalLevel,
  checkPooler,
  checkTls,
  checkClock,
  checkEncoding,
  checkReplicationRole,
  checkReadOnlyRole,
  checkTimeouts,
  checkDecodingMemory,
  checkSlotCapacity,
  checkWalSenders,
  checkWalRetention,
  checkIdleSlotTimeout,
  checkMissingTables,
  checkNamedColumns,
  checkTableKinds,
  checkTablePrivileges,
  checkRowSecurity,
  checkPrimaryKeys,
  checkReplicaIdentity,
  checkCursors,
  checkInheritance,
  checkTextColumns,
  checkGeneratedColumns,
  checkPublication,
  checkSlot,
  checkOpenWriters,
  checkPreparedTransactions,
  checkUnread,
];

/**
 * What stands in the way of each source and of the lakes, and what is worth knowing. Pure: the same input gives the same
 * findings.
 */
export function runDoctor(input: {
  readonly config: Config;
  readonly observed: Observed;
  /** Absent: nobody looked. */
  readonly lakes?: readonly LakeLook[];
  /** By destination: why Sluice's own tables there could not be read. */
  readonly destinationTroubles?: ReadonlyMap<string, PlainError>;
}): Finding[] {
  const troubles = [...(input.destinationTroubles ?? [])].map(([name, error]) =>
    unreadable(destinationAddress(name), error),
  );
  return [...sourceFindings(input), ...(input.lakes ?? []).flatMap((look) => lakeFindings(look, input)), ...troubles];
}

function unreadable(address: string, { code, message, hint }: PlainError): Finding {
  return {
    level: 'error',
    code: isErrorCode(code) ? code : 'INTERNAL',
    address,
    message,
    why: hint ?? 'nothing else can be checked before it answers',
    fixSql: null,
    needsRestart: false,
  };
}

function lakeFindings(
  look: LakeLook,
  { config, observed }: { readonly config: Config; readonly observed: Observed },
): Finding[] {
  const sizes = Object.values(config.sources).flatMap((source): number[] => {
    const connection = config.connections[source.connection];
    const destination = config.destinations[look.destination];
    const seen = observed.sources[source.name];
    if (source.destination !== look.destination || connection === undefined || destination === undefined) return [];
    if (seen?.ok !== true) return [];
    const { tables } = subjectOf(source, connection, dialectOf(destination), seen.source, null);
    return tables.map((table) => table.observed.estimatedBytes);
  });
  return [...checkLakeStore(look), ...checkWorkFolder(look, Math.max(0, ...sizes))];
}

function sourceFindings({ config, observed }: { readonly config: Config; readonly observed: Observed }): Finding[] {
  return Object.values(config.sources).flatMap((source): Finding[] => {
    const connection = config.connections[source.connection];
    const destination = config.destinations[source.destination];
    const seen = observed.sources[source.name];
    if (connection === undefined || destination === undefined || seen === undefined) return [];
    if (!seen.ok) return [unreadable(source.name, seen.error)];
    const subject = subjectOf(source, connection, dialectOf(destination), seen.source, seen.readiness ?? null);
    return CHECKS.flatMap((check) => check(subject));
  });
}
