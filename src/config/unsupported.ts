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
  for (const [name, source] of entriesOf(raw.sources)) {
    const destination = raw.destinations?.[source.destination ?? ''];
    // Elsewhere it is a mistake, which is told by itself.
    const isLake = destination?.type === 's3' || destination?.type === 'local';
    const isDelta = isLake && destination.format !== 'parquet';
    for (const [key, table] of entriesOf(source.tables)) {
      if (!isDelta || table?.partition_by === undefined) continue;
      refuse(
        ['sources', name, 'tables', key, 'partition_by'],
        'tables in partitions; leave it out: files are chosen by the statistics of their columns',
        'key',
      );
    }
  }
  if (raw.daemon?.http !== undefined) {
    refuse(['daemon', 'http'], 'the HTTP endpoints; leave "http" out and use `sluice status`', 'key');
  }
  return issues;
}
