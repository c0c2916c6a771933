import type { Config } from '../config/config.js';
import type { DestinationFacts, StreamFacts } from '../destination/facts.js';
import { asSluiceError, toPlain } from '../error/sluice-error.js';
import type { Observed } from '../planner/observed.js';
import { readCatalog } from '../source/catalog.js';
import type { ObservedSource } from '../source/catalog-model.js';
import { readServer } from '../source/server.js';
import type { StateDocument } from '../state/state.js';
import type { Destinations } from './destinations.js';
import { connectionOf, type SourceConnections } from './source-connections.js';
import { checkStream } from './stream-check.js';

/** Looks at every source and destination that config and state name. A source that cannot be reached becomes a member with its error. */
export async function observe(
  config: Config,
  state: StateDocument | null,
  deps: { readonly connections: SourceConnections; readonly destinations: Destinations },
  signal: AbortSignal,
): Promise<Observed> {
  const wanted = new Set([...Object.keys(config.sources), ...Object.keys(state?.sources ?? {})]);
  const sources = await Promise.all(
    [...wanted].flatMap((name) => {
      const connection = connectionOf(config, name, state?.sources[name]);
      if (connection === null) return [];
      return [observeSource(connection, deps.connections, signal).then((observed) => [name, observed] as const)];
    }),
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
  const checked = await Promise.all(
    sources.map(async ([name, observed]): Promise<[string, Observed['sources'][string]]> => {
      const destination = config.sources[name]?.destination ?? state?.sources[name]?.destination ?? '';
      const stream = destinations[destination]?.streams.find((s) => s.source === name) ?? null;
      const connection = connectionOf(config, name, state?.sources[name]);
      if (!observed.ok || connection === null) return [name, observed];
      return [name, await observeStream(observed.source, stream, connection, deps.connections, signal)];
    }),
  );
  return { sources: Object.fromEntries(checked), destinations };
}

async function observeStream(
  source: ObservedSource,
  stream: StreamFacts | null,
  connection: string,
  connections: SourceConnections,
  signal: AbortSignal,
): Promise<Observed['sources'][string]> {
  try {
    const target = await connections.target(connection);
    const again = () => connections.with(connection, 'plan', signal, (db) => readServer(db, signal));
    const { server, history } = await checkStream(source.server, stream, { target, again }, signal);
    return { ok: true, source: { ...source, server }, timelineHistory: history };
  } catch (error) {
    signal.throwIfAborted();
    return { ok: false, error: toPlain(asSluiceError(error)) };
  }
}

async function observeSource(
  connection: string,
  connections: SourceConnections,
  signal: AbortSignal,
): Promise<Observed['sources'][string]> {
  try {
    const observed = await connections.with(connection, 'plan', signal, (db) =>
      readCatalog(db, { schema: null }, signal),
    );
    return { ok: true, source: observed };
  } catch (error) {
    signal.throwIfAborted();
    return { ok: false, error: toPlain(asSluiceError(error)) };
  }
}
