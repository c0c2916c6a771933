import { randomUUID } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { asSluiceError, type PlainError, SluiceError, toPlain } from '../error/sluice-error.js';
import { runDoctor } from '../guard/doctor.js';
import type { Plan } from '../planner/change.js';
import { planChanges } from '../planner/plan.js';
import { setupSql } from '../source/setup-sql.js';
import { raiseGeneration } from '../state/edit.js';
import { openStateLock } from '../state/lock.js';
import { systemProcesses } from '../state/process-table.js';
import type { StateDocument } from '../state/state.js';
import { openStateFile } from '../state/state-file.js';
import { applyPlan } from './apply-plan.js';
import { Destinations, type OpenDestination } from './destinations.js';
import type { Engine, EngineDeps, SourceRun, SyncRequest } from './engine.js';
import { Followers, followSource } from './follow-source.js';
import { observe } from './observe.js';
import { SourceConnections } from './source-connections.js';
import type { SyncSourceDeps } from './source-sync-run.js';
import { spillFolder } from './spill-store.js';
import { StateAccess } from './state-access.js';
import { sourceStatuses } from './status.js';
import { syncSource } from './sync-source.js';

/** The engine of one config file. Nothing is opened before it is needed. */
export function createEngine(deps: EngineDeps): Engine {
  const { config, clock, host, onEvent } = deps;
  const lockDeps = {
    host: host.name,
    pid: host.pid,
    command: host.command,
    clock,
    processes: systemProcesses,
    newToken: () => randomUUID(),
  };
  const stateFile = openStateFile(config.state.path, lockDeps);
  const lock = openStateLock(config.state.path, lockDeps);
  const connections = new SourceConnections(config, {
    env: host.env,
    homeDir: host.homeDir,
    readFile: (path) => readFile(path, 'utf8'),
  });
  const destinations = new Destinations(config, (name, what) => onEvent({ kind: 'waiting', address: name, what }));
  const world = { connections, destinations };
  const access = new StateAccess(lock, clock);
  const followers = new Followers();

  const makePlan = async (targets: readonly string[], signal: AbortSignal): Promise<Plan> => {
    const state = await stateFile.read();
    const observed = await observe(config, state, world, signal);
    return planChanges({ config, state, observed, now: clock.now().toISOString(), id: randomUUID(), targets });
  };

  const applied = async (): Promise<StateDocument> => {
    const state = await stateFile.read();
    if (state !== null) return state;
    throw new SluiceError({
      code: 'ADDRESS_UNKNOWN',
      message: 'nothing has been applied yet, so there is nothing to sync',
      hint: 'run: sluice apply',
    });
  };

  /** By destination: why its copy could not be published. What was synced stands all the same. */
  const publishCopies = async (names: ReadonlySet<string>): Promise<ReadonlyMap<string, PlainError>> => {
    const troubles = new Map<string, PlainError>();
    for (const name of names) {
      const settings = config.destinations[name];
      if (settings?.type !== 'duckdb' || settings.publish === null) continue;
      const published = await stat(settings.publish.path).catch(() => null);
      const age = published === null ? Number.POSITIVE_INFINITY : clock.now().getTime() - published.mtimeMs;
      if (age < settings.publish.everyMs) continue;
      try {
        const { path } = settings.publish;
        await destinations.whenIdle(name, ({ writer }) => writer.publish(path));
      } catch (error) {
        troubles.set(name, toPlain(asSluiceError(error)));
      }
    }
    return troubles;
  };

  const syncDeps = (source: string, destination: OpenDestination): Omit<SyncSourceDeps, 'claim'> => ({
    connections,
    destination,
    clock,
    onEvent,
    spillFolder: spillFolder(config.state.path, source),
  });

  return {
    config,

    plan: ({ targets }, signal) => makePlan(targets, signal),

    apply: (plan, signal) =>
      access.change(signal, async () => {
        const results = await applyPlan(plan, { config, stateFile, ...world, clock, onEvent }, signal);
        await destinations.releaseAll();
        return results;
      }),

    sync: (request, signal) =>
      access.sync(signal, async () => {
        const state = await applied();
        const chosen = chosenSources(state, request);
        const used = new Set<string>();
        const synced = await Promise.all(
          chosen.map(async ({ source, only }): Promise<SourceRun> => {
            const sourceState = state.sources[source];
            const settings = config.sources[source];
            if (sourceState === undefined || settings === undefined) {
              return leftTheFile(source, config.file);
            }
            const force = request.force || request.untilCaughtUp;
            const followed = followers.has(source);
            // Its follower does what is due by itself before it streams; a load there must not hold up the others here.
            if (followed && !force && only === null && !followers.isStreaming(source)) return nothingDue(source);
            used.add(sourceState.destination);
            const claim = followers.claimOf(source, signal);
            try {
              return await destinations.using(sourceState.destination, (destination) =>
                syncSource(
                  {
                    source,
                    connection: settings.connection,
                    state: sourceState,
                    only,
                    force,
                    untilCaughtUp: request.untilCaughtUp,
                    following: null,
                    followedElsewhere: followed,
                  },
                  { ...syncDeps(source, destination), claim: claim.take },
                  signal,
                ),
              );
            } finally {
              claim.giveBack();
            }
          }),
        );
        await destinations.releaseAll();
        const unpublished = await publishCopies(used);
        const runs = synced.map((run): SourceRun => {
          const trouble = unpublished.get(state.sources[run.source]?.destination ?? '');
          return trouble === undefined || run.error !== null ? run : { ...run, error: trouble };
        });
        const ok = runs.every((run) => run.error === null && run.tables.every((table) => table.status === 'ok'));
        return { sources: runs, ok };
      }),

    follow: (source, signal) =>
      followSource(
        { source, config, access, followers, destinations, clock, applied, syncDeps, publishCopies },
        signal,
      ),

    status: async (signal) => {
      const state = await stateFile.read();
      const held = await lock.status();
      return {
        state: state === null ? null : { lineage: state.lineage, serial: state.serial },
        sources: await sourceStatuses(config, state, world, signal),
        lock:
          held === null || held.dead
            ? null
            : { holder: `${held.holder.command} (pid ${held.holder.pid} on ${held.holder.host})`, sinceMs: held.ageMs },
      };
    },

    resync: (addresses, reason, signal) =>
      access.change(signal, async () => {
        const state = await applied();
        const tables = addresses.flatMap((address) => tablesAt(state, address));
        let next = state;
        for (const { source, key } of tables) next = raiseGeneration(next, source, key, reason);
        await stateFile.write(next, state);
        return tables.map(({ source, key }) => `${source}:${key}`);
      }),

    doctor: async (signal) =>
      runDoctor({ config, observed: await observe(config, await stateFile.read(), world, signal) }),

    setupSql: async (source, signal) => {
      const settings = config.sources[source];
      if (settings === undefined) throw unknownAddress(source, Object.keys(config.sources));
      const plan = await observe(config, await stateFile.read(), world, signal);
      return setupSql(config, settings, plan.sources[source]);
    },

    query: async (destination, sql) => {
      // The only one that needs DuckDB in this thread; the others leave it to the writer's.
      const { queryDestination } = await import('./query.js');
      return queryDestination(config, destination, sql);
    },

    close: () => destinations.close(),
  };
}

/** A source that was applied and then taken out of the file waits for its removal to be applied; the others go on. */
function leftTheFile(source: string, file: string): SourceRun {
  const error: PlainError = {
    code: 'ADDRESS_UNKNOWN',
    address: source,
    message: `source "${source}" was applied but is no longer in ${file}`,
    hint: 'run: sluice apply (removes it)',
  };
  return { source, transactions: 0, changes: 0, confirmedLsn: null, durationMs: 0, error, tables: [] };
}

function nothingDue(source: string): SourceRun {
  return { source, transactions: 0, changes: 0, confirmedLsn: null, durationMs: 0, error: null, tables: [] };
}

function chosenSources(state: StateDocument, request: SyncRequest): { source: string; only: string | null }[] {
  if (request.address === null) return Object.keys(state.sources).map((source) => ({ source, only: null }));
  const [source = '', key = null] = splitAddress(request.address);
  const known = state.sources[source];
  if (known === undefined) throw unknownAddress(request.address, Object.keys(state.sources));
  if (key !== null && known.tables[key] === undefined) {
    throw unknownAddress(
      request.address,
      Object.keys(known.tables).map((table) => `${source}:${table}`),
    );
  }
  return [{ source, only: key }];
}

function tablesAt(state: StateDocument, address: string): { source: string; key: string }[] {
  const [source = '', key = null] = splitAddress(address);
  const known = state.sources[source];
  if (known === undefined) throw unknownAddress(address, Object.keys(state.sources));
  if (key === null) return Object.keys(known.tables).map((table) => ({ source, key: table }));
  if (known.tables[key] === undefined) {
    throw unknownAddress(
      address,
      Object.keys(known.tables).map((table) => `${source}:${table}`),
    );
  }
  return [{ source, key }];
}

function splitAddress(address: string): [string, string | null] {
  const at = address.indexOf(':');
  return at === -1 ? [address, null] : [address.slice(0, at), address.slice(at + 1)];
}

function unknownAddress(address: string, known: readonly string[]): SluiceError {
  return new SluiceError({
    code: 'ADDRESS_UNKNOWN',
    message: `no such address: "${address}"`,
    hint:
      known.length === 0 ? 'nothing has been applied yet: run sluice apply' : `known: ${known.slice(0, 20).join(', ')}`,
  });
}
