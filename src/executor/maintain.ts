import type { Config } from '../config/config.js';
import type {
  DestinationMaintenance,
  LakePlace,
  MaintenanceRecord,
  TableHealth,
  Vacuumed,
} from '../destination/maintenance.js';
import { historyName } from '../destination/target-table.js';
import { asSluiceError, type PlainError, toPlain } from '../error/sluice-error.js';
import type { StateDocument } from '../state/state.js';
import type { Destinations } from './destinations.js';
import type { Clock, EngineEvent } from './engine.js';
import type {
  MaintenanceStatus,
  OptimizeReport,
  TableOptimization,
  TableVacuum,
  VacuumReport,
} from './maintenance-report.js';

/** What one run of the daemon copies of a source's tables; the next one goes on. */
const RUN_BYTES = 1024 ** 3;
/** Looking for what can be deleted lists every file: not with every run. */
const VACUUM_EVERY_MS = 86_400_000;

export interface MaintainDeps {
  readonly config: Config;
  readonly destinations: Destinations;
  readonly clock: Clock;
  readonly onEvent: (event: EngineEvent) => void;
}

export interface ChosenSource {
  readonly source: string;
  /** `schema.table` of the state; null: all. */
  readonly only: string | null;
}

/** How much of what can be done is done. */
interface Effort {
  readonly thorough: boolean;
  readonly maxBytes: number;
  /** No more work is begun after this. */
  readonly until: Date | null;
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
    const done = await onLake(state, each.source, deps, async (upkeep) => {
      const found = await optimizeTables(state, each, upkeep, THOROUGH, deps, signal);
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
    const done = await onLake(state, each.source, deps, async (upkeep) => {
      const found = await vacuumTables(state, each, upkeep, dryRun, deps, signal);
      tables.push(...found);
      if (each.only === null && !dryRun) await upkeep.record(null, found);
    });
    if (!done) notes.push(nothingToDo(state, each.source, deps.config));
  }
  return { dryRun, tables, notes, ok: tables.every(({ error }) => error === null) };
}

/**
 * What is due of all that keeps lakes in order by itself.
 * @returns when to ask again; null where no source has a lake
 */
export async function maintainDue(
  state: StateDocument,
  until: Date,
  deps: MaintainDeps,
  signal: AbortSignal,
): Promise<Date | null> {
  const { clock, config, onEvent } = deps;
  const next: number[] = [];
  for (const [source, { destination }] of Object.entries(state.sources)) {
    const settings = config.destinations[destination];
    if (settings === undefined || settings.type === 'duckdb') continue;
    const { everyMs } = settings.maintenance;
    try {
      await onLake(state, source, deps, async (upkeep) => {
        const startedMs = clock.now().getTime();
        const before = await upkeep.last();
        const dueMs = before === null ? startedMs : Date.parse(before.at) + everyMs;
        if (dueMs > startedMs) {
          next.push(dueMs);
          return;
        }
        const all = { source, only: null };
        const effort = { thorough: false, maxBytes: RUN_BYTES, until };
        const optimized = await optimizeTables(state, all, upkeep, effort, deps, signal);
        const vacuumedMs = before === null || before.vacuumedAt === null ? 0 : Date.parse(before.vacuumedAt);
        const vacuumDue = startedMs - vacuumedMs >= Math.max(everyMs, VACUUM_EVERY_MS);
        const swept = vacuumDue ? await vacuumTables(state, all, upkeep, false, deps, signal) : null;
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

/** What status shows of a source's lake; null where there is nothing to show. */
export async function maintenanceStatus(
  maintenance: DestinationMaintenance | null,
  source: string,
): Promise<MaintenanceStatus | null> {
  const record = (await maintenance?.readRecord({ source })) ?? null;
  if (record === null) return null;
  const { at, vacuumedAt, error, tables } = record;
  return { at, vacuumedAt, error, tables: tables.length, health: sumOf(tables) };
}

interface Upkeep {
  /** Each call in its turn between the pages of a sync. */
  readonly call: <T>(work: (maintenance: DestinationMaintenance) => Promise<T>) => Promise<T>;
  readonly last: () => Promise<MaintenanceRecord | null>;
  readonly record: (
    optimized: readonly TableOptimization[] | null,
    swept: readonly TableVacuum[] | null,
  ) => Promise<void>;
}

/** @returns false where the source's destination needs none */
async function onLake(
  state: StateDocument,
  source: string,
  { config, destinations, clock }: MaintainDeps,
  work: (upkeep: Upkeep) => Promise<void>,
): Promise<boolean> {
  const name = state.sources[source]?.destination;
  const settings = name === undefined ? undefined : config.destinations[name];
  if (name === undefined || settings === undefined || settings.type === 'duckdb') return false;
  try {
    return await destinations.using(name, async ({ writer, pages }) => {
      const { maintenance } = writer;
      if (maintenance === null) return false;
      const call: Upkeep['call'] = (each) => pages.run(() => each(maintenance));
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

async function optimizeTables(
  state: StateDocument,
  { source, only }: ChosenSource,
  { call }: Upkeep,
  effort: Effort,
  { clock, onEvent }: MaintainDeps,
  signal: AbortSignal,
): Promise<TableOptimization[]> {
  const found: TableOptimization[] = [];
  let copiedBytes = 0;
  for (const place of placesAt(state, source, only, await call((lake) => lake.tables({ source })))) {
    const address = addressOf(source, place);
    let table: TableOptimization = { ...NOTHING, address };
    try {
      for (;;) {
        signal.throwIfAborted();
        const now = clock.now();
        const step = await call((lake) =>
          lake.compact({ source, ...place, thorough: effort.thorough, now: now.toISOString() }),
        );
        table = { ...table, health: step.health };
        if (step.kind === 'given_up') table = { ...table, status: 'unfinished', note: step.because };
        if (step.kind !== 'compacted') break;
        copiedBytes += step.addedBytes;
        table = {
          ...table,
          status: 'optimized',
          removedFiles: table.removedFiles + step.removedFiles,
          addedFiles: table.addedFiles + step.addedFiles,
          removedBytes: table.removedBytes + step.removedBytes,
          addedBytes: table.addedBytes + step.addedBytes,
        };
        if (copiedBytes >= effort.maxBytes || (effort.until !== null && clock.now() >= effort.until)) {
          table = { ...table, status: 'unfinished' };
          break;
        }
      }
    } catch (error) {
      signal.throwIfAborted();
      table = { ...table, status: 'failed', error: toPlain(asSluiceError(error)) };
      onEvent({ kind: 'maintenance_failed', address, error: toPlain(asSluiceError(error)) });
    }
    if (table.removedFiles > 0) onEvent({ kind: 'optimized', table });
    found.push(table);
  }
  return found;
}

const NOTHING: Omit<TableOptimization, 'address'> = {
  status: 'nothing',
  removedFiles: 0,
  addedFiles: 0,
  removedBytes: 0,
  addedBytes: 0,
  health: null,
  note: null,
  error: null,
};

async function vacuumTables(
  state: StateDocument,
  { source, only }: ChosenSource,
  { call }: Upkeep,
  dryRun: boolean,
  { clock, onEvent }: MaintainDeps,
  signal: AbortSignal,
): Promise<TableVacuum[]> {
  const found: TableVacuum[] = [];
  const add = async (address: string, work: (lake: DestinationMaintenance) => Promise<Vacuumed>): Promise<void> => {
    signal.throwIfAborted();
    try {
      const table: TableVacuum = { address, ...(await call(work)), error: null };
      if (!dryRun && table.files + table.logFiles > 0) onEvent({ kind: 'vacuumed', table });
      found.push(table);
    } catch (error) {
      signal.throwIfAborted();
      const plain = toPlain(asSluiceError(error));
      onEvent({ kind: 'maintenance_failed', address, error: plain });
      found.push({ address, files: 0, bytes: 0, logFiles: 0, examples: [], error: plain });
    }
  };
  const now = clock.now().toISOString();
  for (const place of placesAt(state, source, only, await call((lake) => lake.tables({ source })))) {
    await add(addressOf(source, place), (lake) => lake.vacuum({ source, ...place, dryRun, now }));
  }
  if (only === null) await add(source, (lake) => lake.vacuumSource({ source, dryRun, now }));
  return found;
}

/** The tables of the lake that an address means. */
function placesAt(
  state: StateDocument,
  source: string,
  only: string | null,
  all: readonly LakePlace[],
): readonly LakePlace[] {
  if (only === null) return all;
  const target = state.sources[source]?.tables[only]?.target;
  if (target === undefined) return [];
  return all.filter(
    ({ schema, name }) => schema === target.schema && [target.name, historyName(target)].includes(name),
  );
}

function addressOf(source: string, { schema, name }: LakePlace): string {
  return `${source}:${schema}.${name}`;
}

function nothingToDo(state: StateDocument, source: string, config: Config): string {
  const name = state.sources[source]?.destination ?? '';
  if (config.destinations[name] === undefined)
    return `${source}: its destination "${name}" is not in the config any more`;
  return `${source}: nothing to do, as its destination "${name}" is a DuckDB file, which keeps itself in order`;
}

function recordOf(
  source: string,
  before: MaintenanceRecord | null,
  optimized: readonly TableOptimization[] | null,
  swept: readonly TableVacuum[] | null,
  now: string,
): MaintenanceRecord {
  const errors: (PlainError | null)[] = [...(optimized ?? []), ...(swept ?? [])].map(({ error }) => error);
  const tables = (optimized ?? []).flatMap(({ address, health }) => {
    const [schema = '', ...rest] = address.slice(source.length + 1).split('.');
    return health === null ? [] : [{ schema, name: rest.join('.'), ...health }];
  });
  return {
    at: optimized === null && before !== null ? before.at : now,
    vacuumedAt: swept === null ? (before?.vacuumedAt ?? null) : now,
    error: errors.find((error) => error !== null) ?? null,
    tables: optimized === null ? (before?.tables ?? []) : tables,
  };
}

function sumOf(tables: readonly TableHealth[]): TableHealth {
  const sum = (value: (health: TableHealth) => number): number =>
    tables.reduce((total, each) => total + value(each), 0);
  return {
    files: sum(({ files }) => files),
    bytes: sum(({ bytes }) => bytes),
    smallFiles: sum(({ smallFiles }) => smallFiles),
    rows: tables.some(({ rows }) => rows === null) ? null : sum(({ rows }) => rows ?? 0),
    deletedRows: sum(({ deletedRows }) => deletedRows),
  };
}
