import type { Config } from './config.js';

/** Keys of a {@link Config} that hold the path of a file with certificates or keys. */
const FILE_KEYS = new Set(['caFile', 'certFile', 'keyFile', 'knownHosts']);

/** Absolute paths of the files that a config names beside itself: secrets, certificates, known hosts. */
export interface NamedFiles {
  /** Read for each new connection to a database or an alert's hook. */
  readonly ofConnections: readonly string[];
  /** Read once, when a store in S3 is opened: their change needs another engine. */
  readonly ofStores: readonly string[];
}

export function namedFiles(config: Config): NamedFiles {
  return {
    ofConnections: filesIn([config.connections, config.alerts]),
    ofStores: filesIn([config.destinations, config.state]),
  };
}

/** References stand in several places of a config, and nothing else in it has their form. */
function filesIn(part: unknown): string[] {
  const files = new Set<string>();
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    const reference: { kind?: unknown; path?: unknown } = value;
    if (reference.kind === 'file' && typeof reference.path === 'string') files.add(reference.path);
    for (const [key, inner] of Object.entries(value)) {
      if (FILE_KEYS.has(key) && typeof inner === 'string') files.add(inner);
      else visit(inner);
    }
  };
  visit(part);
  return [...files].sort();
}
