import type { Config, SourceConfig } from '../config/config.js';
import { asSluiceError, toPlain } from '../error/sluice-error.js';
import type { DestinationFacts } from '../destination/facts.js';
import type { Observed } from '../planner/observed.js';
import { readCatalog } from '../source/catalog.js';
import type { StateDocument } from '../state/state.js';
import type { Destinations } from './destinations.js';
import type { SourceConnections } from './source-connections.js';

/** Looks at every source and destination that config and state name. A source that cannot be reached becomes a member with its error. */
export async function observe(
  config: Config,
  state: StateDocument | null,
  deps: { readonly connections: SourceConnections; readonly destinations: Destinations },
  signal: AbortSignal,
): Promise<Observed> {
  const sources = await Promise.all(
    Object.values(config.sources).map(async (source) => [source.name, await observeSource(source, deps.connections, signal)] as const),
  );
  const names = new Set(Object.values(config.sources).map((source) => source.destination));
  for (const source of Object.values(state?.sources ?? {})) {
    if (config.destinations[source.destination] !== undefined) names.add(source.destination);
  }
  const destinations: Record<string, DestinationFacts> = {};
  for (const name of names) {
    const destination = await deps.destinations.get(name);
    destinations[name] = await destination.writer.readFacts();
    await destination.writer.release();
  }
  return { sources: Object.fromEntries(sources), destinations };
}

async function observeSource(
  source: SourceConfig,
  connections: SourceConnections,
  signal: AbortSignal,
): Promise<Observed['sources'][string]> {
  try {
    const observed = await connections.with(source.connection, 'plan', signal, (connection) =>
      readCatalog(connection, { schema: null }, signal),
    );
    return { ok: true, source: observed };
  } catch (error) {
    signal.throwIfAborted();
    return { ok: false, error: toPlain(asSluiceError(error)) };
  }
}
