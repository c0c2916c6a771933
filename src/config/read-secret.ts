import type { SecretReference } from './config.js';
import type { ConfigPath } from './problem.js';
import type { Reading } from './reading.js';
import type { Pruned } from './schema.js';
import type { Secret } from './schema-types.js';

/** A secret as a reference; null where there is none. Warns of one that stands in the file as plain text. */
export function readSecret(
  raw: Pruned<Secret> | undefined,
  path: ConfigPath,
  reading: Reading,
): SecretReference | null {
  if (raw === undefined) return null;
  if (typeof raw === 'string') {
    if (reading.isWritten(path)) {
      reading.warning(
        path,
        `a secret stands here as plain text; use { env: NAME }, { file: PATH } or \${NAME} instead`,
      );
    }
    return { kind: 'inline', value: raw };
  }
  if (raw.env !== undefined) return { kind: 'env', name: raw.env };
  if (raw.file !== undefined) return { kind: 'file', path: reading.absolutePath(raw.file) };
  if (raw.credential !== undefined) return { kind: 'credential', name: raw.credential };
  return null;
}
