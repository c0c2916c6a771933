import type { MaintenanceRecord } from '../maintenance.js';
import { sourceName } from './ledger.js';
import type { ObjectStore } from './object-store.js';

/** What maintenance found and did last: a small object beside the ledgers, for people and for the next process. */

const RECORDS = '_sluice/maintenance/';

/** @returns null where none was written, or a newer Sluice wrote it in a way of its own: it only tells, nothing rests on it */
export async function readRecord(store: ObjectStore, source: string): Promise<MaintenanceRecord | null> {
  const stored = await store.get(recordKey(source));
  if (stored === null) return null;
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(stored.body));
    return isStored(value) ? value.record : null;
  } catch {
    return null;
  }
}

export async function writeRecord(store: ObjectStore, source: string, record: MaintenanceRecord): Promise<void> {
  const text = `${JSON.stringify({ format_version: 1, record } satisfies Stored)}\n`;
  await store.put(recordKey(source), new TextEncoder().encode(text), null);
}

interface Stored {
  readonly format_version: 1;
  readonly record: MaintenanceRecord;
}

function recordKey(source: string): string {
  return `${RECORDS}${sourceName(source)}.json`;
}

function isStored(value: unknown): value is Stored {
  if (!isRecord(value) || value['format_version'] !== 1) return false;
  const { record } = value;
  if (!isRecord(record)) return false;
  const { at, vacuumedAt, tables } = record;
  if (typeof at !== 'string' || !(vacuumedAt === null || typeof vacuumedAt === 'string')) return false;
  return Array.isArray(tables) && tables.every(isTable);
}

function isTable(value: unknown): boolean {
  if (!isRecord(value) || typeof value['schema'] !== 'string' || typeof value['name'] !== 'string') return false;
  return ['files', 'bytes', 'smallFiles', 'deletedRows'].every((name) => typeof value[name] === 'number');
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
