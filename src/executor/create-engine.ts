import { randomUUID } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import type { SourceConfig } from '../config/config.js';
import type { SecretDeps } from '../config/secret.js';
import { entryOf, parseTableKey } from '../config/table-key.js';
import { NO_TRAFFIC, trafficSince } from '../destination/lake/traffic.js';
import { asSluiceError, type PlainError, SluiceError, toPlain } from '../error/sluice-error.js';
import { AlertSender } from '../guard/alert-sender.js';
import { lakeFails } from '../guard/checks/lake.js';
import { runDoctor } from '../guard/doctor.js';
import { LagGuard, type LagReport, STATEMENT_TIMEOUT_MS } from '../guard/lag-guard.js';
import { openLagMemory } from '../guard/lag-memory.js';
import { withPreflight } from '../guard/preflight.js';
import { lagFacts } from '../guard/wal-lag.js';
import type { Plan } from '../planner/change.js';
import { planChanges } from '../planner/plan.js';
import { setupSql } from '../source/setup-sql.js';
import { raiseGeneration } from '../state/edit.js';
import { writeBesideGuard } from '../state/halt.js';
import { holderOf, openStateLock } from '../state/lock.js';
import { ownerTag } from '../state/owner-tag.js';
import { systemProcesses } from '../state/process-table.js';
import type { SourceState, StateDocument } from '../state/state.js';
import { openStateFile } from '../state/state-file.js';
import { applyPlan } from './apply-plan.js';
import { Destinations, type OpenDestination } from './destinations.js';
import { emptyRun } from './empty-run.js';
import type { Engine, EngineDeps, EngineEvent, SourceRun, TableVerdict } from './engine.js';
import { Followers, followSource } from './follow-source.js';
import { lookAtLakes } from './look-at-lakes.js';
import { maintainDue, optimizeSources, vacuumSources } from './maintain.js';
import { observe } from './observe.js';
import { connectionOf, SourceConnections } from './source-connections.js';
import type { SyncSourceDeps } from './source-sync-run.js';
import { spillFolder } from './spill-store.js';
import { StateAccess } from './state-access.js';
import { sourceStatuses } from './status.js';
import { syncSource } from './sync-source.js';
import { notCompared, verifySource } from './verify-source.js';

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
  const secrets: SecretDeps = { env: host.env, homeDir: host.homeDir, readFile: (path) => readFile(path, 'utf8') };
  const connections = new SourceConnections(config, secrets);
  const destinations = new Destinations(config, secrets, (name, what) =>
    onEvent({ kind: 'waiting', address: name, what }),
  );
  const world = { connections, destinations };
  const upkeep = { config, destinations, clock, onEvent };
  const alerts = new AlertSender({
    config,
    clock,
    secrets,
    onFailure: (hook, { kind }, error) => onEvent({ kind: 'alert_failed', hook, alert: kind, error: toPlain(error) }),
  });
  const lagMemory = openLagMemory(config.state.path, () => ownerTag(holderOf(lockDeps)));
  const guard = new LagGuard({
    config,
    clock,
    host: host.name,
    stateFile,
    stateLock: lock,
    memory: lagMemory,
    connectionOf: (source, state) => connectionOf(config, source, state),
    connect: (name, signal) => connections.open(name, 'guard', signal, STATEMENT_TIMEOUT_MS),
    alert: (event) => alerts.send(event),
    onEvent,
  });

  /** A guard that cannot look keeps nobody from syncing, which is what frees the WAL. */
  const lookAtLag = async (source: string, state: SourceState, signal: AbortSignal): Promise<LagReport> => {
    try {
      return await guard.check(source, signal, true);
    } catch {
      signal.throwIfAborted();
      return { lag: null, halted: guard.haltOf(source, state) };
    }
  };

  // A sync comes round every few minutes, and what it notices of a server rarely changes.
  const noticed = new Set<string>();
  const onSyncEvent = (event: EngineEvent): void => {
    if (event.kind === 'notice') {
      const notice = `${event.address} ${event.message}`;
      if (noticed.has(notice)) return;
      noticed.add(notice);
    }
    onEvent(event);
  };

  const access = new StateAccess(lock, clock);
  const followers = new Followers();

  const makePlan = async (targets: readonly string[], signal: AbortSignal): Promise<Plan> => {
    const state = await stateFile.read();
    const observed = await observe(config, state, world, signal, { depth: 'plan', now: () => clock.now() });
    const input = { config, state, observed, now: clock.now().toISOString(), id: randomUUID(), targets };
    const lakes = await lookAtLakes(config, { secrets, clock }, 'plan', signal);
    return withPreflight(planChanges(input), { config, observed, lakes }, targets);
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
    onEvent: onSyncEvent,
    spillFolder: spillFolder(config.state.path, source),
  });

  const requestOf = (settings: SourceConfig, state: SourceState) => ({
    source: settings.name,
    connection: settings.connection,
    state,
    ownKeys: ownKeys(settings, state),
    heartbeat: settings.cdc.heartbeat,
    snapshot: settings.snapshot,
  });

  /** The guard may have pulled the slot from under a sync; then that is the reason, whatever the sync noticed of it. */
  const haltSince = async (
    source: string,
    state: SourceState,
    error: PlainError | null,
  ): Promise<PlainError | null> => {
    const after = await stateFile.read().catch(() => null);
    const since = guard.haltOf(source, after?.sources[source] ?? state);
    return since === null ? error : toPlain(since);
  };

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
        const before = await destinations.traffic();
        const synced = await Promise.all(
          chosen.map(async ({ source, only }): Promise<SourceRun> => {
            const sourceState = state.sources[source];
            const settings = config.sources[source];
            if (sourceState === undefined || settings === undefined) {
              return emptyRun(source, leftTheFile(source, config.file));
            }
            const startedMs = clock.monotonicMs();
            const { lag, halted } = await lookAtLag(source, sourceState, signal);
            const facts = lag === null ? null : lagFacts(lag);
            if (halted !== null) {
              return { ...emptyRun(source, toPlain(halted), clock.monotonicMs() - startedMs), lag: facts };
            }
            const force = request.force || request.untilCaughtUp;
            const followed = followers.has(source);
            // Its follower does what is due by itself before it streams; a load there must not hold up the others here.
            if (followed && !force && only === null && !followers.isStreaming(source)) return emptyRun(source, null);
            used.add(sourceState.destination);
            const claim = followers.claimOf(source, signal);
            try {
              const run = await destinations.using(sourceState.destination, (destination) =>
                syncSource(
                  {
                    ...requestOf(settings, sourceState),
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
              return { ...run, error: await haltSince(source, sourceState, run.error), lag: facts };
            } finally {
              claim.giveBack();
            }
          }),
        );
        await destinations.releaseAll();
        const traffic = [...(await destinations.traffic())]
          .filter(([destination]) => used.has(destination))
          .map(([destination, now]) => ({
            destination,
            ...trafficSince(before.get(destination) ?? NO_TRAFFIC, now),
          }));
        const unpublished = await publishCopies(used);
        const runs = synced.map((run): SourceRun => {
          const trouble = unpublished.get(state.sources[run.source]?.destination ?? '');
          return trouble === undefined || run.error !== null ? run : { ...run, error: trouble };
        });
        const ok = runs.every((run) => run.error === null && run.tables.every((table) => table.status === 'ok'));
        return { sources: runs, ...(traffic.length === 0 ? {} : { traffic }), ok };
      }),

    verify: (request, signal) =>
      access.sync(signal, async () => {
        const state = await applied();
        const tables: TableVerdict[] = [];
        // One after the other: each holds a copy of a whole table.
        for (const { source, only } of chosenSources(state, request)) {
          const sourceState = state.sources[source];
          const settings = config.sources[source];
          if (sourceState === undefined) continue;
          if (settings === undefined) {
            const error = leftTheFile(source, config.file);
            const left = Object.entries(sourceState.tables).filter(([key]) => only === null || key === only);
            tables.push(...left.map(([key, table]) => notCompared(`${source}:${key}`, table, error)));
            continue;
          }
          const { samplePercent, limit } = request;
          const seed = request.seed ?? randomUUID().slice(0, 8);
          const claim = followers.claimOf(source, signal);
          try {
            await claim.take();
            const verdicts = await destinations.using(sourceState.destination, (destination) =>
              verifySource(
                { ...requestOf(settings, sourceState), only, samplePercent, seed, limit },
                { ...syncDeps(source, destination), claim: claim.take },
                signal,
              ),
            );
            tables.push(...verdicts);
          } finally {
            claim.giveBack();
          }
        }
        await destinations.releaseAll();
        return { tables, ok: tables.every((table) => table.status === 'equal') };
      }),

    follow: (source, signal) =>
      followSource(
        {
          source,
          config,
          access,
          followers,
          destinations,
          clock,
          applied,
          requestOf,
          syncDeps,
          publishCopies,
          lookAtLag,
          haltSince,
        },
        signal,
      ),

    status: async (signal) => {
      const state = await stateFile.read();
      const held = await lock.status();
      return {
        state: state === null ? null : { lineage: state.lineage, serial: state.serial },
        sources: await sourceStatuses(config, state, { ...world, clock, lagMemory }, signal),
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
        await writeBesideGuard(stateFile, next, state);
        return tables.map(({ source, key }) => `${source}:${key}`);
      }),

    optimize: (request, signal) =>
      access.sync(signal, async () => {
        const state = await applied();
        return optimizeSources(state, chosenSources(state, request), upkeep, signal);
      }),

    vacuum: (request, signal) =>
      access.sync(signal, async () => {
        const state = await applied();
        return vacuumSources(state, chosenSources(state, request), request.dryRun, upkeep, signal);
      }),

    maintain: async ({ until }, signal) => {
      if (Object.values(config.destinations).every(({ type }) => type === 'duckdb')) return null;
      return access.sync(signal, async () => {
        const state = await stateFile.read();
        return state === null ? until : maintainDue(state, until, upkeep, signal);
      });
    },

    doctor: async (signal) => {
      const look = { depth: 'doctor' as const, now: () => clock.now() };
      const lakes = await lookAtLakes(config, { secrets, clock }, 'doctor', signal);
      const troubles = new Map<string, PlainError>();
      const observed = await observe(config, await stateFile.read(), world, signal, look, (name, error) => {
        // A lake that cannot be reached has been told of.
        if (!lakes.some((seen) => seen.destination === name && lakeFails(seen))) troubles.set(name, error);
      });
      return runDoctor({ config, observed, lakes, destinationTroubles: troubles });
    },

    setupSql: async (source, signal) => {
      const settings = config.sources[source];
      if (settings === undefined) throw unknownAddress(source, Object.keys(config.sources));
      const plan = await observe(config, await stateFile.read(), world, signal);
      return setupSql(config, settings, plan.sources[source]);
    },

    query: async (destination, sql) => {
      // The only one that needs DuckDB in this thread; the others leave it to the writer's.
      const { queryDestination } = await import('./query.js');
      return queryDestination(config, secrets, destination, sql);
    },

    guard: ({ everyMs }, signal) => guard.watch(everyMs, signal),

    halts: async () => {
      const sources = Object.entries((await stateFile.read())?.sources ?? {});
      return new Map(
        sources.flatMap(([name, source]) => {
          const halted = guard.haltOf(name, source);
          return halted === null ? [] : [[name, toPlain(halted)] as const];
        }),
      );
    },

    alertErrored: (source, error) =>
      guard.tell({
        kind: 'source_errored',
        source,
        slot: null,
        message: `source "${source}" has stopped: ${error.message}`,
        hint: error.hint ?? null,
        error,
        lag: null,
      }),

    close: async () => {
      await alerts.close();
      await guard.close();
      await destinations.close();
    },
  };
}

/** A source that was applied and then taken out of the file waits for its removal to be applied; the others go on. */
function leftTheFile(source: string, file: string): PlainError {
  return {
    code: 'ADDRESS_UNKNOWN',
    address: source,
    message: `source "${source}" was applied but is no longer in ${file}`,
    hint: 'run: sluice apply (removes it)',
  };
}

function chosenSources(
  state: StateDocument,
  request: { readonly address: string | null },
): { source: string; only: string | null }[] {
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

function ownKeys(settings: SourceConfig, state: SourceState): ReadonlySet<string> {
  return new Set(
    Object.keys(state.tables).filter((key) => {
      const parsed = parseTableKey(key);
      const exact = parsed.ok ? parsed.key.exact : null;
      return exact !== null && (entryOf(settings, exact.schema, exact.name)?.table.primaryKey ?? null) !== null;
    }),
  );
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
