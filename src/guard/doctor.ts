import type { Config } from '../config/config.js';
import { isErrorCode } from '../error/codes.js';
import type { Observed } from '../planner/observed.js';
import { checkReplicationRole, checkRowSecurity, checkTablePrivileges } from './checks/privileges.js';
import { checkPublication } from './checks/publication.js';
import { checkEncoding, checkRecovery, checkServerVersion, checkWalLevel } from './checks/server.js';
import { checkSlot, checkSlotCapacity, checkWalRetention, checkWalSenders } from './checks/slot.js';
import { checkMissingTables, checkPrimaryKeys, checkReplicaIdentity, checkTableKinds } from './checks/table.js';
import { checkTls } from './checks/tls.js';
import type { Finding } from './finding.js';
import { type Subject, subjectOf } from './subject.js';

type Check = (subject: Subject) => Finding[];

/** In the order a person would mend them: the server, the role, then publication, slot and tables. */
const CHECKS: readonly Check[] = [
  checkServerVersion,
  checkRecovery,
  checkWalLevel,
  checkTls,
  checkEncoding,
  checkReplicationRole,
  checkSlotCapacity,
  checkWalSenders,
  checkWalRetention,
  checkMissingTables,
  checkTableKinds,
  checkTablePrivileges,
  checkRowSecurity,
  checkPrimaryKeys,
  checkReplicaIdentity,
  checkPublication,
  checkSlot,
];

/** What stands in the way of each source, and what is worth knowing. Pure: the same input gives the same findings. */
export function runDoctor(input: { readonly config: Config; readonly observed: Observed }): Finding[] {
  const { config, observed } = input;
  return Object.values(config.sources).flatMap((source): Finding[] => {
    const connection = config.connections[source.connection];
    const seen = observed.sources[source.name];
    if (connection === undefined || seen === undefined) return [];
    if (!seen.ok) {
      const { code, message, hint } = seen.error;
      return [
        {
          level: 'error',
          code: isErrorCode(code) ? code : 'INTERNAL',
          address: source.name,
          message,
          why: hint ?? 'nothing else can be checked before the database answers',
          fixSql: null,
          needsRestart: false,
        },
      ];
    }
    const subject = subjectOf(source, connection, seen.source);
    return CHECKS.flatMap((check) => check(subject));
  });
}
