import type { PlainError } from '../../error/sluice-error.js';
import type { Readiness, Reading } from '../../source/readiness-model.js';
import type { Finding } from '../finding.js';
import type { Subject } from '../subject.js';

const PARTS: Readonly<Record<keyof Readiness | keyof NonNullable<Readiness['details']>, string>> = {
  session: 'the settings of the session',
  pooling: 'whether a pooler stands in between',
  details: 'the details',
  clock: "the server's clock",
  encryption: 'how the connection is encrypted',
  writers: 'open transactions',
  prepared: 'prepared transactions',
  owners: 'who owns the tables',
  children: 'inheritance',
  cursors: 'cursor columns',
  decoding: 'statistics of decoding',
};

/** What could not be looked at is said, or silence would pass for health. */
export function checkUnread({ source, readiness }: Subject): Finding[] {
  if (readiness === null) return [];
  const { session, pooling, details } = readiness;
  return Object.entries<Reading<unknown>>({ session, pooling, ...details }).flatMap(([part, reading]): Finding[] =>
    reading.ok ? [] : [unread(source.name, nameOf(part), reading.error)],
  );
}

function nameOf(part: string): string {
  return Object.entries(PARTS).find(([key]) => key === part)?.[1] ?? part;
}

function unread(address: string, what: string, error: PlainError): Finding {
  return {
    level: 'warning',
    code: 'NOT_CHECKED',
    address,
    message: `could not look at ${what}: ${error.message}`,
    why: error.hint ?? 'nothing is known of it, good or bad',
    fixSql: null,
    needsRestart: false,
  };
}
