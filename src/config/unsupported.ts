import type { ConfigPath, Issue } from './problem.js';
import { entriesOf } from './reading.js';
import type { Pruned } from './schema.js';
import type { SourcesFile } from './schema-types.js';

/** What the schema knows and this version does not do yet; each message says what to use meanwhile. */
export function unsupported(raw: Pruned<SourcesFile>): Issue[] {
  const issues: Issue[] = [];
  const refuse = (path: ConfigPath, message: string, at: 'key' | 'value' = 'value'): void => {
    issues.push({
      level: 'error',
      code: 'NOT_SUPPORTED_YET',
      path,
      at,
      message: `not supported yet: ${message}`,
    });
  };
  if (raw.state?.type !== undefined && raw.state.type !== 'file') {
    refuse(
      ['state', 'type'],
      `state in ${raw.state.type === 's3' ? 'S3' : 'Postgres'}; use { type: file, path: .sluice/state.json }`,
    );
  }
  for (const [name, connection] of entriesOf(raw.connections)) {
    if (connection.tunnel !== undefined) {
      refuse(
        ['connections', name, 'tunnel'],
        'SSH tunnels; open one with ssh -L and give its local host and port',
        'key',
      );
    }
  }
  if (raw.daemon?.http !== undefined) {
    refuse(['daemon', 'http'], 'the HTTP endpoints; leave "http" out and use `sluice status`', 'key');
  }
  return issues;
}
