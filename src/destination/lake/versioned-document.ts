import { SluiceError } from '../../error/sluice-error.js';

/** JSON documents of a lake that carry a `format_version`, 1 for now: ledgers and manifests. */

export interface DocumentKind<Document> {
  readonly code: 'LEDGER_UNREADABLE' | 'PARQUET_MANIFEST_CORRUPT';
  readonly hint: string;
  readonly is: (value: unknown) => value is Document;
}

/**
 * @param place for messages: where the document is
 * @throws SluiceError with the kind's code, for what is no such document, or one of a newer Sluice
 */
export function decodeDocument<Document>(body: Uint8Array, place: string, kind: DocumentKind<Document>): Document {
  const refuse = (why: string, cause?: unknown): SluiceError =>
    new SluiceError({ code: kind.code, message: `${place}: ${why}`, hint: kind.hint, cause });
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch (cause) {
    throw refuse('not the JSON that Sluice writes', cause);
  }
  if (isRecord(value) && typeof value['format_version'] === 'number' && value['format_version'] > 1) {
    throw refuse(`format ${value['format_version']} was written by a newer Sluice`);
  }
  if (!kind.is(value)) throw refuse('not the JSON that Sluice writes');
  return value;
}

export function isListOf(value: unknown, test: (entry: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(test);
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
