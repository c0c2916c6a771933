import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { type ConnectionOptions, checkServerIdentity, type PeerCertificate, rootCertificates } from 'node:tls';
import type { TlsConfig } from '../config/config.js';
import { SluiceError } from '../error/sluice-error.js';

/** PEM texts of the files that a TlsConfig names; null where it names none. */
export interface TlsFiles {
  readonly ca: string | null;
  readonly cert: string | null;
  readonly key: string | null;
}

/**
 * What Node's tls.connect is told, apart from the socket. Null: no TLS.
 *
 * - `verify-full`: the chain must end at a trusted CA and the certificate must name `host`.
 * - `verify-ca`: the chain only.
 * - `require`: encrypted, and as in libpq nothing is verified unless a CA is given: then the chain is.
 * - `disable`: no TLS. Neither is there any over a unix socket, whatever the mode, as in libpq.
 *
 * `host` is the database's own name, also when the bytes travel through a tunnel. An IP address is checked against the
 * certificate's IP entries, and is never sent as the server name (RFC 6066, section 3).
 * @param system trusted CAs where the config names no `ca_file`; a `ca_file` replaces them
 */
export function tlsOptions(
  mode: TlsConfig['mode'],
  host: string,
  files: TlsFiles,
  system: readonly string[],
): ConnectionOptions | null {
  if (mode === 'disable' || host.startsWith('/')) return null;
  const verifiesChain = mode !== 'require' || files.ca !== null;
  return {
    host,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    minVersion: 'TLSv1.2',
    ca: files.ca ?? [...system],
    ...(files.cert === null ? {} : { cert: files.cert }),
    ...(files.key === null ? {} : { key: files.key }),
    rejectUnauthorized: verifiesChain,
    checkServerIdentity: (_name: string, certificate: PeerCertificate) =>
      mode === 'verify-full' ? checkServerIdentity(host, certificate) : undefined,
  };
}

/** @throws SluiceError CONFIG_INVALID when a file that the config names cannot be read */
export async function readTlsFiles(tls: TlsConfig, connection: string): Promise<TlsFiles> {
  const read = async (option: string, file: string | null): Promise<string | null> => {
    if (file === null) return null;
    try {
      return await readFile(file, 'utf8');
    } catch (cause) {
      throw new SluiceError({
        code: 'CONFIG_INVALID',
        message: `connections.${connection}.tls.${option}: "${file}" cannot be read`,
        hint: 'check the path (relative ones start at the config file) and that this user may read it',
        cause,
      });
    }
  };
  return {
    ca: await read('ca_file', tls.caFile),
    cert: await read('cert_file', tls.certFile),
    key: await read('key_file', tls.keyFile),
  };
}

/** Where Debian, Fedora, Alpine, macOS and FreeBSD keep the CAs that their administrators trust. */
const SYSTEM_BUNDLES = ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt', '/etc/ssl/cert.pem'];

let systemBundle: Promise<readonly string[]> | null = null;

/**
 * The CAs of Node together with those of the system, so that a company's own CA works once the system trusts it.
 * Node 20 has no call for that; the bundle is read once a process.
 * @param bundle what SSL_CERT_FILE says, null where it is not set
 */
export function systemCertificates(bundle: string | null): Promise<readonly string[]> {
  systemBundle ??= readBundle(bundle === null ? SYSTEM_BUNDLES : [bundle]);
  return systemBundle;
}

async function readBundle(places: readonly string[]): Promise<readonly string[]> {
  for (const place of places) {
    const text = await readFile(place, 'utf8').catch(() => null);
    if (text !== null) return [...rootCertificates, text];
  }
  return rootCertificates;
}
