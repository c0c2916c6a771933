import { randomUUID } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import type { SourceConfig } from '../config/config.js';
import { localStatePath } from '../config/read-state.js';
import type { SecretDeps } from '../config/secret.js';
import { entryOf, parseTableKey } from '../config/table-key.js';
import type { StoreTraffic } from '../destination/lake/object-store.js';
import { addTraffic, NO_TRAFFIC } from '../destination/lake/traffic.js';
import { asSluiceError, type PlainError, SluiceError, toPlain } from '../error/sluice-error.js';
import { AlertSender } from '../guard/alert-sender.js';
import { lakeFails } from '../guard/checks/lake.js';
import { runDoctor } from '../guard/doctor.js';
import { LagGuard, type LagReport, STATEMENT_TIMEOUT_MS } from '../guard/lag-guard.js';
import { openLagMemory } from '../guard/lag-memory.js';
import { withPreflight } from '../guard/preflight.js';
import { lagFacts } from '../guard/wal-lag.js';
import type { Plan } from '../planner/change.js';
import { planChanges, planDrift } from '../planner/plan.js';
import { planFromState } from '../planner/plan-unobserved.js';
import { setupSql } from '../source/setup-sql.js';
import { closeIdleTunnels } from '../source/tunnel/shared-tunnels.js';
import { raiseGeneration, withUnfilledPlace } from '../state/edit.js';
import { writeBesideGuard } from '../state/halt.js';
import { holderOf } from '../state/lock.js';
import { ownerTag } from '../state/owner-tag.js';
import { pauseOf } from '../state/pause.js';
import { systemProcesses } from '../state/process-table.js';
import type { SourceState, StateDocument } from '../state/state.js';
import { applyPlan } from './apply-plan.js';
import { cleanUp } from './clean-up.js';
import { Destinations, type OpenDestination } from './destinations.js';
import { discoverTables } from './discover.js';
import { emptyRun } from './empty-run.js';
import type {
  DestinationTraffic,
  Engine,
  EngineDeps,
  SourceRun,
  SyncRequest,
  TableVerdict,
  VerifyRequest,
} from './engine.js';
import { Followers, followSource } from './follow-source.js';
import { keepClean } from './keep-clean.js';
import { lookAtLakes } from './look-at-lakes.js';
import { maintainDue, optimizeSources, vacuumSources } from './maintain.js';
import { newsOnly } from './news-only.js';
import { observe } from './observe.js';
import { openState } from './open-state.js';
import { pauseAt, resumeAt } from './pause.js';
import { placeTrouble, settlePlace } from './place-check.js';
import { queriesOf } from './queries.js';
import { settleAll } from './settle.js';
import { connectionOf, SourceConnections } from './source-connections.js';
import type { SyncSourceDeps } from './source-sync-run.js';
import { spillFolder } from './spill-store.js';
import { StateAccess } from './state-access.js';
import { openStateDesk } from './state-desk.js';
import { sourceStatuses } from './status.js';
import { syncSource } from './sync-source.js';
import { NO_VERDICTS, TableHolds } from './table-holds.js';
import { notCompared, verifySource } from './verify-source.js';
import { TrafficSum } from './writer-calls.js';

/** Upkeep looks again for a first apply after this. */
const NOTHING_APPLIED_MS = 60_000;

/** What a source's part in a sync came to, and what it asked of its destination's store. */
interface SyncedSource {
  readonly run: SourceRun;
  readonly destination: string | null;
  readonly traffic: StoreTraffic | null;
}

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
  const secrets: SecretDeps = { env: host.env, homeDir: host.homeDir, readFile: (path) => readFile(path, 'utf8') };
  const openedState = openState(config, { lock: lockDeps, secrets });
  const { store: stateFile, lock } = openedState;
  const connections = new SourceConnections(config, secrets);
  const destinations = new Destinations(config, { secrets, clock }, (name, what) =>
    onEvent({ kind: 'waiting', address: name, what }),
  );
  const world = { connections, destinations };
  const alerts = new AlertSender({
    config,
    clock,
    secrets,
    onFailure: (hook, { kind }, error) => onEvent({ kind: 'alert_failed', hook, alert: kind, error: toPlain(error) }),
  });
  const lagMemory = openLagMemory(localStatePath(config.state), () => ownerTag(holderOf(lockDeps)));
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

  /** A sync may come across the same thing in several places. */
  const onSyncEvent = (): EngineDeps['onEvent'] => {
    const isNews = newsOnly();
    return (event) => {
      if (isNews(event)) onEvent(event);
    };
  };

  const access = new StateAccess(lock, clock);
  const upkeep = { config, access, destinations, clock, onEvent };
  const followers = new Followers();
  const holds = new TableHolds();

  const makePlan = async (targets: readonly string[], driftOnly: boolean, signal: AbortSignal): Promise<Plan> => {
    const state = await stateFile.read();
    const observed = await observe(config, state, world, signal, { depth: 'plan', now: () => clock.now() });
    const input = { config, state, observed, now: clock.now().toISOString(), id: randomUUID(), targets };
    if (driftOnly) return planDrift(input);
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
    onEvent: onSyncEvent(),
    spillFolder: spillFolder(localStatePath(config.state), source),
    settle: () => settlePlace(source, config.destinations[destination.name], destination, stateFile),
  });

  const requestOf = (settings: SourceConfig, state: SourceState) => ({
    source: settings.name,
    connection: settings.connection,
    state,
    ownKeys: ownKeys(settings, state),
    heartbeat: settings.cdc.heartbeat,
    snapshot: settings.snapshot,
    parallelTables: settings.parallelTables,
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

  const noteEnd = (run: SourceRun, state: SourceState): void => {
    holds.note(run, state, clock.now());
    onEvent({ kind: 'source_ended', run, at: clock.now().toISOString() });
  };

  /** A source that is synced alone: the caller has its turn. */
  const syncOne = async (
    source: string,
    only: string | null,
    request: SyncRequest,
    signal: AbortSignal,
  ): Promise<SyncedSource> => {
    // Read in the turn: what was waited for may have changed it.
    const state = await applied();
    const sourceState = state.sources[source];
    const settings = config.sources[source];
    const withoutWork = (run: SourceRun): SyncedSource => ({ run, destination: null, traffic: null });
    if (sourceState === undefined || settings === undefined) {
      return withoutWork(emptyRun(source, leftTheFile(source, config.file)));
    }
    const notHere = sourceState.paused === null ? await placeTrouble(config, state, source) : null;
    if (notHere !== null) return withoutWork(emptyRun(source, toPlain(notHere)));
    const startedMs = clock.monotonicMs();
    const { lag, halted } = await lookAtLag(source, sourceState, signal);
    const facts = lag === null ? null : lagFacts(lag);
    if (halted !== null) {
      return withoutWork({ ...emptyRun(source, toPlain(halted), clock.monotonicMs() - startedMs), lag: facts });
    }
    if (sourceState.paused !== null) {
      const message = `paused since ${sourceState.paused.at}: sluice resume ${source}`;
      onEvent({ kind: 'notice', address: source, message });
      return withoutWork({ ...emptyRun(source, null), lag: facts });
    }
    const force = request.force || request.untilCaughtUp;
    const followed = followers.has(source);
    // Its follower does what is due by itself before it streams.
    if (followed && !force && only === null && !followers.isStreaming(source)) {
      return withoutWork(emptyRun(source, null));
    }
    const { destination: name } = sourceState;
    const traffic = new TrafficSum();
    const claim = followers.claimOf(source, signal);
    try {
      const run = await destinations.using(
        name,
        (destination) =>
          syncSource(
            {
              ...requestOf(settings, sourceState),
              only,
              force,
              untilCaughtUp: request.untilCaughtUp,
              following: null,
              followedElsewhere: followed,
              held: force || only !== null ? NO_VERDICTS : holds.verdicts(source, sourceState, clock.now()),
            },
            { ...syncDeps(source, destination), claim: claim.take },
            signal,
          ),
        traffic,
      );
      const ended = { ...run, error: await haltSince(source, sourceState, run.error), lag: facts };
      noteEnd(ended, sourceState);
      await destinations.release(name);
      const unpublished = (await publishCopies(new Set([name]))).get(name) ?? null;
      return { run: { ...ended, error: ended.error ?? unpublished }, destination: name, traffic: traffic.total };
    } finally {
      claim.giveBack();
    }
  };

  /** A source that is compared alone: the caller has its turn. */
  const verifyOne = async (
    source: string,
    only: string | null,
    request: VerifyRequest,
    signal: AbortSignal,
  ): Promise<readonly TableVerdict[]> => {
    const state = await applied();
    const sourceState = state.sources[source];
    const settings = config.sources[source];
    if (sourceState === undefined) return [];
    // A comparison streams on, and what is paused stands still.
    const paused = pauseOf(source, sourceState, null);
    if (paused !== null && request.address !== null) throw paused;
    if (paused !== null) return [];
    const notHere = await placeTrouble(config, state, source);
    if (settings === undefined || notHere !== null) {
      const error = notHere === null ? leftTheFile(source, config.file) : toPlain(notHere);
      const left = Object.entries(sourceState.tables).filter(([key]) => only === null || key === only);
      return left.map(([key, table]) => notCompared(`${source}:${key}`, table, error));
    }
    const { samplePercent, limit } = request;
    const seed = request.seed ?? randomUUID().slice(0, 8);
    const claim = followers.claimOf(source, signal);
    try {
      await claim.take();
      return await destinations.using(sourceState.destination, (destination) =>
        verifySource(
          { ...requestOf(settings, sourceState), only, samplePercent, seed, limit },
          { ...syncDeps(source, destination), claim: claim.take },
          signal,
        ),
      );
    } finally {
      claim.giveBack();
      await destinations.release(sourceState.destination);
    }
  };

  return {
    config,
    state: openStateDesk({
      opened: openedState,
      access,
      clock,
      openOther: (other) => openState(other, { lock: lockDeps, secrets }),
    }),

    plan: async ({ targets, refresh, driftOnly }, signal) => {
      if (refresh !== false) return makePlan(targets, driftOnly === true, signal);
      const made = { now: clock.now().toISOString(), id: randomUUID() };
      return planFromState({ config, state: await stateFile.read(), name: null, targets, ...made });
    },

    apply: (plan, signal) =>
      access.changeSources(sourcesOfPlan(plan), signal, async (signal) => {
        const results = await applyPlan(plan, { config, stateFile, ...world, clock, onEvent }, signal);
        await destinations.releaseAll();
        return results;
      }),

    sync: (request, signal) =>
      access.sync(signal, async (signal) => {
        const state = await applied();
        const chosen = chosenSources(state, request);
        refusePaused(state, chosen, request.address);
        const runs = await settleAll(
          chosen.map(({ source, only }) => access.inTurn(source, signal, () => syncOne(source, only, request, signal))),
        );
        const traffic = trafficOf(runs);
        const sources = runs.map(({ run }) => run);
        const ok = sources.every((run) => run.error === null && run.tables.every((table) => table.status === 'ok'));
        return { sources, ...(traffic.length === 0 ? {} : { traffic }), ok };
      }),

    verify: (request, signal) =>
      access.sync(signal, async (signal) => {
        const tables: TableVerdict[] = [];
        // One after the other: each holds a copy of a whole table.
        for (const { source, only } of chosenSources(await applied(), request)) {
          const verdicts = await access.inTurn(source, signal, () => verifyOne(source, only, request, signal));
          tables.push(...verdicts);
        }
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
          heldTables: (state) => holds.verdicts(source, state, clock.now()),
          noteEnd,
        },
        signal,
      ),

    heldTables: (source) => holds.of(source),

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
      access.changeSources(addresses.map(sourceOfAddress), signal, async (signal) => {
        const state = await applied();
        const tables = addresses.flatMap((address) => tablesAt(state, address));
        let next = state;
        for (const source of new Set(addresses.map(sourceOfAddress))) {
          const notHere = await placeTrouble(config, state, source);
          // All of a source is loaded anew: what is lost is given up.
          const whole = addresses.includes(source) && notHere?.code === 'DESTINATION_ABSENT';
          if (notHere !== null && !whole) throw notHere;
          if (whole) next = withUnfilledPlace(next, source);
        }
        for (const { source, key } of tables) next = raiseGeneration(next, source, key, reason);
        signal.throwIfAborted();
        await writeBesideGuard(stateFile, next, state);
        return tables.map(({ source, key }) => `${source}:${key}`);
      }),

    pause: (addresses, signal) =>
      access.changeSources(addresses.map(sourceOfAddress), signal, () =>
        pauseAt(addresses, { config, stateFile, destinations, clock, applied }),
      ),

    resume: (addresses, signal) =>
      access.changeSources(addresses.map(sourceOfAddress), signal, async () => {
        const done = await resumeAt(addresses, { config, stateFile, destinations, clock, applied });
        followers.lookAgain();
        return done;
      }),

    optimize: (request, signal) =>
      access.sync(signal, async (signal) => {
        const state = await applied();
        return optimizeSources(state, chosenSources(state, request), upkeep, signal);
      }),

    vacuum: (request, signal) =>
      access.sync(signal, async (signal) => {
        const state = await applied();
        return vacuumSources(state, chosenSources(state, request), request.dryRun, upkeep, signal);
      }),

    maintain: async ({ until }, signal) => {
      if (Object.values(config.destinations).every(({ type }) => type === 'duckdb')) return null;
      return access.sync(signal, async (signal) => {
        const state = await stateFile.read();
        if (state === null) return new Date(clock.now().getTime() + NOTHING_APPLIED_MS);
        return maintainDue(state, until, upkeep, signal);
      });
    },

    keepClean: (options, signal) => {
      const work = { config, stateFile, ...world, clock, onEvent, access };
      return keepClean((within) => cleanUp(work, within), options, clock, signal);
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

    discover: (request, signal) => discoverTables(config, connections, request, signal),

    setupSql: async (source, signal) => {
      const settings = config.sources[source];
      if (settings === undefined) throw unknownAddress(source, Object.keys(config.sources));
      const plan = await observe(config, await stateFile.read(), world, signal);
      return setupSql(config, settings, plan.sources[source]);
    },

    ...queriesOf(config, secrets),

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
      await openedState.close();
      closeIdleTunnels();
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

/** All that a plan changes something of. */
function sourcesOfPlan({ changes }: Plan): readonly string[] {
  return changes.flatMap((change) => {
    const moved = change.action === 'move' ? [change.details.from, change.details.to] : [];
    return [change.address, ...moved].map(sourceOfAddress);
  });
}

function trafficOf(synced: readonly SyncedSource[]): readonly DestinationTraffic[] {
  const sums = new Map<string, StoreTraffic>();
  for (const { destination, traffic } of synced) {
    if (destination === null || traffic === null) continue;
    sums.set(destination, addTraffic(sums.get(destination) ?? NO_TRAFFIC, traffic));
  }
  return [...sums].map(([destination, traffic]) => ({ destination, ...traffic }));
}

/** What was named is to be synced: that nothing of it is would be a surprise. @throws SluiceError PAUSED */
function refusePaused(
  state: StateDocument,
  chosen: readonly { readonly source: string; readonly only: string | null }[],
  address: string | null,
): void {
  if (address === null) return;
  for (const { source, only } of chosen) {
    const known = state.sources[source];
    const paused = known === undefined ? null : pauseOf(source, known, only);
    if (paused !== null) throw paused;
  }
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

function sourceOfAddress(address: string): string {
  return splitAddress(address)[0];
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
