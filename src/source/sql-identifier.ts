import { SluiceError } from '../error/sluice-error.js';

/** NAMEDATALEN - 1: Postgres cuts longer names off without an error, so two of them could become one. */
const NAME_MAX_BYTES = 63;

/**
 * A name as an SQL identifier, always quoted: `a"b` becomes `"a""b"`.
 * @throws SluiceError INTERNAL for a name that no Postgres object can have
 */
export function quoteIdentifier(name: string): string {
  if (name === '' || name.includes('\0') || Buffer.byteLength(name) > NAME_MAX_BYTES) {
    throw new SluiceError({ code: 'INTERNAL', message: `not a Postgres name: ${JSON.stringify(name)}` });
  }
  return `"${name.replaceAll('"', '""')}"`;
}

/** `"schema"."name"` */
export function quoteQualified(object: { readonly schema: string; readonly name: string }): string {
  return `${quoteIdentifier(object.schema)}.${quoteIdentifier(object.name)}`;
}

/**
 * A text as an SQL string literal. Text with a backslash is written in the E'' form, which means the same whatever
 * standard_conforming_strings says.
 * @throws SluiceError INTERNAL for text with a zero byte, which Postgres cannot hold
 */
export function quoteLiteral(text: string): string {
  if (text.includes('\0'))
    throw new SluiceError({ code: 'INTERNAL', message: 'a zero byte cannot be part of SQL text' });
  const quoted = `'${text.replaceAll("'", "''").replaceAll('\\', '\\\\')}'`;
  return text.includes('\\') ? `E${quoted}` : quoted;
}
