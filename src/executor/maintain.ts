import type { Config } from '../config/config.js';
import type { MaintenanceRecord } from '../destination/maintenance.js';
import { asSluiceError, toPlain } from '../error/sluice-error.js';
import type { StateDocument } from '../state/state.js';
import type { Destinations } from './destinations.js';
import type { Clock, EngineEvent } from './engine.js';
import {
  type ChosenSource,
  type Effort,
  type MaintenanceCall,
  optimizeTables,
  vacuumTables,
} from './maintain-tables.js';
import { recordOf } from './maintenance-record.js';
import type { OptimizeReport, TableOptimization, TableVacuum, VacuumReport } from './maintenance-report.js';
import { placeTrouble } from './place-check.js';
import type { StateAccess } from './state-access.js';

/** What one run of the daemon copies of a source's tables; the next one goes on. */
const RUN_BYTES = 1024 ** 3;
/** Looking for what can be deleted lists every file: not with every run. */
const VACUUM_EVERY_MS = 86_400_000;
/** A source that was busy is looked at again after this. */
const BUSY_AGAIN_MS = 60_000;

export interface MaintainDeps {
  readonly config: Config;
  /** The caller shares the state: a source is worked on in its turn. */
  readonly access: Pick<StateAccess, 'inTurn' | 'isTaken'>;
  readonly destinations: Destinations;
  readonly clock: Clock;
  readonly onEvent: (event: EngineEvent) => void;
}

/** By hand: all that can be merged. */
const THOROUGH: Effort = { thorough: true, maxBytes: Number.POSITIVE_INFINITY, until: null };

/** `optimize`, for tables of lakes. A table's trouble is in the report. */
export async function optimizeSources(
  state: StateDocument,
  chosen: readonly ChosenSource[],
  deps: MaintainDeps,
  signal: AbortSignal,
): Promise<OptimizeReport> {
  const tables: TableOptimization[] = [];
  const notes: string[] = [];
  for (const each of chosen) {
    const done = await onLakeInTurn(state, each.source, deps, signal, async (upkeep) => {
      const found = await optimizeTables(state, each, upkeep.call, THOROUGH, deps, signal);
      tables.push(...found);
      if (each.only === null) await upkeep.record(found, null);
    });
    if (!done) notes.push(nothingToDo(state, each.source, deps.config));
  }
  return { tables, notes, ok: tables.every(({ error }) => error === null) };
}

/** `vacuum`, for tables of lakes. A table's trouble is in the report. */
export async function vacuumSources(
  state: StateDocument,
  chosen: readonly ChosenSource[],
  dryRun: boolean,
  deps: MaintainDeps,
  signal: AbortSignal,
): Promise<VacuumReport> {
  const tables: TableVacuum[] = [];
  const notes: string[] = [];
  for (const each of chosen) {
    const done = await onLakeInTurn(state, each.source, deps, signal, async (upkeep) => {
      const found = await vacuumTables(state, each, upkeep.call, dryRun, deps, signal);
      tables.push(...found);
      if (each.only === null && !dryRun) await upkeep.record(null, found);
    });
    if (!done) notes.push(nothingToDo(state, each.source, deps.config));
  }
  return { dryRun, tables, notes, ok: tables.every(({ error }) => error === null) };
}

/**
 * What is due of all that keeps lakes in order by itself. A source that something else is done with is left for later.
 * @param untilOf when the source is needed for something else: no more work on it is begun after this
 * @returns when to ask again; null where no source has a lake
 */
export async function maintainDue(
  state: StateDocument,
  untilOf: (source: string) => Date,
  deps: MaintainDeps,
  signal: AbortSignal,
): Promise<Date | null> {
  const { clock, config, onEvent } = deps;
  const next: number[] = [];
  for (const [source, { destination }] of Object.entries(state.sources)) {
    const settings = config.destinations[destination];
    if (settings === undefined || settings.type === 'duckdb') continue;
    const { everyMs } = settings.maintenance;
    if (deps.access.isTaken(source)) {
      next.push(clock.now().getTime() + BUSY_AGAIN_MS);
      continue;
    }
    try {
      await onLakeInTurn(state, source, deps, signal, async (upkeep) => {
        const until = untilOf(source);
        const startedMs = clock.now().getTime();
        const before = await upkeep.last();
        const dueMs = before === null ? startedMs : Date.parse(before.at) + everyMs;
        if (dueMs > startedMs) {
          next.push(dueMs);
          return;
        }
        const all = { source, only: null };
        const effort = { thorough: false, maxBytes: RUN_BYTES, until };
        const optimized = await optimizeTables(state, all, upkeep.call, effort, deps, signal);
        const vacuumedMs = before === null || before.vacuumedAt === null ? 0 : Date.parse(before.vacuumedAt);
        const vacuumDue = startedMs - vacuumedMs >= Math.max(everyMs, VACUUM_EVERY_MS);
        const swept = vacuumDue ? await vacuumTables(state, all, upkeep.call, false, deps, signal) : null;
        const isOutOfTime = optimized.some(({ status }) => status === 'unfinished') && clock.now() >= until;
        // Out of time it goes on behind the next sync: nothing is recorded that would make it wait.
        if (isOutOfTime) next.push(clock.now().getTime());
        else {
          await upkeep.record(optimized, swept);
          next.push(startedMs + everyMs);
        }
      });
    } catch (error) {
      signal.throwIfAborted();
      onEvent({ kind: 'maintenance_failed', address: source, error: toPlain(asSluiceError(error)) });
      next.push(clock.now().getTime() + everyMs);
    }
  }
  return next.length === 0 ? null : new Date(Math.min(...next));
}

interface Upkeep {
  readonly call: MaintenanceCall;
  readonly last: () => Promise<MaintenanceRecord | null>;
  readonly record: (
    optimized: readonly TableOptimization[] | null,
    swept: readonly TableVacuum[] | null,
  ) => Promise<void>;
}

/** @returns false where the source's destination needs none */
async function onLakeInTurn(
  state: StateDocument,
  source: string,
  deps: MaintainDeps,
  signal: AbortSignal,
  work: (upkeep: Upkeep) => Promise<void>,
): Promise<boolean> {
  return deps.access.inTurn(source, signal, () => onLake(state, source, deps, work));
}

async function onLake(
  state: StateDocument,
  source: string,
  { config, destinations, clock }: MaintainDeps,
  work: (upkeep: Upkeep) => Promise<void>,
): Promise<boolean> {
  const name = state.sources[source]?.destination;
  const settings = name === undefined ? undefined : config.destinations[name];
  if (name === undefined || settings === undefined || settings.type === 'duckdb') return false;
  const notHere = await placeTrouble(config, state, source);
  if (notHere !== null) throw notHere;
  try {
    return await destinations.using(name, async ({ writer, pages }) => {
      const { maintenance } = writer;
      if (maintenance === null) return false;
      const call: MaintenanceCall = (each) => pages.run(() => each(maintenance));
      const last = (): Promise<MaintenanceRecord | null> => maintenance.readRecord({ source });
      await work({
        call,
        last,
        async record(optimized, swept) {
          const now = clock.now().toISOString();
          const record = recordOf(source, await last(), optimized, swept, now);
          await maintenance.writeRecord({ source, record });
        },
      });
      return true;
    });
  } finally {
    await destinations.release(name);
  }
}

function nothingToDo(state: StateDocument, source: string, config: Config): string {
  const name = state.sources[source]?.destination ?? '';
  if (config.destinations[name] === undefined)
    return `${source}: its destination "${name}" is not in the config any more`;
  return `${source}: nothing to do, as its destination "${name}" is a DuckDB file, which keeps itself in order`;
}
