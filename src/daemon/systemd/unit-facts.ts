import path from 'node:path';
import type { Config, DestinationConfig } from '../../config/config.js';
import type { UnitFacts } from './unit.js';

/** What a unit has to say of a config: its secrets, and the folders that the daemon writes to. */
export function factsOfConfig(config: Config): Pick<UnitFacts, 'credentials' | 'variables' | 'writable'> {
  const { credentials, variables } = secretsOf(config);
  const folders = [
    ...(config.state.type === 'file' ? [path.dirname(config.state.path)] : []),
    path.dirname(config.daemon.socket),
    ...Object.values(config.destinations).flatMap(foldersOf),
  ];
  return { credentials, variables, writable: [...new Set(folders)].sort() };
}

function foldersOf(destination: DestinationConfig): string[] {
  switch (destination.type) {
    case 'duckdb': {
      const { path: file, publish } = destination;
      return [path.dirname(file), ...(publish === null ? [] : [path.dirname(publish.path)])];
    }
    case 's3':
      return [destination.workPath];
    case 'local':
      return [destination.path, destination.workPath];
  }
}

/** References to secrets stand in several places of a config, and nothing else in it has their form. */
function secretsOf(config: Config): { credentials: string[]; variables: string[] } {
  const credentials = new Set<string>();
  const variables = new Set<string>();
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    const { kind, name } = value as { kind?: unknown; name?: unknown };
    if (kind === 'credential' && typeof name === 'string') credentials.add(name);
    if (kind === 'env' && typeof name === 'string') variables.add(name);
    for (const inner of Object.values(value)) visit(inner);
  };
  visit([config.connections, config.destinations, config.alerts]);
  return { credentials: [...credentials].sort(), variables: [...variables].sort() };
}
