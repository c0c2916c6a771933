import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIP } from 'node:net';

/** Certificates for tests, made here so that neither openssl nor a key in the repository is needed. PEM texts. */
export interface Authority {
  readonly cert: string;
  issue(subject: Subject): { readonly cert: string; readonly key: string };
}

export interface Subject {
  readonly commonName: string;
  /** Host names and IP addresses. */
  readonly names?: readonly string[];
  /** Default: from yesterday until tomorrow. */
  readonly validFrom?: Date;
  readonly validTo?: Date;
}

const DAY_MS = 86_400_000;

/** @see RFC 5280 (profile), X.690 (DER) */
export function makeAuthority(commonName = 'Sluice test CA'): Authority {
  const pair = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const issuer = { name: distinguishedName(commonName), key: pair.privateKey, publicKey: pair.publicKey };
  const basicConstraints = extension('551d13', true, sequence(Buffer.from('0101ff', 'hex')));
  return {
    cert: certificate(issuer, { commonName }, pair.publicKey, [basicConstraints, keyIdentifier(pair.publicKey)]),
    issue: (subject) => {
      const own = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
      const extensions = subject.names === undefined ? [] : [alternativeNames(subject.names)];
      return {
        cert: certificate(issuer, subject, own.publicKey, extensions),
        key: own.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      };
    },
  };
}

function certificate(
  issuer: { readonly name: Buffer; readonly key: KeyObject },
  subject: Subject,
  publicKey: KeyObject,
  extensions: readonly Buffer[],
): string {
  const algorithm = sequence(objectId('2a8648ce3d040302')); // ecdsa-with-SHA256
  const now = Date.now();
  const body = sequence(
    tagged(0xa0, Buffer.from('020102', 'hex')), // version 3
    tagged(0x02, Buffer.concat([Buffer.of(1), randomBytes(15)])),
    algorithm,
    issuer.name,
    sequence(time(subject.validFrom ?? new Date(now - DAY_MS)), time(subject.validTo ?? new Date(now + DAY_MS))),
    distinguishedName(subject.commonName),
    publicKey.export({ type: 'spki', format: 'der' }),
    ...(extensions.length === 0 ? [] : [tagged(0xa3, sequence(...extensions))]),
  );
  const signature = sign('sha256', body, issuer.key);
  const der = sequence(body, algorithm, tagged(0x03, Buffer.concat([Buffer.of(0), signature])));
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}

function tagged(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...size), content]);
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return tagged(0x30, Buffer.concat(parts));
}

function objectId(hex: string): Buffer {
  return tagged(0x06, Buffer.from(hex, 'hex'));
}

function distinguishedName(commonName: string): Buffer {
  return sequence(tagged(0x31, sequence(objectId('550403'), tagged(0x0c, Buffer.from(commonName)))));
}

/** GeneralizedTime, e.g. 20250131235959Z */
function time(date: Date): Buffer {
  return tagged(0x18, Buffer.from(`${date.toISOString().replaceAll(/[-:T]|\.\d+Z/g, '')}Z`));
}

function extension(idHex: string, critical: boolean, value: Buffer): Buffer {
  return sequence(objectId(idHex), ...(critical ? [Buffer.from('0101ff', 'hex')] : []), tagged(0x04, value));
}

function keyIdentifier(publicKey: KeyObject): Buffer {
  const digest = createHash('sha1')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest();
  return extension('551d0e', false, tagged(0x04, digest));
}

function alternativeNames(names: readonly string[]): Buffer {
  const entries = names.map((name) => {
    if (isIP(name) === 4) return tagged(0x87, Buffer.from(name.split('.').map(Number)));
    if (isIP(name) === 6) throw new Error('IPv6 addresses are not encoded here');
    return tagged(0x82, Buffer.from(name));
  });
  return extension('551d11', false, sequence(...entries));
}
