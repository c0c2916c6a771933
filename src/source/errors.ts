import pg from 'pg';
import type { ErrorCode } from '../error/codes.js';
import { asSluiceError, causeText, SluiceError } from '../error/sluice-error.js';

/** Which server an error came from; all of it may be shown. */
export interface SourcePlace {
  /** The entry under `connections:`. */
  readonly connection: string;
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  /** The SSH host that the server lies behind, as `user@host:port`. */
  readonly behind?: string | undefined;
}

/** The fields of Postgres's ErrorResponse that decide what an error means; anyone who reads the wire can fill them in. */
export interface ServerComplaint {
  readonly sqlState: string;
  readonly message: string;
  readonly hint?: string | undefined;
}

interface Reading {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

/**
 * Gives an error of the socket, of TLS or of Postgres its code. Decided by Node's error codes and by SQLSTATE, never by
 * text: that is translated on some servers and changes between versions.
 */
export function sourceError(cause: unknown, place: SourcePlace): SluiceError {
  if (cause instanceof SluiceError) return cause;
  const complaint = serverComplaint(cause);
  if (complaint !== null) return serverError(complaint, place, cause);
  const code = errorCode(cause);
  if (code === null)
    return isOurFault(cause) ? asSluiceError(cause) : new SluiceError({ ...connectionLost(place, cause), cause });
  const reading = readSocketCode(code, place) ?? readTlsCode(code, place) ?? connectionLost(place, code);
  return new SluiceError({ ...reading, cause });
}

/** An error that Postgres reported. Its own words are part of the message. */
export function serverError(complaint: ServerComplaint, place: SourcePlace, cause?: unknown): SluiceError {
  return new SluiceError({ ...readSqlState(complaint, place), cause });
}

/** The SQLSTATE of an error that Postgres reported, directly or as the cause; null for any other error. */
export function sqlState(error: unknown): string | null {
  if (error instanceof SluiceError) return sqlState(error.cause);
  return serverComplaint(error)?.sqlState ?? null;
}

function serverComplaint(error: unknown): ServerComplaint | null {
  if (!(error instanceof pg.DatabaseError) || error.code === undefined) return null;
  return { sqlState: error.code, message: error.message, hint: error.hint };
}

function errorCode(error: unknown): string | null {
  if (typeof error !== 'object' || error === null) return null;
  if ('code' in error && typeof error.code === 'string') return error.code;
  // Happy eyeballs: every address was tried, each failed in its own way; the first is the one the resolver prefers.
  return error instanceof AggregateError ? errorCode(error.errors[0]) : null;
}

export function addressOf(place: SourcePlace): string {
  return place.behind === undefined
    ? ownAddressOf(place)
    : `${ownAddressOf(place)} (behind the SSH host ${place.behind})`;
}

function ownAddressOf(place: SourcePlace): string {
  if (place.host.startsWith('/')) return `${place.host}/.s.PGSQL.${place.port}`;
  return place.host.includes(':') ? `[${place.host}]:${place.port}` : `${place.host}:${place.port}`;
}

/** An abort, or a bug: neither is the connection's doing. pg's own complaints are plain Errors without a code. */
function isOurFault(error: unknown): boolean {
  return !(error instanceof Error) || error.name !== 'Error';
}

function connectionLost(place: SourcePlace, why: unknown): Reading {
  return {
    code: 'SOURCE_CONNECTION_LOST',
    message: `the connection to ${addressOf(place)} broke (${causeText(why)})`,
    hint: 'see whether the server restarted, or a proxy or firewall in between closes connections',
  };
}

function readSocketCode(code: string, place: SourcePlace): Reading | null {
  const at = addressOf(place);
  switch (code) {
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EAI_NODATA':
    case 'EAI_NONAME':
    case 'ENODATA':
      return {
        code: 'SOURCE_HOST_UNKNOWN',
        message: `the host name "${place.host}" does not resolve (${code})`,
        hint: `check connections.${place.connection}.host, and that this machine's DNS knows the name`,
      };
    case 'ECONNREFUSED':
      return {
        code: 'SOURCE_UNREACHABLE',
        message: `${at} refuses connections (${code})`,
        hint: 'check host and port, that Postgres runs there, and that its listen_addresses includes the address',
      };
    case 'ENOENT':
      return {
        code: 'SOURCE_UNREACHABLE',
        message: `there is no unix socket ${at} (${code})`,
        hint: 'check that Postgres runs, and its unix_socket_directories and port',
      };
    case 'EACCES':
    case 'EPERM':
    case 'EHOSTUNREACH':
    case 'EHOSTDOWN':
    case 'ENETUNREACH':
    case 'ENETDOWN':
    case 'EADDRNOTAVAIL':
      return {
        code: 'SOURCE_UNREACHABLE',
        message: `${at} is out of reach (${code})`,
        hint: 'check the network, the firewall and whether the server lets this machine in',
      };
    case 'ETIMEDOUT':
      return timedOut(place);
    case 'ECONNRESET':
    case 'ECONNABORTED':
    case 'EPIPE':
      return connectionLost(place, code);
    default:
      return null;
  }
}

export function timedOut(place: SourcePlace): Reading {
  return {
    code: 'SOURCE_TIMEOUT',
    message: `${addressOf(place)} does not answer in time`,
    hint: `check host, port and firewall; connections.${place.connection}.connect_timeout sets how long to wait`,
  };
}

/**
 * Codes of Node's TLS. Verification failures carry OpenSSL's X509_V_ERR name without its prefix; failures of the
 * handshake itself begin with ERR_SSL_ (or are EPROTO).
 * @see Node docs, "X509 certificate error codes"
 */
function readTlsCode(code: string, place: SourcePlace): Reading | null {
  const tls = `connections.${place.connection}.tls`;
  switch (code) {
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
    case 'HOSTNAME_MISMATCH':
      return {
        code: 'SOURCE_TLS_UNVERIFIED',
        message: `the certificate of ${addressOf(place)} is not for "${place.host}" (${code})`,
        hint: `use the host name that stands in the certificate, or set ${tls}.mode: verify-ca to trust any host of its CA`,
      };
    case 'CERT_HAS_EXPIRED':
    case 'CERT_NOT_YET_VALID':
      return {
        code: 'SOURCE_TLS_UNVERIFIED',
        message: `the certificate of ${addressOf(place)} is ${code === 'CERT_HAS_EXPIRED' ? 'expired' : 'not valid yet'} (${code})`,
        hint: "renew the server's certificate, and check this machine's clock",
      };
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
      return {
        code: 'SOURCE_TLS_UNVERIFIED',
        message: `the certificate of ${addressOf(place)} is not from a CA that this machine trusts (${code})`,
        hint: `name the server's CA in ${tls}.ca_file (hosts offer it for download)`,
      };
    default:
  }
  if (UNVERIFIED.has(code)) {
    return {
      code: 'SOURCE_TLS_UNVERIFIED',
      message: `the certificate of ${addressOf(place)} could not be verified (${code})`,
      hint: `check the server's certificate and ${tls}.ca_file`,
    };
  }
  if (code.startsWith('ERR_OSSL_')) {
    return {
      code: 'CONFIG_INVALID',
      message: `a certificate or key of ${tls} is no usable PEM file (${code})`,
      hint: `check ${tls}.ca_file, cert_file and key_file; keys must not have a passphrase`,
    };
  }
  if (code.startsWith('ERR_SSL_') || code === 'EPROTO') {
    return {
      code: 'SOURCE_TLS_REFUSED',
      message: `the TLS handshake with ${addressOf(place)} failed (${code})`,
      hint: `the server may want a client certificate (${tls}.cert_file and key_file), or speak TLS below 1.2 only`,
    };
  }
  return null;
}

const UNVERIFIED: ReadonlySet<string> = new Set([
  'CERT_CHAIN_TOO_LONG',
  'CERT_REJECTED',
  'CERT_REVOKED',
  'CERT_SIGNATURE_FAILURE',
  'CERT_UNTRUSTED',
  'CRL_HAS_EXPIRED',
  'CRL_NOT_YET_VALID',
  'CRL_SIGNATURE_FAILURE',
  'ERROR_IN_CERT_NOT_AFTER_FIELD',
  'ERROR_IN_CERT_NOT_BEFORE_FIELD',
  'INVALID_CA',
  'INVALID_PURPOSE',
  'PATH_LENGTH_EXCEEDED',
  'UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY',
  'UNABLE_TO_DECRYPT_CERT_SIGNATURE',
  'UNABLE_TO_GET_CRL',
]);

/** @see Postgres docs, "PostgreSQL Error Codes" */
function readSqlState(
  { sqlState: state, message: words, hint: serverHint }: ServerComplaint,
  place: SourcePlace,
): Reading {
  const message = `${words} (SQLSTATE ${state})`;
  const login = `connections.${place.connection}`;
  switch (state) {
    case '28P01': // invalid_password; also said for a role that does not exist
      return {
        code: 'SOURCE_LOGIN_REFUSED',
        message,
        hint: `check ${login}.user and ${login}.password; the role may also not exist on ${addressOf(place)}`,
      };
    case '28000': // invalid_authorization_specification
      return {
        code: 'SOURCE_LOGIN_REFUSED',
        message,
        hint: `let the user in by pg_hba.conf: hostssl ${place.database} ${place.user} <address>/32 scram-sha-256 (then: select pg_reload_conf();), and check that the role exists and may log in; where it has a line, that may want TLS (${login}.tls.mode) or a client certificate (${login}.tls.cert_file and key_file)`,
      };
    case '3D000': // invalid_catalog_name
    case '57P04': // database_dropped
      return { code: 'SOURCE_DATABASE_MISSING', message, hint: `check ${login}.database` };
    case '53300': // too_many_connections
      return {
        code: 'SOURCE_BUSY',
        message,
        hint: 'close other connections, or raise max_connections; Sluice needs one to four',
      };
    case '57P03': // cannot_connect_now
      return { code: 'SOURCE_BUSY', message, hint: 'the server starts up or shuts down; try again' };
    case '42501': // insufficient_privilege
      return {
        code: 'PRIVILEGE_MISSING',
        message,
        hint: serverHint ?? `grant it to "${place.user}"; \`sluice doctor\` prints the SQL`,
      };
    case '42P01': // undefined_table
    case '3F000': // invalid_schema_name
      return {
        code: 'TABLE_MISSING',
        message,
        hint: `look for it in database "${place.database}"; names are case-sensitive`,
      };
    case '42703': // undefined_column
      return { code: 'COLUMN_MISSING', message, hint: 'check the column names of the table; they are case-sensitive' };
    case '55006': // object_in_use
      return {
        code: 'SLOT_IN_USE',
        message,
        hint: 'stop the other reader; select slot_name, active_pid from pg_replication_slots where active;',
      };
    case '57014': // query_canceled: a cancel that we asked for is reported as CANCELLED before it gets here
    case '55P03': // lock_not_available
      return {
        code: 'TIMEOUT',
        message,
        hint: 'a timeout of the server or another session ended the statement; try again',
      };
    case '53400': // configuration_limit_exceeded: no free replication slot
      return {
        code: 'SERVER_UNSUITABLE',
        message,
        hint: 'drop slots that are no longer used, or: alter system set max_replication_slots = 20; (needs a restart)',
      };
    case '57P01': // admin_shutdown, also pg_terminate_backend
    case '57P02': // crash_shutdown
    case '57P05': // idle_session_timeout
    case '25P03': // idle_in_transaction_session_timeout
    case '25P04': // transaction_timeout
      return { ...connectionLost(place, state), message: `the server ended the connection: ${message}` };
    default:
      if (state.startsWith('08'))
        return { ...connectionLost(place, state), message: `the connection failed: ${message}` };
      if (state.startsWith('28')) {
        return {
          code: 'SOURCE_LOGIN_REFUSED',
          message,
          hint: `check ${login}.user, ${login}.password and pg_hba.conf`,
        };
      }
      return { code: 'SOURCE_SQL_FAILED', message, hint: serverHint ?? "see the server's log for the statement" };
  }
}
