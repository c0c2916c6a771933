import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeAuthority } from '../../test/postgres/certificates.js';
import { startPostgres, type TestPostgres } from '../../test/postgres/server.js';
import type { ErrorCode } from '../error/codes.js';
import { toPlain } from '../error/sluice-error.js';
import { type ConnectTarget, connectSource } from './connect.js';

/** Every mode of TLS against every kind of server: what connects, what does not, and what is said then. */

/** `require` means two things, as in libpq: with a CA it verifies the chain. */
type Mode = 'verify-full' | 'verify-ca' | 'require with a CA' | 'require' | 'disable';
type ServerKind = 'right' | 'other name' | 'unknown CA' | 'expired' | 'no TLS';
type Outcome = 'encrypted' | 'plain' | Refusal;

interface Refusal {
  readonly code: ErrorCode;
  readonly message: RegExp;
  readonly hint: RegExp;
}

interface Row {
  readonly name: string;
  readonly server: ServerKind;
  /** Whom pg_hba.conf has a line for: with a password, by TLS alone, with a certificate alone. */
  readonly user: 'anybody' | 'encrypted' | 'certified';
  /** The client's own certificate. */
  readonly own: 'none' | 'right' | 'unknown CA' | 'other role';
  readonly outcomes: Readonly<Record<Mode, Outcome>>;
}

const MODES: readonly Mode[] = ['verify-full', 'verify-ca', 'require with a CA', 'require', 'disable'];
const HOST = '127.0.0.1';
const PASSWORD = 'p4ss:w0rd/é';
const DAY_MS = 86_400_000;

const wrongName: Refusal = {
  code: 'SOURCE_TLS_UNVERIFIED',
  message: /^the certificate of 127\.0\.0\.1:\d+ is not for "127\.0\.0\.1" \(ERR_TLS_CERT_ALTNAME_INVALID\)$/,
  hint: /the host name that stands in the certificate, or set connections\.shop_db\.tls\.mode: verify-ca/,
};
const unknownCa: Refusal = {
  code: 'SOURCE_TLS_UNVERIFIED',
  message: /^the certificate of 127\.0\.0\.1:\d+ is not from a CA that this machine trusts \([A-Z_]+\)$/,
  hint: /connections\.shop_db\.tls\.ca_file/,
};
const expired: Refusal = {
  code: 'SOURCE_TLS_UNVERIFIED',
  message: /^the certificate of 127\.0\.0\.1:\d+ is expired \(CERT_HAS_EXPIRED\)$/,
  hint: /renew the server's certificate, and check this machine's clock/,
};
const noTls: Refusal = {
  code: 'SOURCE_TLS_REFUSED',
  message: /^the server at 127\.0\.0\.1:\d+ offers no TLS$/,
  hint: /alter system set ssl = on;.*tls\.mode: disable/,
};
/** pg_hba.conf says no: Postgres's own words, and what they may ask for. */
const notLetIn: Refusal = {
  code: 'SOURCE_LOGIN_REFUSED',
  message: /SQLSTATE 28000/,
  hint: /pg_hba\.conf.*connections\.shop_db\.tls\.mode.*connections\.shop_db\.tls\.cert_file and key_file/,
};
const foreignCertificate: Refusal = {
  code: 'SOURCE_TLS_REFUSED',
  message: /^the TLS handshake with 127\.0\.0\.1:\d+ failed \(ERR_SSL_TLSV1_ALERT_UNKNOWN_CA\)$/,
  hint: /client certificate \(connections\.shop_db\.tls\.cert_file and key_file\)/,
};

const all = (outcome: Outcome, disable: Outcome): Readonly<Record<Mode, Outcome>> => ({
  'verify-full': outcome,
  'verify-ca': outcome,
  'require with a CA': outcome,
  require: outcome,
  disable,
});

const ROWS: readonly Row[] = [
  { name: 'right certificate', server: 'right', user: 'anybody', own: 'none', outcomes: all('encrypted', 'plain') },
  {
    name: 'certificate for another name',
    server: 'other name',
    user: 'anybody',
    own: 'none',
    outcomes: { ...all('encrypted', 'plain'), 'verify-full': wrongName },
  },
  {
    name: 'certificate of an unknown CA',
    server: 'unknown CA',
    user: 'anybody',
    own: 'none',
    outcomes: { ...all(unknownCa, 'plain'), require: 'encrypted' },
  },
  {
    name: 'expired certificate',
    server: 'expired',
    user: 'anybody',
    own: 'none',
    outcomes: { ...all(expired, 'plain'), require: 'encrypted' },
  },
  { name: 'no TLS at all', server: 'no TLS', user: 'anybody', own: 'none', outcomes: all(noTls, 'plain') },
  {
    name: 'TLS required by pg_hba.conf',
    server: 'right',
    user: 'encrypted',
    own: 'none',
    outcomes: all('encrypted', notLetIn),
  },
  {
    name: 'client certificate required, none given',
    server: 'right',
    user: 'certified',
    own: 'none',
    outcomes: all(notLetIn, notLetIn),
  },
  {
    name: 'client certificate required and given',
    server: 'right',
    user: 'certified',
    own: 'right',
    outcomes: all('encrypted', notLetIn),
  },
  {
    name: 'client certificate required, that of another role given',
    server: 'right',
    user: 'certified',
    own: 'other role',
    outcomes: all(notLetIn, notLetIn),
  },
  {
    name: 'client certificate required, one of an unknown CA given',
    server: 'right',
    user: 'certified',
    own: 'unknown CA',
    outcomes: all(foreignCertificate, notLetIn),
  },
];

const servers = new Map<ServerKind, TestPostgres>();
let files: string;

beforeAll(async () => {
  files = await mkdtemp(path.join(tmpdir(), 'sluice-tls-'));
  const [authority, other] = [makeAuthority(), makeAuthority('another CA')];
  const subject = { commonName: 'db', names: [HOST] };
  const keep = (name: string, text: string) => writeFile(path.join(files, name), text);
  await keep('ca.pem', authority.cert);
  for (const [name, issuer, commonName] of [
    ['right', authority, 'certified'],
    ['other role', authority, 'somebody else'],
    ['unknown CA', other, 'certified'],
  ] as const) {
    const { cert, key } = issuer.issue({ commonName });
    await keep(`${name}.pem`, cert);
    await keep(`${name}.key`, key);
  }
  const hba = `
hostssl all certified all cert
hostnossl all certified,encrypted all reject
host all all all scram-sha-256
`;
  const start = async (kind: ServerKind, tls: { cert: string; key: string } | null) => {
    const server = await startPostgres({
      major: 17,
      hba,
      ...(tls === null ? {} : { tls: { ...tls, ca: authority.cert } }),
    });
    servers.set(kind, server);
    await server.query(
      ['anybody', 'encrypted', 'certified'].map((role) => `create role ${role} login password '${PASSWORD}'`).join(';'),
    );
  };
  await Promise.all([
    start('right', authority.issue(subject)),
    start('other name', authority.issue({ commonName: HOST, names: ['db.example.com'] })),
    start('unknown CA', other.issue(subject)),
    start('expired', authority.issue({ ...subject, validTo: new Date(Date.now() - DAY_MS / 2) })),
    start('no TLS', null),
  ]);
});

afterAll(async () => {
  await Promise.all([...servers.values()].map((server) => server.stop('immediate')));
  await rm(files, { recursive: true, force: true });
});

describe.each(ROWS)('$name', (row) => {
  test.each(MODES)('%s', async (mode) => {
    expect(await attempt(row, mode)).toEqual(expected(row.outcomes[mode]));
  });
});

function expected(outcome: Outcome): unknown {
  if (typeof outcome === 'string') return outcome;
  const { code, message, hint } = outcome;
  return { code, message: expect.stringMatching(message), hint: expect.stringMatching(hint) };
}

/** What the server itself says of the session, or the error. */
async function attempt(row: Row, mode: Mode): Promise<unknown> {
  try {
    const connection = await connectSource(targetOf(row, mode), {
      purpose: 'test',
      signal: new AbortController().signal,
    });
    const [session] = await connection.query<{ ssl: boolean }>(
      'select ssl from pg_catalog.pg_stat_ssl where pid = pg_catalog.pg_backend_pid()',
    );
    await connection.end();
    return session?.ssl === true ? 'encrypted' : 'plain';
  } catch (error) {
    const { code, message, hint } = toPlain(error);
    expect(message).not.toContain(PASSWORD);
    return { code, message, hint };
  }
}

function targetOf({ server: kind, user, own }: Row, mode: Mode): ConnectTarget {
  const server = servers.get(kind);
  if (server === undefined) throw new Error(`there is no server "${kind}"`);
  const file = (name: string) => path.join(files, name);
  return {
    name: 'shop_db',
    host: HOST,
    port: server.port,
    database: server.database,
    user,
    password: PASSWORD,
    tls: {
      mode: mode === 'require with a CA' ? 'require' : mode,
      caFile: mode === 'require' || mode === 'disable' ? null : file('ca.pem'),
      certFile: own === 'none' ? null : file(`${own}.pem`),
      keyFile: own === 'none' ? null : file(`${own}.key`),
    },
    tunnel: null,
    connectTimeoutMs: 10_000,
  };
}
