import { SluiceError } from '../../error/sluice-error.js';

/**
 * The names in a table's `_delta_log` folder (PROTOCOL.md, "File Types" and "Checkpoint Naming Scheme"): one function reads
 * them, and what the builders make is read back before it is used. Names are relative to `_delta_log/`.
 */
export type LogFile =
  | { readonly kind: 'commit'; readonly version: number }
  | { readonly kind: 'classic_checkpoint'; readonly version: number }
  /** Part `part`, from 1, of `parts`. */
  | { readonly kind: 'checkpoint_part'; readonly version: number; readonly part: number; readonly parts: number }
  | {
      readonly kind: 'v2_checkpoint';
      readonly version: number;
      readonly uuid: string;
      readonly format: 'json' | 'parquet';
    }
  | { readonly kind: 'sidecar'; readonly file: string }
  | { readonly kind: 'last_checkpoint' }
  /** The commits from `version` to `toVersion` in one. */
  | { readonly kind: 'compacted'; readonly version: number; readonly toVersion: number }
  | { readonly kind: 'crc'; readonly version: number }
  /** Not ours to judge: staged commits, temporary files, what a later protocol brings, and names of a wrong width. */
  | { readonly kind: 'unknown' };

export const LOG_FOLDER = '_delta_log';
const VERSION_WIDTH = 20;
const PART_WIDTH = 10;
const UNKNOWN: LogFile = { kind: 'unknown' };
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** @param name relative to `_delta_log/` */
export function readLogName(name: string): LogFile {
  if (name === '_last_checkpoint') return { kind: 'last_checkpoint' };
  const sidecar = /^_sidecars\/([^/]+\.parquet)$/.exec(name)?.[1];
  if (sidecar !== undefined) return { kind: 'sidecar', file: sidecar };
  const [head = '', ...rest] = name.split('.');
  const version = paddedNumber(head, VERSION_WIDTH);
  if (version === null) return UNKNOWN;
  const [first = '', second = '', third = '', fourth = ''] = rest;
  switch (rest.length) {
    case 1:
      if (first === 'json') return { kind: 'commit', version };
      return first === 'crc' ? { kind: 'crc', version } : UNKNOWN;
    case 2:
      return first === 'checkpoint' && second === 'parquet' ? { kind: 'classic_checkpoint', version } : UNKNOWN;
    case 3: {
      if (first === 'checkpoint' && UUID.test(second) && (third === 'json' || third === 'parquet')) {
        return { kind: 'v2_checkpoint', version, uuid: second, format: third };
      }
      const toVersion = paddedNumber(first, VERSION_WIDTH);
      if (second !== 'compacted' || third !== 'json' || toVersion === null || toVersion <= version) return UNKNOWN;
      return { kind: 'compacted', version, toVersion };
    }
    case 4: {
      const part = paddedNumber(second, PART_WIDTH);
      const parts = paddedNumber(third, PART_WIDTH);
      if (first !== 'checkpoint' || fourth !== 'parquet' || part === null || parts === null) return UNKNOWN;
      return part >= 1 && part <= parts ? { kind: 'checkpoint_part', version, part, parts } : UNKNOWN;
    }
    default:
      return UNKNOWN;
  }
}

/** The key of a table's log folder, with the slash behind it. */
export function logPrefix(table: string): string {
  return `${table}/${LOG_FOLDER}/`;
}

/** The name that every file of the version begins with: all of them sort behind it, those of earlier versions before it. */
export function versionName(version: number): string {
  if (!Number.isSafeInteger(version) || version < 0) {
    throw new SluiceError({ code: 'INTERNAL', message: `not a version of a Delta table: ${version}` });
  }
  return String(version).padStart(VERSION_WIDTH, '0');
}

export function commitName(version: number): string {
  return checked(`${versionName(version)}.json`, 'commit');
}

export function classicCheckpointName(version: number): string {
  return checked(`${versionName(version)}.checkpoint.parquet`, 'classic_checkpoint');
}

export const LAST_CHECKPOINT_NAME = checked('_last_checkpoint', 'last_checkpoint');

export function sidecarName(file: string): string {
  return checked(`_sidecars/${file}`, 'sidecar');
}

function checked(name: string, kind: LogFile['kind']): string {
  if (readLogName(name).kind !== kind) {
    throw new SluiceError({ code: 'INTERNAL', message: `"${name}" is not the name of a Delta ${kind}` });
  }
  return name;
}

/** A number of exactly that many digits that JavaScript holds exactly, otherwise null. */
function paddedNumber(text: string, width: number): number | null {
  if (text.length !== width || !/^[0-9]+$/.test(text)) return null;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : null;
}
