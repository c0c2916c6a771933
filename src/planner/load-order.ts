import type { TableFacts } from '../destination/facts.js';
import type { TableState } from '../state/state.js';
import type { Loads } from './change.js';

/** Why a table that is loaded already has to be read again. */
export interface Gap {
  readonly cause: string;
  /** The file consents beforehand (`on_slot_lost: resync`), so it is not destructive. */
  readonly consented: boolean;
}

/** The generation that a new load of a table gets: above what was asked for and above what the destination holds. */
export function nextGeneration(state: TableState | null, facts: TableFacts | null): number {
  return Math.max(state?.generation ?? 0, facts?.loadedGeneration ?? 0) + 1;
}

/** The tables with a gap and the generation that each gets; in name order. */
export function loadsOf(keys: Iterable<string>, generation: (key: string) => number): Loads {
  return Object.fromEntries([...keys].sort().map((key) => [key, generation(key)]));
}
