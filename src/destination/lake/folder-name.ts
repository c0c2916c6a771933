import { SluiceError } from '../../error/sluice-error.js';

/**
 * Names of schemas and tables as folder names. Some readers fail on a path that holds anything but unreserved ASCII, and
 * Spark takes a folder that begins with `_` or `.` for hidden; so `A-Za-z0-9._` stay as they are and everything else is
 * escaped with `-`, which no ordinary table name holds:
 * - `--` is a hyphen;
 * - `-xx`, two lower-case hex digits, is one byte of the name's UTF-8;
 * - a leading `_` or `.` and a trailing `.` (which Windows drops) are escaped as bytes;
 * - `-` alone is the empty name.
 * Two names share a folder only where the file system does not tell case apart and they differ in the case of ASCII
 * letters alone; the config refuses two such tables in one destination already (TARGET_CLASH).
 */

const STAYS = /^[A-Za-z0-9._]$/;
const HEX_BYTE = /^[0-9a-f]{2}$/;

/** @throws SluiceError INTERNAL for text that is not Unicode (a lone surrogate): Postgres has no such name */
export function folderName(text: string): string {
  if (text === '') return '-';
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.toString('utf8') !== text) {
    throw new SluiceError({ code: 'INTERNAL', message: `not a name: ${JSON.stringify(text)} is no Unicode text` });
  }
  let name = '';
  bytes.forEach((byte, i) => {
    const character = String.fromCharCode(byte);
    const hidden =
      (i === 0 && (character === '_' || character === '.')) || (i === bytes.length - 1 && character === '.');
    if (character === '-') name += '--';
    else if (STAYS.test(character) && !hidden) name += character;
    else name += `-${byte.toString(16).padStart(2, '0')}`;
  });
  return name;
}

/** The name that a folder stands for, null where {@link folderName} makes no such folder. */
export function nameOfFolder(folder: string): string | null {
  if (folder === '-') return '';
  const bytes: number[] = [];
  for (let i = 0; i < folder.length; ) {
    const character = folder.charAt(i);
    if (character !== '-') {
      if (!STAYS.test(character)) return null;
      bytes.push(character.charCodeAt(0));
      i += 1;
    } else if (folder.charAt(i + 1) === '-') {
      bytes.push(0x2d);
      i += 2;
    } else {
      const hex = folder.slice(i + 1, i + 3);
      if (!HEX_BYTE.test(hex)) return null;
      bytes.push(Number.parseInt(hex, 16));
      i += 3;
    }
  }
  const text = Buffer.from(bytes).toString('utf8');
  // Only the one spelling that folderName would choose: an escape where none is needed is somebody else's folder.
  return Buffer.from(text, 'utf8').equals(Buffer.from(bytes)) && folder !== '' && folderName(text) === folder
    ? text
    : null;
}
