import type { Config, SourceConfig } from '../config/config.js';
import { localStatePath } from '../config/read-state.js';
import { entryOf, parseTableKey } from '../config/table-key.js';
import { type PlainError, SluiceError, toPlain } from '../error/sluice-error.js';
import type { LagGuard, LagReport } from '../guard/lag-guard.js';
import type { SourceState, StateDocument } from '../state/state.js';
import type { StateStore } from '../state/state-store.js';
import type { Destinations, OpenDestination } from './destinations.js';
import type { Clock, EngineEvent, SourceRun } from './engine.js';
import type { Followers } from './follow-source.js';
import { newsOnly } from './news-only.js';
import { settlePlace } from './place-check.js';
import { publishCopies } from './publish-copies.js';
import type { SourceConnections } from './source-connections.js';
import type { SyncSourceDeps, SyncSourceRequest } from './source-sync-run.js';
import { spillFolder } from './spill-store.js';
import type { TableHolds, Verdicts } from './table-holds.js';

export interface SourceWorkDeps {
  readonly config: Config;
  readonly clock: Clock;
  readonly stateFile: StateStore;
  readonly connections: SourceConnections;
  readonly destinations: Destinations;
  readonly guard: LagGuard;
  readonly followers: Followers;
  readonly holds: TableHolds;
  readonly onEvent: (event: EngineEvent) => void;
}

/** What a sync, a comparison and a follower of a source have in common. */
export class SourceWork {
  readonly config: Config;
  readonly clock: Clock;
  readonly destinations: Destinations;
  readonly followers: Followers;
  readonly onEvent: (event: EngineEvent) => void;
  readonly #deps: SourceWorkDeps;

  constructor(deps: SourceWorkDeps) {
    this.#deps = deps;
    this.config = deps.config;
    this.clock = deps.clock;
    this.destinations = deps.destinations;
    this.followers = deps.followers;
    this.onEvent = deps.onEvent;
  }

  /** The state. @throws SluiceError ADDRESS_UNKNOWN before the first apply */
  async applied(): Promise<StateDocument> {
    const state = await this.#deps.stateFile.read();
    if (state !== null) return state;
    throw new SluiceError({
      code: 'ADDRESS_UNKNOWN',
      message: 'nothing has been applied yet, so there is nothing to sync',
      hint: 'run: sluice apply',
    });
  }

  requestOf(
    settings: SourceConfig,
    state: SourceState,
  ): Pick<
    SyncSourceRequest,
    'source' | 'connection' | 'state' | 'ownKeys' | 'heartbeat' | 'snapshot' | 'parallelTables'
  > {
    return {
      source: settings.name,
      connection: settings.connection,
      state,
      ownKeys: ownKeys(settings, state),
      heartbeat: settings.cdc.heartbeat,
      snapshot: settings.snapshot,
      parallelTables: settings.parallelTables,
    };
  }

  syncDeps(source: string, destination: OpenDestination): Omit<SyncSourceDeps, 'claim'> {
    const { config, clock, connections, stateFile, onEvent } = this.#deps;
    // A sync may come across the same thing in several places.
    const isNews = newsOnly();
    return {
      connections,
      destination,
      clock,
      onEvent: (event) => {
        if (isNews(event)) onEvent(event);
      },
      spillFolder: spillFolder(localStatePath(config.state), source),
      settle: () => settlePlace(source, config.destinations[destination.name], destination, stateFile),
    };
  }

  /** The guard's look at the slot before it is read. One that cannot look keeps nobody from syncing, which frees the WAL. */
  async lookAtLag(source: string, state: SourceState, signal: AbortSignal): Promise<LagReport> {
    const { guard } = this.#deps;
    try {
      return await guard.check(source, signal, true);
    } catch {
      signal.throwIfAborted();
      return { lag: null, halted: guard.haltOf(source, state) };
    }
  }

  /** The guard may have pulled the slot from under a sync; then that is the reason, whatever the sync noticed of it. */
  async haltSince(source: string, state: SourceState, error: PlainError | null): Promise<PlainError | null> {
    const after = await this.#deps.stateFile.read().catch(() => null);
    const since = this.#deps.guard.haltOf(source, after?.sources[source] ?? state);
    return since === null ? error : toPlain(since);
  }

  /** Tables that failed and are left alone for now. */
  heldTables(source: string, state: SourceState): Verdicts {
    return this.#deps.holds.verdicts(source, state, this.clock.now());
  }

  /** Tells what a run came to. */
  noteEnd(run: SourceRun, state: SourceState): void {
    this.#deps.holds.note(run, state, this.clock.now());
    this.onEvent({ kind: 'source_ended', run, at: this.clock.now().toISOString() });
  }

  /** @returns by destination: why its copy could not be published */
  publishCopies(names: ReadonlySet<string>): Promise<ReadonlyMap<string, PlainError>> {
    return publishCopies(names, this.#deps);
  }

  /** A source that was applied and then taken out of the file waits for its removal to be applied; the others go on. */
  leftTheFile(source: string): PlainError {
    return {
      code: 'ADDRESS_UNKNOWN',
      address: source,
      message: `source "${source}" was applied but is no longer in ${this.config.file}`,
      hint: 'run: sluice apply (removes it)',
    };
  }
}

function ownKeys(settings: SourceConfig, state: SourceState): ReadonlySet<string> {
  return new Set(
    Object.keys(state.tables).filter((key) => {
      const parsed = parseTableKey(key);
      const exact = parsed.ok ? parsed.key.exact : null;
      return exact !== null && (entryOf(settings, exact.schema, exact.name)?.table.primaryKey ?? null) !== null;
    }),
  );
}
