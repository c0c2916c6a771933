import type { DestinationFacts, TableFacts } from '../destination/facts.js';
import { isDue, mostFrequent } from '../planner/schedule.js';
import { scheduleOf } from '../state/schedule-state.js';
import type { SourceState, TableState } from '../state/state.js';
import type { Verdicts } from './table-holds.js';

export interface DueRequest {
  readonly source: string;
  /** `schema.table` to sync whether or not it is due; null: whatever is due. */
  readonly only: string | null;
  readonly force: boolean;
  /** The stream is read whether or not its schedule says so. */
  readonly following: boolean;
  /** Somebody else reads the stream all the time, and loads what waits for a load. */
  readonly followedElsewhere: boolean;
  /** Tables that failed not long ago. */
  readonly held: Verdicts;
}

export interface DueWork {
  /** The stream is to be read: its interval has passed, or a cdc table waits for a load. */
  readonly stream: boolean;
  /** `schema.table` of the other methods' tables that are to run. */
  readonly tables: ReadonlySet<string>;
}

export function factsOf(facts: DestinationFacts, address: string): TableFacts | null {
  return facts.tables.find((table) => table.address === address) ?? null;
}

/** The destination holds an older generation than the state asks for, or the stream asked for a new snapshot. */
export function needsLoad(state: TableState, facts: TableFacts | null): boolean {
  return facts === null || facts.loadedGeneration < state.generation || facts.resnapshotReason !== null;
}

/** Columns that were added to a loaded table are to be filled in the rows that are there. */
export function needsBackfill(state: TableState, facts: TableFacts | null): boolean {
  return state.backfill !== null && !needsLoad(state, facts) && (facts?.backfilled ?? 0) < state.backfill.id;
}

export function wasLoaded(facts: TableFacts | null): boolean {
  return facts !== null && facts.loadedGeneration > 0;
}

/** What a sync of one source has to do now. A source's cdc tables share their stream: it runs at the most frequent one's interval. */
export function dueWork(request: DueRequest, state: SourceState, facts: DestinationFacts, now: Date): DueWork {
  if (state.paused !== null) return { stream: false, tables: new Set() };
  const active = Object.entries(state.tables).filter(([, table]) => table.enabled && !table.paused);
  const cdc = active.filter(([, table]) => table.method === 'cdc');
  const others = active.filter(([, table]) => table.method !== 'cdc');
  if (request.only !== null) {
    const chosen = (tables: typeof active): string[] =>
      tables.map(([key]) => key).filter((key) => key === request.only);
    return { stream: chosen(cdc).length > 0, tables: new Set(chosen(others)) };
  }
  const known = new Map(facts.tables.map((table) => [table.address, table]));
  const factsBy = (key: string): TableFacts | null => known.get(`${request.source}:${key}`) ?? null;
  const waits = ([key, table]: (typeof active)[number]): boolean =>
    needsLoad(table, factsBy(key)) || needsBackfill(table, factsBy(key));
  const isLeft = ([key]: (typeof active)[number]): boolean => (request.held.get(key) ?? 'try') !== 'try';
  const streamSchedule = mostFrequent(
    cdc.map(([, table]) => scheduleOf(table.schedule)),
    now,
  );
  const lastStreamed = facts.streams.find((stream) => stream.source === request.source)?.updatedAt ?? null;
  const streamDue = streamSchedule !== null && isDue(dateOf(lastStreamed), streamSchedule, now, request.source);
  return {
    stream:
      cdc.length > 0 &&
      (request.force ||
        request.following ||
        (!request.followedElsewhere && (streamDue || cdc.some((each) => waits(each) && !isLeft(each))))),
    tables: new Set(
      others
        .filter(([key, table]) => {
          if (request.force) return true;
          if (isLeft([key, table])) return false;
          const last = factsBy(key)?.lastRunAt ?? null;
          const waited = request.held.has(key) || waits([key, table]);
          return waited || isDue(dateOf(last), scheduleOf(table.schedule), now, request.source);
        })
        .map(([key]) => key),
    ),
  };
}

function dateOf(iso: string | null): Date | null {
  return iso === null ? null : new Date(iso);
}
