import { expect, test } from 'vitest';
import type { ErrorCode } from '../error/codes.js';
import { addressOf, type SourcePlace, serverError, sourceError } from './errors.js';

const place: SourcePlace = {
  connection: 'shop_db',
  host: 'db.example.com',
  port: 5432,
  database: 'shop',
  user: 'sluice',
};

function coded(code: string): Error {
  return Object.assign(new Error('whatever it says'), { code });
}

test.each<{ name: string; cause: unknown; code: ErrorCode }>([
  { name: 'a name that does not resolve', cause: coded('ENOTFOUND'), code: 'SOURCE_HOST_UNKNOWN' },
  { name: 'a resolver that does not answer', cause: coded('EAI_AGAIN'), code: 'SOURCE_HOST_UNKNOWN' },
  { name: 'nobody listens', cause: coded('ECONNREFUSED'), code: 'SOURCE_UNREACHABLE' },
  { name: 'no route', cause: coded('EHOSTUNREACH'), code: 'SOURCE_UNREACHABLE' },
  { name: 'no answer', cause: coded('ETIMEDOUT'), code: 'SOURCE_TIMEOUT' },
  { name: 'reset', cause: coded('ECONNRESET'), code: 'SOURCE_CONNECTION_LOST' },
  { name: 'written to after its end', cause: coded('ERR_STREAM_WRITE_AFTER_END'), code: 'SOURCE_CONNECTION_LOST' },
  {
    name: 'every address failed',
    cause: new AggregateError([coded('ECONNREFUSED'), coded('ENETUNREACH')]),
    code: 'SOURCE_UNREACHABLE',
  },
  {
    name: 'pg says that the connection ended',
    cause: new Error('Connection terminated unexpectedly'),
    code: 'SOURCE_CONNECTION_LOST',
  },
  { name: 'expired certificate', cause: coded('CERT_HAS_EXPIRED'), code: 'SOURCE_TLS_UNVERIFIED' },
  { name: 'self-signed certificate', cause: coded('DEPTH_ZERO_SELF_SIGNED_CERT'), code: 'SOURCE_TLS_UNVERIFIED' },
  { name: 'certificate of another host', cause: coded('ERR_TLS_CERT_ALTNAME_INVALID'), code: 'SOURCE_TLS_UNVERIFIED' },
  { name: 'revoked certificate', cause: coded('CERT_REVOKED'), code: 'SOURCE_TLS_UNVERIFIED' },
  { name: 'handshake refused', cause: coded('ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION'), code: 'SOURCE_TLS_REFUSED' },
  { name: 'a key that is no PEM', cause: coded('ERR_OSSL_PEM_NO_START_LINE'), code: 'CONFIG_INVALID' },
  { name: 'an abort', cause: new DOMException('stop', 'AbortError'), code: 'CANCELLED' },
  { name: 'a bug of ours', cause: new TypeError('x is not a function'), code: 'INTERNAL' },
])('$name', ({ cause, code }) => {
  const error = sourceError(cause, place);
  expect(error).toMatchObject({ code, cause });
});

test.each<{ sqlState: string; code: ErrorCode }>([
  { sqlState: '28P01', code: 'SOURCE_LOGIN_REFUSED' },
  { sqlState: '28000', code: 'SOURCE_LOGIN_REFUSED' },
  { sqlState: '3D000', code: 'SOURCE_DATABASE_MISSING' },
  { sqlState: '53300', code: 'SOURCE_BUSY' },
  { sqlState: '57P03', code: 'SOURCE_BUSY' },
  { sqlState: '57P01', code: 'SOURCE_CONNECTION_LOST' },
  { sqlState: '25P03', code: 'SOURCE_CONNECTION_LOST' },
  { sqlState: '08006', code: 'SOURCE_CONNECTION_LOST' },
  { sqlState: '42501', code: 'PRIVILEGE_MISSING' },
  { sqlState: '42P01', code: 'TABLE_MISSING' },
  { sqlState: '42703', code: 'COLUMN_MISSING' },
  { sqlState: '55006', code: 'SLOT_IN_USE' },
  { sqlState: '57014', code: 'TIMEOUT' },
  { sqlState: '55P03', code: 'TIMEOUT' },
  { sqlState: '53400', code: 'SERVER_UNSUITABLE' },
  { sqlState: 'XX000', code: 'SOURCE_SQL_FAILED' },
])('SQLSTATE $sqlState is $code, in the words of the server', ({ sqlState, code }) => {
  const error = serverError({ sqlState, message: 'es geht nicht' }, place);
  expect(error.code).toBe(code);
  expect(error.message).toContain(`es geht nicht (SQLSTATE ${sqlState})`);
  expect(error.hint).toBeTruthy();
});

test.each([
  { name: 'host and port', host: 'db', address: 'db:5432' },
  { name: 'IPv6', host: '::1', address: '[::1]:5432' },
  { name: 'unix socket', host: '/run/postgresql', address: '/run/postgresql/.s.PGSQL.5432' },
])('an address is written as $name', ({ host, address }) => expect(addressOf({ ...place, host })).toBe(address));
