import { createHash } from 'node:crypto';
import type { Config } from './config.js';
import { portablePath } from './path.js';
import { formatTableKey } from './table-key.js';

/** Stands for every secret that the config holds itself. */
const SECRET_MARKER = '<secret>';
/** Says nothing that `path` does not say. */
const WRITTEN_PATH = 'writtenPath';
const PATH_KEYS = new Set(['path', 'socket', 'workPath', 'localPath', 'caFile', 'certFile', 'keyFile', 'knownHosts']);

/**
 * A sha256 (hex) that is the same for two files that mean the same: order of keys, spelling of durations and the folder
 * that the file lies in make no difference, nor does the value of a secret.
 * @param baseDir folder of the config file
 */
export function hashConfig(config: Omit<Config, 'file' | 'hash'>, baseDir: string): string {
  const sources = Object.values(config.sources).map((source) => ({
    ...source,
    tables: Object.fromEntries(
      source.tables.map(({ key, schema, name, table }) => [
        schema === null || name === null ? key : formatTableKey(schema, name),
        table,
      ]),
    ),
  }));
  const meaning = {
    ...redactConfig(config),
    sources: Object.fromEntries(sources.map((source) => [source.name, source])),
  };
  return createHash('sha256')
    .update(JSON.stringify(canonical(meaning, baseDir)))
    .digest('hex');
}

/** The config with inline secrets replaced, to be logged or printed. */
export function redactConfig<T>(config: T): T {
  return JSON.parse(JSON.stringify(config), (_key, value: unknown) =>
    isInlineSecret(value) ? { ...value, value: SECRET_MARKER } : value,
  );
}

function isInlineSecret(value: unknown): value is { readonly kind: 'inline'; readonly value: string } {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'inline' && 'value' in value;
}

/** Keys in order, paths as seen from the file. */
function canonical(value: unknown, baseDir: string): unknown {
  if (Array.isArray(value)) return value.map((item) => canonical(item, baseDir));
  if (typeof value !== 'object' || value === null) return value;
  const meant = Object.entries(value).filter(([key]) => key !== WRITTEN_PATH);
  const entries = meant.map(([key, inner]): [string, unknown] => [
    key,
    PATH_KEYS.has(key) && typeof inner === 'string' ? portablePath(inner, baseDir) : canonical(inner, baseDir),
  ]);
  // As pairs: an object would bring keys that look like numbers forward and lose "__proto__".
  return entries.sort(([a], [b]) => (a < b ? -1 : 1));
}
