import { assertNever } from '../error/sluice-error.js';
import type { Platform } from '../source/readiness-model.js';
import { quoteIdentifier } from '../source/sql-identifier.js';
import type { Finding } from './finding.js';
import { known, type Subject } from './subject.js';

/** Managed services have ways of their own for what takes a superuser elsewhere. What is no SQL is a comment in it. */

export type Mending = Pick<Finding, 'fixSql' | 'needsRestart'>;

export function platformOf(subject: Subject): Platform {
  return known(subject.readiness?.session)?.platform ?? 'plain';
}

/**
 * Sets a server-wide setting.
 * @param value as SQL takes it, quoted where it has a unit
 * @param needsRestart whether the setting is read at the server's start only
 */
export function settingMending(subject: Subject, name: string, value: string, needsRestart: boolean): Mending {
  const platform = platformOf(subject);
  const plain = value.replaceAll("'", '');
  const after = needsRestart ? ', then restart' : '';
  const flag = (service: string, kind: string, as = name, to = plain): Mending => ({
    fixSql: `-- ${service}: set the ${kind} ${as} = ${to}${after}`,
    needsRestart,
  });
  const logical = name === 'wal_level';
  switch (platform) {
    case 'plain': {
      const reload = needsRestart ? '' : '\nselect pg_reload_conf();';
      return { fixSql: `alter system set ${name} = ${value};${reload}`, needsRestart };
    }
    case 'rds':
      return logical
        ? flag('Amazon RDS and Aurora', 'parameter (in a parameter group)', 'rds.logical_replication', '1')
        : flag('Amazon RDS and Aurora', 'parameter (in a parameter group)');
    case 'cloudsql':
      return logical
        ? flag('Google Cloud SQL', 'database flag', 'cloudsql.logical_decoding', 'on')
        : flag('Google Cloud SQL', 'database flag');
    case 'alloydb':
      return logical
        ? flag('Google AlloyDB', 'database flag', 'alloydb.logical_decoding', 'on')
        : flag('Google AlloyDB', 'database flag');
    case 'azure':
      return flag('Azure Database for PostgreSQL', 'server parameter');
    case 'supabase': {
      const command = `supabase --experimental --project-ref REF postgres-config update --config ${name}=${plain}`;
      return { fixSql: `-- Supabase, in a shell: ${command}`, needsRestart };
    }
    case 'neon':
      return {
        fixSql: logical
          ? '-- Neon: switch logical replication on in the settings of the project'
          : `-- Neon: its support can set ${name} = ${plain}`,
        needsRestart: false,
      };
    default:
      return assertNever(platform);
  }
}

/** Lets a role use replication slots. */
export function replicationMending(subject: Subject): string {
  const role = quoteIdentifier(subject.catalog.server.user);
  const attribute = `alter role ${role} with replication;`;
  const platform = platformOf(subject);
  switch (platform) {
    case 'plain':
      return `${attribute}\n-- on Amazon RDS and Aurora instead: grant rds_replication to ${role};`;
    case 'rds':
      return `grant rds_replication to ${role};`;
    case 'cloudsql':
      return `-- Google Cloud SQL: as a member of cloudsqlsuperuser, such as postgres\n${attribute}`;
    case 'alloydb':
      return `-- Google AlloyDB: as a member of alloydbsuperuser, such as postgres\n${attribute}`;
    case 'azure':
      return `-- Azure: as the server's administrator, a member of azure_pg_admin\n${attribute}`;
    case 'supabase':
      return `-- Supabase: as postgres, in the SQL editor\n${attribute}`;
    case 'neon':
      return `-- Neon: as a member of neon_superuser, such as a role made in its console\n${attribute}`;
    default:
      return assertNever(platform);
  }
}
