import { createPrivateKey, type KeyObject } from 'node:crypto';
import ssh2, { type ParsedKey } from 'ssh2';
import { SluiceError } from '../../error/sluice-error.js';
import { hopName, type SshHop } from './target.js';

/**
 * Reads a private key: OpenSSH's format, PEM of RSA and EC keys (PKCS #1, SEC 1), PKCS #8.
 * @throws SluiceError TUNNEL_KEY_UNUSABLE where the passphrase is missing or wrong, or the text is no such key
 */
export function readPrivateKey(text: string, passphrase: string | null, hop: SshHop): ParsedKey {
  // A key from a variable or a secret store may have lost the newline at its end, or have Windows' ones.
  const pem = `${text.trim().replaceAll('\r\n', '\n')}\n`;
  const encrypted = isEncrypted(pem);
  if (encrypted && passphrase === null) {
    throw unusable(hop, 'is locked by a passphrase, and there is none', `add: passphrase: { env: NAME_OF_A_VARIABLE }`);
  }
  const key = isPkcs8(pem) ? parsePkcs8(pem, passphrase) : parse(pem, encrypted ? passphrase : null);
  if (key !== null) return key;
  throw encrypted
    ? unusable(
        hop,
        'cannot be unlocked: the passphrase is wrong, or the file is damaged',
        `check ${hop.option}.passphrase; \`ssh-keygen -yf FILE\` tries it`,
      )
    : unusable(
        hop,
        'is no private key that can be read',
        'give a key in the format of OpenSSH or PEM (ed25519, ecdsa or rsa), the whole file from -----BEGIN to END-----; not the .pub file',
      );
}

function unusable(hop: SshHop, what: string, hint: string): SluiceError {
  return new SluiceError({
    code: 'TUNNEL_KEY_UNUSABLE',
    message: `the private key for ${hopName(hop)} (${hop.option}.private_key) ${what}`,
    hint,
  });
}

/** Null for any failure: ssh2 tells them apart by words only. */
function parse(pem: string, passphrase: string | null): ParsedKey | null {
  const parsed = ssh2.utils.parseKey(pem, passphrase ?? undefined);
  const key: unknown = Array.isArray(parsed) ? parsed[0] : parsed;
  if (key === undefined || key instanceof Error || parsed instanceof Error) return null;
  const [one] = [parsed].flat();
  return one?.isPrivateKey() === true ? one : null;
}

function isPkcs8(pem: string): boolean {
  return /^-----BEGIN (?:ENCRYPTED )?PRIVATE KEY-----/.test(pem);
}

const OPENSSH = /^-----BEGIN OPENSSH PRIVATE KEY-----([\s\S]*)-----END OPENSSH PRIVATE KEY-----/;
const OPENSSH_MAGIC = 'openssh-key-v1\0';

function isEncrypted(pem: string): boolean {
  const body = OPENSSH.exec(pem)?.[1];
  // A PKCS #8 key says so in its first line, older PEM in a header.
  if (body === undefined) return /^-----BEGIN ENCRYPTED|^Proc-Type: 4,ENCRYPTED/m.test(pem);
  const bytes = Buffer.from(body, 'base64');
  const at = OPENSSH_MAGIC.length;
  if (bytes.length < at + 4 || bytes.toString('latin1', 0, at) !== OPENSSH_MAGIC) return false;
  return bytes.toString('latin1', at + 4, at + 4 + bytes.readUInt32BE(at)) !== 'none';
}

/** ssh2 does not read PKCS #8, so it is given the same key in a format that it does. */
function parsePkcs8(pem: string, passphrase: string | null): ParsedKey | null {
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: pem, format: 'pem', ...(passphrase === null ? {} : { passphrase }) });
  } catch {
    return null;
  }
  switch (key.asymmetricKeyType) {
    case 'rsa':
      return parse(key.export({ type: 'pkcs1', format: 'pem' }).toString(), null);
    case 'ec':
      return parse(key.export({ type: 'sec1', format: 'pem' }).toString(), null);
    case 'ed25519':
      return parse(opensshEd25519(key), null);
    default:
      return null;
  }
}

/** @see OpenSSH's PROTOCOL.key */
function opensshEd25519(key: KeyObject): string {
  const { d, x } = key.export({ format: 'jwk' });
  const seed = Buffer.from(d ?? '', 'base64url');
  const point = Buffer.from(x ?? '', 'base64url');
  const text = (bytes: Buffer | string): Buffer => {
    const content = Buffer.from(bytes);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(content.length);
    return Buffer.concat([length, content]);
  };
  const one = Buffer.from([0, 0, 0, 1]);
  const type = text('ssh-ed25519');
  // Two equal numbers tell whoever decrypts that it worked; nothing is encrypted here.
  const check = Buffer.alloc(8);
  const secret = Buffer.concat([check, type, text(point), text(Buffer.concat([seed, point])), text('')]);
  const padding = Buffer.from(Array.from({ length: (8 - (secret.length % 8)) % 8 }, (_, index) => index + 1));
  const body = Buffer.concat([
    Buffer.from(OPENSSH_MAGIC),
    text('none'),
    text('none'),
    text(''),
    one,
    text(Buffer.concat([type, text(point)])),
    text(Buffer.concat([secret, padding])),
  ]);
  const lines = body.toString('base64').match(/.{1,70}/g) ?? [];
  return ['-----BEGIN OPENSSH PRIVATE KEY-----', ...lines, '-----END OPENSSH PRIVATE KEY-----', ''].join('\n');
}
