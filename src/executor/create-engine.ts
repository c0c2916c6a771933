import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { localStatePath } from '../config/read-state.js';
import type { SecretDeps } from '../config/secret.js';
import { type PlainError, toPlain } from '../error/sluice-error.js';
import { AlertSender } from '../guard/alert-sender.js';
import { lakeFails } from '../guard/checks/lake.js';
import { runDoctor } from '../guard/doctor.js';
import { LagGuard, STATEMENT_TIMEOUT_MS } from '../guard/lag-guard.js';
import { openLagMemory } from '../guard/lag-memory.js';
import { withPreflight } from '../guard/preflight.js';
import type { Plan } from '../planner/change.js';
import { planChanges, planDrift } from '../planner/plan.js';
import { planFromState } from '../planner/plan-unobserved.js';
import { setupSql } from '../source/setup-sql.js';
import { closeIdleTunnels } from '../source/tunnel/shared-tunnels.js';
import { raiseGeneration, withUnfilledPlace } from '../state/edit.js';
import { writeBesideGuard } from '../state/halt.js';
import { holderOf } from '../state/lock.js';
import { ownerTag } from '../state/owner-tag.js';
import { systemProcesses } from '../state/process-table.js';
import type { StateDocument } from '../state/state.js';
import { chosenSources, refusePaused, sourceOfAddress, sourcesOfPlan, tablesAt, unknownAddress } from './addressed.js';
import { applyPlan } from './apply-plan.js';
import { cleanUp } from './clean-up.js';
import { Destinations } from './destinations.js';
import { discoverTables } from './discover.js';
import type { Engine, EngineDeps, TableVerdict } from './engine.js';
import { Followers, followSource } from './follow-source.js';
import { keepClean } from './keep-clean.js';
import { lookAtLakes } from './look-at-lakes.js';
import { maintainDue, optimizeSources, vacuumSources } from './maintain.js';
import { observe } from './observe.js';
import { openState } from './open-state.js';
import { pauseAt, resumeAt } from './pause.js';
import { placeTrouble } from './place-check.js';
import { queriesOf } from './queries.js';
import { settleAll } from './settle.js';
import { connectionOf, SourceConnections } from './source-connections.js';
import { SourceWork } from './source-work.js';
import { StateAccess } from './state-access.js';
import { openStateDesk } from './state-desk.js';
import { sourceStatuses } from './status.js';
import { syncOne, trafficOf } from './sync-one.js';
import { TableHolds } from './table-holds.js';
import { verifyOne } from './verify-one.js';

/** Upkeep looks again for a first apply after this. */
const NOTHING_APPLIED_MS = 60_000;

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

  const access = new StateAccess(lock, clock);
  const upkeep = { config, access, destinations, clock, onEvent };
  const followers = new Followers();
  const holds = new TableHolds();
  const work = new SourceWork({ config, clock, stateFile, ...world, guard, followers, holds, onEvent });
  const applied = (): Promise<StateDocument> => work.applied();

  const makePlan = async (targets: readonly string[], driftOnly: boolean, signal: AbortSignal): Promise<Plan> => {
    const state = await stateFile.read();
    const observed = await observe(config, state, world, signal, { depth: 'plan', now: () => clock.now() });
    const input = { config, state, observed, now: clock.now().toISOString(), id: randomUUID(), targets };
    if (driftOnly) return planDrift(input);
    const lakes = await lookAtLakes(config, { secrets, clock }, 'plan', signal);
    return withPreflight(planChanges(input), { config, observed, lakes }, targets);
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
          chosen.map((each) => access.inTurn(each.source, signal, () => syncOne(each, request, work, signal))),
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
        for (const each of chosenSources(await applied(), request)) {
          const verdicts = await access.inTurn(each.source, signal, () => verifyOne(each, request, work, signal));
          tables.push(...verdicts);
        }
        return { tables, ok: tables.every((table) => table.status === 'equal') };
      }),

    follow: (source, signal) => followSource({ source, access, work }, signal),

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
      const deps = { config, stateFile, ...world, clock, onEvent, access };
      return keepClean((within) => cleanUp(deps, within), options, clock, signal);
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
