import { readFile } from 'node:fs/promises';
import { isErrorCode } from '../error/codes.js';
import type { PlainError } from '../error/sluice-error.js';
import { replaceFile } from '../state/replace-file.js';
import type { LagLevel, LagPast, LagPoint } from './wal-lag.js';

/**
 * What the guard last judged of each slot, in a small file beside the state: `sluice status` tells growth and level of a
 * daemon that runs elsewhere, and syncs started by cron alarm once and not each time. Nothing depends on it: a file that
 * is missing, damaged or of another version counts as empty, and of two writers at once one may lose its look.
 */
export interface LagMemory {
  read(): Promise<Readonly<Record<string, RememberedLag>>>;
  write(source: string, remembered: RememberedLag): Promise<void>;
}

export interface RememberedLag {
  readonly slot: { readonly name: string; readonly created_lsn: string };
  readonly past: LagPast;
  /** Why the slot or the publication could not be dropped the last time; null when it was not tried, or was. */
  readonly dropError: PlainError | null;
}

const FORMAT_VERSION = 1;

/** @param newTag a fresh one for each temporary file (owner-tag.ts) */
export function openLagMemory(statePath: string, newTag: () => string): LagMemory {
  const path = `${statePath}.lag`;
  let queue: Promise<void> = Promise.resolve();
  const read = async (): Promise<Record<string, RememberedLag>> => {
    try {
      return remembered(JSON.parse(await readFile(path, 'utf8')));
    } catch {
      return {};
    }
  };
  return {
    read,
    write: (source, lag) => {
      const written = queue.then(async () => {
        const sources = { ...(await read()), [source]: lag };
        await replaceFile(path, `${JSON.stringify({ format_version: FORMAT_VERSION, sources })}\n`, newTag());
      });
      queue = written.catch(() => undefined);
      return written;
    },
  };
}

function remembered(raw: unknown): Record<string, RememberedLag> {
  if (field(raw, 'format_version') !== FORMAT_VERSION) return {};
  const sources = field(raw, 'sources');
  if (typeof sources !== 'object' || sources === null) return {};
  return Object.fromEntries(
    Object.entries(sources).flatMap(([name, value]: [string, unknown]) => {
      const lag = rememberedLag(value);
      return lag === null ? [] : [[name, lag] as const];
    }),
  );
}

function rememberedLag(raw: unknown): RememberedLag | null {
  const slot = field(raw, 'slot');
  const past = field(raw, 'past');
  const name = field(slot, 'name');
  const created = field(slot, 'created_lsn');
  const level = LEVELS.find((known) => known === field(past, 'level'));
  const since = field(past, 'since');
  const window = field(past, 'window');
  if (typeof name !== 'string' || typeof created !== 'string' || level === undefined) return null;
  if (typeof since !== 'string' || !Array.isArray(window)) return null;
  return {
    slot: { name, created_lsn: created },
    past: { level, since, window: window.flatMap((point: unknown) => pointOf(point) ?? []) },
    dropError: errorOf(field(raw, 'dropError')),
  };
}

const LEVELS: readonly LagLevel[] = ['ok', 'warning', 'critical'];

function pointOf(raw: unknown): LagPoint | null {
  const at = field(raw, 'at');
  const retainedBytes = field(raw, 'retainedBytes');
  return typeof at === 'string' && typeof retainedBytes === 'number' ? { at, retainedBytes } : null;
}

function errorOf(raw: unknown): PlainError | null {
  const code = field(raw, 'code');
  const message = field(raw, 'message');
  const hint = field(raw, 'hint');
  if (typeof code !== 'string' || typeof message !== 'string' || !isErrorCode(code)) return null;
  return { code, message, ...(typeof hint === 'string' ? { hint } : {}) };
}

function field(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}
