import { suggestion } from './nearest.js';

/** What a connection url says; undefined where it says nothing. */
export interface UrlParts {
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly database?: string | undefined;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly sslMode?: string | undefined;
  readonly caFile?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  readonly connectTimeoutSeconds?: number | undefined;
  /** Parameters that Sluice does nothing with. */
  readonly ignored: readonly string[];
}

export type UrlResult =
  | { readonly ok: true; readonly parts: UrlParts }
  | { readonly ok: false; readonly reason: string };

const SCHEMES = ['postgres', 'postgresql'];
const KNOWN_PARAMETERS = [
  'host',
  'port',
  'dbname',
  'user',
  'password',
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'connect_timeout',
];

/**
 * Takes a connection url apart as libpq does: percent-encoded parts, IPv6 in brackets, a unix socket as an encoded host
 * or as `?host=/folder`.
 * @returns a reason that never quotes the url, which may hold a password
 * @see Postgres docs, "Connection URIs"
 */
export function parseConnectionUrl(text: string): UrlResult {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(text)?.[1]?.toLowerCase();
  if (scheme === undefined || !text.slice(scheme.length).startsWith('://')) {
    return { ok: false, reason: 'expected a url such as postgres://user@host:5432/database' };
  }
  if (!SCHEMES.includes(scheme)) {
    return { ok: false, reason: `expected a url that begins with postgres:// or postgresql://, found ${scheme}://` };
  }
  if (/^[^/?#]*:\/\/[^/?#]*,/.test(text)) return { ok: false, reason: 'expected one host; several are not supported' };
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return {
      ok: false,
      reason: 'not a valid url; characters such as @ : / # ? in a user name or password must be percent-encoded',
    };
  }
  try {
    return read(url);
  } catch {
    return { ok: false, reason: 'not a valid url; a percent sign must be written as %25' };
  }
}

function read(url: URL): UrlResult {
  if (url.hash !== '') return { ok: false, reason: 'not a valid url; a # must be written as %23' };
  const query = url.searchParams;
  const parameter = (name: string): string | undefined => present(query.get(name) ?? '');
  const port = numberOf(present(url.port) ?? parameter('port'));
  if (port === 'bad' || (port !== undefined && (port < 1 || port > 65535))) {
    return { ok: false, reason: 'expected a port from 1 to 65535' };
  }
  const timeout = numberOf(parameter('connect_timeout'));
  if (timeout === 'bad') return { ok: false, reason: 'expected connect_timeout in whole seconds' };
  const rootCert = parameter('sslrootcert');
  const host = present(decodeURIComponent(url.hostname)) ?? parameter('host');
  return {
    ok: true,
    parts: {
      host: host?.replace(/^\[(.*)\]$/, '$1'),
      port,
      database: present(decodeURIComponent(url.pathname.slice(1))) ?? parameter('dbname'),
      user: present(decodeURIComponent(url.username)) ?? parameter('user'),
      password: present(decodeURIComponent(url.password)) ?? parameter('password'),
      sslMode: parameter('sslmode'),
      // libpq's word for the certificates of the machine, which is our default.
      caFile: rootCert === 'system' ? undefined : rootCert,
      certFile: parameter('sslcert'),
      keyFile: parameter('sslkey'),
      // libpq: zero means to wait for ever, which Sluice never does.
      connectTimeoutSeconds: timeout === 0 ? undefined : timeout,
      ignored: [...new Set(query.keys())].filter((name) => !KNOWN_PARAMETERS.includes(name)),
    },
  };
}

/** What to say of a parameter that Sluice does nothing with. */
export function ignoredParameterMessage(name: string): string {
  return `the url parameter "${name}" is ignored${suggestion(name, KNOWN_PARAMETERS).replace(/^; known:.*/, '')}`;
}

function present(text: string): string | undefined {
  return text === '' ? undefined : text;
}

function numberOf(text: string | undefined): number | 'bad' | undefined {
  if (text === undefined) return undefined;
  return /^\d{1,6}$/.test(text) ? Number(text) : 'bad';
}
