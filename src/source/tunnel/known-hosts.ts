import { createHmac, timingSafeEqual } from 'node:crypto';

/**
 * OpenSSH's list of host keys.
 * @see sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"
 */

interface KnownHost {
  readonly revoked: boolean;
  readonly names: string;
  readonly key: Buffer;
}

export interface KnownKeys {
  /** Public keys in SSH's wire format that the host may have. */
  readonly trusted: readonly Buffer[];
  /** Keys that were given up, for whatever host they are shown. */
  readonly revoked: readonly Buffer[];
}

const DEFAULT_PORT = 22;

/** The keys that a known_hosts file gives for a host. Lines that are not understood, and host certificates, are passed over. */
export function keysOf(text: string, host: string, port: number): KnownKeys {
  const name = knownName(host, port);
  const entries = text.split(/\r?\n/).flatMap(parseLine);
  const matching = entries.filter((entry) => matches(entry.names, name));
  const keys = (revoked: boolean) => matching.filter((entry) => entry.revoked === revoked).map(({ key }) => key);
  return { trusted: keys(false), revoked: keys(true) };
}

/** How known_hosts writes a host: `name`, or `[name]:port` where the port is not 22. */
export function knownName(host: string, port: number): string {
  const name = host.toLowerCase();
  return port === DEFAULT_PORT ? name : `[${name}]:${port}`;
}

function parseLine(line: string): KnownHost[] {
  const text = line.trim();
  if (text === '' || text.startsWith('#')) return [];
  const fields = text.split(/[ \t]+/);
  const marker = fields[0]?.startsWith('@') === true ? fields.shift() : undefined;
  // A CA signs host certificates, which are not spoken here.
  if (marker !== undefined && marker !== '@revoked') return [];
  const [names, , key] = fields;
  if (names === undefined || key === undefined) return [];
  return [{ revoked: marker === '@revoked', names, key: Buffer.from(key, 'base64') }];
}

function matches(names: string, name: string): boolean {
  if (names.startsWith('|')) return matchesHash(names, name);
  let found = false;
  for (const pattern of names.toLowerCase().split(',')) {
    const negated = pattern.startsWith('!');
    if (!wildcard(negated ? pattern.slice(1) : pattern).test(name)) continue;
    if (negated) return false;
    found = true;
  }
  return found;
}

/** `|1|salt|hash`: HMAC-SHA1 of the name with the salt as its key. */
function matchesHash(names: string, name: string): boolean {
  const [, version, salt, hash] = names.split('|');
  if (version !== '1' || salt === undefined || hash === undefined) return false;
  const expected = Buffer.from(hash, 'base64');
  const actual = createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest();
  return expected.length === actual.length && timingSafeEqual(expected, actual);
}

function wildcard(pattern: string): RegExp {
  const source = pattern
    .replace(/[\\^$.|+()[\]{}]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`);
}
