import { createHash } from 'node:crypto';
import type { ServerHostKeyAlgorithm } from 'ssh2';
import { SluiceError } from '../../error/sluice-error.js';
import { type KnownKeys, knownName } from './known-hosts.js';
import { hopName, type SshHop } from './target.js';

/** What a hop's server must show. `none`: nothing was said, so no key is trusted. */
export type HostKeyPolicy =
  | { readonly kind: 'pinned'; readonly fingerprint: string }
  | { readonly kind: 'known'; readonly file: string; readonly keys: KnownKeys }
  | { readonly kind: 'none' };

export type HostKeyVerdict = 'trusted' | 'unknown' | 'changed' | 'revoked';

/**
 * Kinds of host keys, the preferred ones first. A server has one key of each kind and shows that which the client asks
 * for first. The signatures of RSA keys with SHA-1 are not taken.
 */
const KINDS: readonly { readonly type: string; readonly algorithms: readonly ServerHostKeyAlgorithm[] }[] = [
  { type: 'ssh-ed25519', algorithms: ['ssh-ed25519'] },
  { type: 'ecdsa-sha2-nistp256', algorithms: ['ecdsa-sha2-nistp256'] },
  { type: 'ecdsa-sha2-nistp384', algorithms: ['ecdsa-sha2-nistp384'] },
  { type: 'ecdsa-sha2-nistp521', algorithms: ['ecdsa-sha2-nistp521'] },
  { type: 'ssh-rsa', algorithms: ['rsa-sha2-512', 'rsa-sha2-256'] },
];

export function judgeHostKey(key: Buffer, policy: HostKeyPolicy): HostKeyVerdict {
  switch (policy.kind) {
    case 'pinned':
      return fingerprintOf(key) === policy.fingerprint.replace(/=$/, '') ? 'trusted' : 'changed';
    case 'known':
      if (policy.keys.revoked.some((revoked) => revoked.equals(key))) return 'revoked';
      if (policy.keys.trusted.some((trusted) => trusted.equals(key))) return 'trusted';
      return policy.keys.trusted.length > 0 ? 'changed' : 'unknown';
    case 'none':
      return 'unknown';
  }
}

/**
 * What to ask a server for: kinds that are known of it first, and none that it has shown already in vain.
 * @param shown public keys in SSH's wire format
 */
export function hostKeyAlgorithms(policy: HostKeyPolicy, shown: readonly Buffer[]): ServerHostKeyAlgorithm[] {
  const known = policy.kind === 'known' ? policy.keys.trusted.map(keyType) : [];
  const done = shown.map(keyType);
  const left = KINDS.filter(({ type }) => !done.includes(type));
  const first = left.filter(({ type }) => known.includes(type));
  const rest = left.filter(({ type }) => !known.includes(type));
  return [...first, ...rest].flatMap(({ algorithms }) => algorithms);
}

/** As `ssh-keygen -lf` prints it. */
export function fingerprintOf(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;
}

/** The first field of a public key in SSH's wire format (RFC 4253, section 6.6). */
export function keyType(key: Buffer): string {
  return key.length < 4 ? '' : key.toString('latin1', 4, Math.min(4 + key.readUInt32BE(0), key.length));
}

/**
 * @param shown the keys that the server has shown, at least one
 */
export function hostKeyError(
  verdict: Exclude<HostKeyVerdict, 'trusted'>,
  hop: SshHop,
  shown: readonly Buffer[],
  policy: HostKeyPolicy,
): SluiceError {
  const found = shown.map((key) => `${fingerprintOf(key)} (${keyType(key)})`).join(', ');
  const server = hopName(hop);
  const [first] = shown;
  const fingerprint = first === undefined ? '' : fingerprintOf(first);
  switch (verdict) {
    case 'unknown': {
      const line =
        first === undefined ? '' : `${knownName(hop.host, hop.port)} ${keyType(first)} ${first.toString('base64')}`;
      return new SluiceError({
        code: 'TUNNEL_HOST_KEY_UNKNOWN',
        message:
          policy.kind === 'known'
            ? `the SSH host ${server} shows the key ${found}, and ${policy.file} has none for it`
            : `the SSH host ${server} shows the key ${found}, and ${hop.option} says of no key that it is the right one`,
        hint:
          policy.kind === 'known'
            ? `compare it with what \`ssh-keygen -lf\` prints on that machine, then add to ${policy.file}: ${line}`
            : `compare it with what \`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub\` prints on that machine, then add to ${hop.option}: host_key: ${fingerprint}`,
      });
    }
    case 'changed': {
      const expected =
        policy.kind === 'pinned'
          ? `${hop.option}.host_key is ${policy.fingerprint}`
          : policy.kind === 'known'
            ? `${policy.file} has ${policy.keys.trusted.map((key) => `${fingerprintOf(key)} (${keyType(key)})`).join(', ')}`
            : 'another one is expected';
      return new SluiceError({
        code: 'TUNNEL_HOST_KEY_CHANGED',
        message: `the SSH host ${server} shows the key ${found}, but ${expected}`,
        hint: `somebody may listen in, or the machine was set up anew: ask whoever runs it; only then ${
          policy.kind === 'known' ? `replace its line in ${policy.file}` : `set host_key: ${fingerprint}`
        }`,
      });
    }
    case 'revoked':
      return new SluiceError({
        code: 'TUNNEL_HOST_KEY_CHANGED',
        message: `the SSH host ${server} shows the key ${found}, which is marked @revoked${policy.kind === 'known' ? ` in ${policy.file}` : ''}`,
        hint: 'the key was given up, so whoever holds it now is not trusted; ask whoever runs the machine',
      });
  }
}
