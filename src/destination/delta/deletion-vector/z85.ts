/** The 85 characters in the order of their values (ZeroMQ RFC 32). */
const ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#';

/** Value of an ASCII code, -1 where it is none of the alphabet. */
const VALUES = new Int8Array(128).fill(-1);
for (let value = 0; value < ALPHABET.length; value++) VALUES[ALPHABET.charCodeAt(value)] = value;

/**
 * Z85, the Base85 of ZeroMQ RFC 32 (https://rfc.zeromq.org/spec/32/): each four bytes, read big-endian, become five
 * characters. Bytes that are no multiple of four are padded with zeros, as Delta's writers do; who reads them must know
 * their length.
 */
export function encodeZ85(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += 4) {
    let block = 0;
    for (let i = 0; i < 4; i++) block = block * 256 + (bytes[at + i] ?? 0);
    let group = '';
    for (let i = 0; i < 5; i++) {
      group = ALPHABET.charAt(block % 85) + group;
      block = Math.floor(block / 85);
    }
    text += group;
  }
  return text;
}

/** @returns null where the text is not Z85: another length than a multiple of five, a foreign character, a group over 2^32 */
export function decodeZ85(text: string): Uint8Array | null {
  if (text.length % 5 !== 0) return null;
  const bytes = new Uint8Array((text.length / 5) * 4);
  const view = new DataView(bytes.buffer);
  for (let at = 0, to = 0; at < text.length; at += 5, to += 4) {
    let block = 0;
    for (let i = 0; i < 5; i++) {
      const value = VALUES[text.charCodeAt(at + i)] ?? -1;
      if (value < 0) return null;
      block = block * 85 + value;
    }
    if (block > 0xffff_ffff) return null;
    view.setUint32(to, block);
  }
  return bytes;
}
