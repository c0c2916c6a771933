import type { ConnectionConfig, SecretReference, SshHopConfig, TlsConfig, TlsMode, TunnelConfig } from './config.js';
import { ignoredParameterMessage, parseConnectionUrl, type UrlParts } from './connection-url.js';
import { suggestion } from './nearest.js';
import type { ConfigPath } from './problem.js';
import { readSecret } from './read-secret.js';
import type { Reading } from './reading.js';
import type { Pruned } from './schema.js';
import type { Connection, Tunnel, TunnelHop } from './schema-types.js';

const TLS_MODES: readonly TlsMode[] = ['verify-full', 'verify-ca', 'require', 'disable'];
/** libpq would go on without TLS where the server has none, unseen. */
const FALLING_BACK = ['allow', 'prefer'];

type RawConnection = Pruned<Connection>;

/** An entry of `connections:`: the url taken apart, parts beside it winning, and everything checked. */
export function readConnection(name: string, raw: RawConnection, reading: Reading): ConnectionConfig {
  const path: ConfigPath = ['connections', name];
  const url = readUrl(raw, path, reading);
  const host = raw.host ?? url?.host;
  // Where the url could not be read, it may have held what seems to be missing.
  const urlUnreadable = raw.url !== undefined && url === null;
  const need = (key: 'host' | 'database' | 'user', value: string | undefined): string => {
    if (value === undefined && !urlUnreadable && !reading.isBroken([...path, 'url'])) {
      const where = raw.url === undefined ? ' (or a url that holds it)' : ', as the url does not hold it';
      reading.problem([...path, key], `required key is missing${where}`, 'key');
    }
    return value ?? '';
  };
  const tunnel = raw.tunnel === undefined ? null : readTunnel(raw.tunnel, [...path, 'tunnel'], reading);
  const connection = {
    name,
    host: need('host', host),
    port: raw.port ?? url?.port ?? 5432,
    database: need('database', raw.database ?? url?.database),
    user: need('user', raw.user ?? url?.user),
    password: readPassword(raw, url, path, reading),
    tunnel,
    connectTimeoutMs:
      raw.connect_timeout === undefined && url?.connectTimeoutSeconds !== undefined
        ? url.connectTimeoutSeconds * 1000
        : reading.duration([...path, 'connect_timeout'], raw.connect_timeout, '10s', 1_000),
  };
  if (raw.host !== undefined) checkHost(raw.host, [...path, 'host'], reading);
  return { ...connection, tls: readTls(raw, url, { host, tunnel }, path, reading) };
}

function readUrl(raw: RawConnection, path: ConfigPath, reading: Reading): UrlParts | null {
  if (raw.url === undefined) return null;
  const at = [...path, 'url'];
  const result = parseConnectionUrl(raw.url);
  if (!result.ok) {
    reading.problem(at, result.reason);
    return null;
  }
  for (const parameter of result.parts.ignored) reading.warning(at, ignoredParameterMessage(parameter));
  return result.parts;
}

function readPassword(
  raw: RawConnection,
  url: UrlParts | null,
  path: ConfigPath,
  reading: Reading,
): SecretReference | null {
  if (raw.password !== undefined) return readSecret(raw.password, [...path, 'password'], reading);
  if (url?.password === undefined) return null;
  const at = [...path, 'url'];
  if (reading.isWritten(at)) {
    reading.warning(at, 'the url holds a password as plain text; leave it out and give "password" beside the url');
  }
  return { kind: 'inline', value: url.password };
}

function checkHost(host: string, path: ConfigPath, reading: Reading): void {
  if (host.includes('://')) reading.problem(path, 'expected a host name; give a whole address under "url"');
  else if (/^\[.*\]$/.test(host)) reading.problem(path, 'expected an IPv6 address without brackets');
  else if (/^[^/:]+:\d+$/.test(host)) reading.problem(path, 'expected a host name; give the number under "port"');
  else if (!host.startsWith('/') && /[\s/@,]/.test(host)) reading.problem(path, 'expected one host name or address');
}

/** This machine, or a unix socket: plain text cannot be overheard on the way. */
export function isLocal(host: string): boolean {
  return (
    isSocket(host) ||
    host === 'localhost' ||
    host.endsWith('.localhost') ||
    host === '::1' ||
    /^127(?:\.\d{1,3}){3}$/.test(host)
  );
}

function isSocket(host: string): boolean {
  return host.startsWith('/');
}

function readTls(
  raw: RawConnection,
  url: UrlParts | null,
  route: { readonly host: string | undefined; readonly tunnel: TunnelConfig | null },
  path: ConfigPath,
  reading: Reading,
): TlsConfig {
  const tls = raw.tls ?? {};
  const modePath = [...path, 'tls', 'mode'];
  const urlMode = readUrlMode(url, path, reading);
  const { host, tunnel } = route;
  const socket = host !== undefined && isSocket(host);
  const mode: TlsMode = tls.mode ?? urlMode ?? (socket ? 'disable' : 'verify-full');
  const told = tls.mode === undefined ? [...path, 'url'] : modePath;
  if (!reading.isBroken(modePath) && host !== undefined) {
    if (socket && tls.mode !== undefined && mode !== 'disable') {
      reading.problem(modePath, 'a unix socket has no TLS; leave "tls" out');
    }
    if (mode === 'disable' && tunnel === null && !isLocal(host)) {
      const where = `${JSON.stringify(host)} as plain text`;
      if (tls.allow_plaintext === true) {
        const message = `password and rows go to ${where}, where whoever is on the way can read and change them`;
        reading.warning([...path, 'tls', 'allow_plaintext'], message);
      } else {
        reading.problem(told, `password and rows would go to ${where}; use verify-full, or add allow_plaintext: true`);
      }
    }
    // A unix socket is on the SSH host itself: there is no way beyond it to listen in on.
    if (mode === 'disable' && !socket && tunnel?.requireTls === true) {
      reading.problem(told, 'the tunnel requires TLS inside of it; use another mode, or set tunnel.require_tls: false');
    }
    if (mode !== 'disable' && tls.allow_plaintext === true) {
      reading.problem([...path, 'tls', 'allow_plaintext'], `only for tls mode "disable"; this one is "${mode}"`);
    }
    if (tls.ca_file !== undefined && (mode === 'require' || mode === 'disable')) {
      reading.problem([...path, 'tls', 'ca_file'], `mode "${mode}" verifies nothing; use verify-full or verify-ca`);
    }
  }
  const certFile = tls.cert_file ?? url?.certFile;
  const keyFile = tls.key_file ?? url?.keyFile;
  if (certFile !== undefined && keyFile === undefined) needBoth('key_file', 'cert_file', path, reading);
  if (keyFile !== undefined && certFile === undefined) needBoth('cert_file', 'key_file', path, reading);
  const caFile = tls.ca_file ?? url?.caFile;
  const absolute = (file: string | undefined): string | null =>
    file === undefined ? null : reading.absolutePath(file);
  return { mode, caFile: absolute(caFile), certFile: absolute(certFile), keyFile: absolute(keyFile) };
}

function readUrlMode(url: UrlParts | null, path: ConfigPath, reading: Reading): TlsMode | undefined {
  if (url?.sslMode === undefined) return undefined;
  const { sslMode } = url;
  const mode = TLS_MODES.find((known) => known === sslMode);
  if (mode !== undefined) return mode;
  const at = [...path, 'url'];
  if (FALLING_BACK.includes(sslMode)) {
    reading.problem(at, `sslmode=${sslMode} may go on as plain text unseen; use verify-full, verify-ca or require`);
  } else {
    reading.problem(at, `unknown sslmode${suggestion(sslMode, TLS_MODES)}`);
  }
  return undefined;
}

function needBoth(missing: string, given: string, path: ConfigPath, reading: Reading): void {
  reading.problem([...path, 'tls', missing], `required beside ${given}`, 'key');
}

function readTunnel(raw: Pruned<Tunnel>, path: ConfigPath, reading: Reading): TunnelConfig {
  return {
    ...readHop(raw, path, reading),
    through: (raw.through ?? []).map((hop, index) => readHop(hop ?? {}, [...path, 'through', index], reading)),
    requireTls: raw.require_tls ?? true,
  };
}

function readHop(raw: Pruned<TunnelHop>, path: ConfigPath, reading: Reading): SshHopConfig {
  const broken = (...keys: readonly string[]): boolean => keys.some((key) => reading.isBroken([...path, key]));
  if (
    raw.password === undefined &&
    raw.private_key === undefined &&
    raw.agent !== true &&
    !broken('password', 'private_key', 'agent')
  ) {
    reading.problem(path, 'no way to log in to the SSH host; give "private_key", "agent: true" or "password"', 'key');
  }
  if (raw.passphrase !== undefined && raw.private_key === undefined && !broken('private_key')) {
    reading.problem([...path, 'passphrase'], 'only together with "private_key"');
  }
  if (raw.host_key !== undefined && raw.known_hosts !== undefined) {
    reading.problem([...path, 'known_hosts'], 'either this or "host_key" says which key the SSH host has');
  }
  if (raw.host_key === undefined && raw.known_hosts === undefined && !broken('host_key', 'known_hosts')) {
    reading.warning(
      path,
      'no "host_key" or "known_hosts": the SSH host is refused until one of them says which key it has',
      'key',
    );
  }
  if (raw.host !== undefined) checkHost(raw.host, [...path, 'host'], reading);
  return {
    host: raw.host ?? '',
    port: raw.port ?? 22,
    user: raw.user ?? '',
    password: readSecret(raw.password, [...path, 'password'], reading),
    privateKey: readSecret(raw.private_key, [...path, 'private_key'], reading),
    passphrase: readSecret(raw.passphrase, [...path, 'passphrase'], reading),
    agent: raw.agent ?? false,
    hostKey: raw.host_key ?? null,
    knownHosts: raw.known_hosts === undefined ? null : reading.absolutePath(raw.known_hosts),
  };
}
