import type { DestinationMaintenance, LakePlace, Vacuumed } from '../destination/maintenance.js';
import { historyName } from '../destination/target-table.js';
import { asSluiceError, toPlain } from '../error/sluice-error.js';
import type { StateDocument } from '../state/state.js';
import type { Clock, EngineEvent } from './engine.js';
import type { TableOptimization, TableVacuum } from './maintenance-report.js';

/** The upkeep of one source's tables, piece by piece. A table's trouble is in what is reported of it. */

/** Each call in its turn between the pages of a sync. */
export type MaintenanceCall = <T>(work: (maintenance: DestinationMaintenance) => Promise<T>) => Promise<T>;

interface TableDeps {
  readonly clock: Clock;
  readonly onEvent: (event: EngineEvent) => void;
}

export interface ChosenSource {
  readonly source: string;
  /** `schema.table` of the state; null: all. */
  readonly only: string | null;
}

/** How much of what can be done is done. */
export interface Effort {
  readonly thorough: boolean;
  readonly maxBytes: number;
  /** No more work is begun after this. */
  readonly until: Date | null;
}

/**
 * Writes files of a source's tables anew as far as the effort goes. Where its time is out, the tables behind the one that
 * was worked on are left for the next run, which begins with those before them.
 */
export async function optimizeTables(
  state: StateDocument,
  { source, only }: ChosenSource,
  call: MaintenanceCall,
  effort: Effort,
  { clock, onEvent }: TableDeps,
  signal: AbortSignal,
): Promise<TableOptimization[]> {
  const found: TableOptimization[] = [];
  let copiedBytes = 0;
  let hasWorked = false;
  const isOutOfTime = (): boolean => effort.until !== null && clock.now() >= effort.until;
  for (const place of placesAt(state, source, only, await call((lake) => lake.tables({ source })))) {
    const address = addressOf(source, place);
    let table: TableOptimization = { ...NOTHING, address };
    if (hasWorked && isOutOfTime()) {
      found.push({ ...table, status: 'unfinished' });
      continue;
    }
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
        hasWorked = true;
        table = {
          ...table,
          status: 'optimized',
          removedFiles: table.removedFiles + step.removedFiles,
          addedFiles: table.addedFiles + step.addedFiles,
          removedBytes: table.removedBytes + step.removedBytes,
          addedBytes: table.addedBytes + step.addedBytes,
        };
        if (copiedBytes >= effort.maxBytes || isOutOfTime()) {
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

/** Deletes what a source's tables, and the source beside them, need no more. */
export async function vacuumTables(
  state: StateDocument,
  { source, only }: ChosenSource,
  call: MaintenanceCall,
  dryRun: boolean,
  { clock, onEvent }: TableDeps,
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
