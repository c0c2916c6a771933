import type { Config } from '../config/config.js';
import type { DestinationFacts, StreamFacts } from '../destination/facts.js';
import { asSluiceError, type PlainError, toPlain } from '../error/sluice-error.js';
import { readinessNeeds } from '../guard/subject.js';
import type { Observed } from '../planner/observed.js';
import { readCatalog } from '../source/catalog.js';
import { type ReadinessRequest, readReadiness } from '../source/readiness.js';
import { readServer } from '../source/server.js';
import type { StateDocument } from '../state/state.js';
import type { Destinations } from './destinations.js';
import { connectionOf, type SourceConnections } from './source-connections.js';
import { checkStream } from './stream-check.js';

/** What the guard wants to know beside the catalogs. */
export type GuardLook = Pick<ReadinessRequest, 'depth' | 'now'>;

/** A destination that only sources have which left the file is not waited for. */
const LEFT_WAIT_MS = 1_000;

/**
 * Looks at every source and destination that config and state name. A source that cannot be reached becomes a member
 * with its error.
 * @param look absent: the catalogs are enough
 * @param onTrouble takes what keeps a destination from being read, which then counts as empty; absent: it is thrown, save
 *   of one that only sources have which left the file: their removal looks at it when it gets there
 */
export async function observe(
  config: Config,
  state: StateDocument | null,
  deps: { readonly connections: SourceConnections; readonly destinations: Destinations },
  signal: AbortSignal,
  look: GuardLook | null = null,
  onTrouble: ((destination: string, error: PlainError) => void) | null = null,
): Promise<Observed> {
  const wanted = new Set([...Object.keys(config.sources), ...Object.keys(state?.sources ?? {})]);
  const sources = await Promise.all(
    [...wanted].flatMap((name) => {
      const connection = connectionOf(config, name, state?.sources[name]);
      if (connection === null) return [];
      return [
        observeSource(config, name, connection, deps.connections, signal, look).then(
          (observed) => [name, observed] as const,
        ),
      ];
    }),
  );
  const needed = new Set(Object.values(config.sources).map((source) => source.destination));
  const names = new Set(needed);
  for (const source of Object.values(state?.sources ?? {})) {
    if (config.destinations[source.destination] !== undefined) names.add(source.destination);
  }
  const destinations: Record<string, DestinationFacts> = {};
  for (const name of names) {
    try {
      const destination = await deps.destinations.get(name);
      destinations[name] = await destination.writer.readFacts(
        needed.has(name) ? undefined : { busyWaitMs: LEFT_WAIT_MS },
      );
      await deps.destinations.release(name);
    } catch (error) {
      if (onTrouble === null && needed.has(name)) throw error;
      signal.throwIfAborted();
      onTrouble?.(name, toPlain(asSluiceError(error)));
    }
  }
  const checked = await Promise.all(
    sources.map(async ([name, observed]): Promise<[string, Observed['sources'][string]]> => {
      const destination = config.sources[name]?.destination ?? state?.sources[name]?.destination ?? '';
      const stream = destinations[destination]?.streams.find((s) => s.source === name) ?? null;
      const connection = connectionOf(config, name, state?.sources[name]);
      if (!observed.ok || connection === null) return [name, observed];
      return [name, await observeStream(observed, stream, connection, deps.connections, signal)];
    }),
  );
  return { sources: Object.fromEntries(checked), destinations };
}

async function observeStream(
  seen: Extract<Observed['sources'][string], { ok: true }>,
  stream: StreamFacts | null,
  connection: string,
  connections: SourceConnections,
  signal: AbortSignal,
): Promise<Observed['sources'][string]> {
  try {
    const target = await connections.target(connection);
    const again = () => connections.with(connection, 'plan', signal, (db) => readServer(db, signal));
    const { server, history } = await checkStream(seen.source.server, stream, { target, again }, signal);
    return { ...seen, source: { ...seen.source, server }, timelineHistory: history };
  } catch (error) {
    signal.throwIfAborted();
    return { ok: false, error: toPlain(asSluiceError(error)) };
  }
}

async function observeSource(
  config: Config,
  name: string,
  connection: string,
  connections: SourceConnections,
  signal: AbortSignal,
  look: GuardLook | null,
): Promise<Observed['sources'][string]> {
  try {
    return await connections.with(connection, 'plan', signal, async (db) => {
      const source = await readCatalog(db, { schema: null }, signal);
      const settings = config.sources[name];
      if (look === null || settings === undefined) return { ok: true, source };
      const openAnother = (within: AbortSignal) => connections.open(connection, 'plan', within);
      const request = { ...look, ...readinessNeeds(settings, source), openAnother };
      return { ok: true, source, readiness: await readReadiness(db, request, signal) };
    });
  } catch (error) {
    signal.throwIfAborted();
    return { ok: false, error: toPlain(asSluiceError(error)) };
  }
}
