import { LIST_CASES } from './list-cases.js';
import { NUMBER_CASES } from './number-cases.js';
import { OTHER_CASES } from './other-cases.js';
import { OVERRIDE_CASES } from './override-cases.js';
import { BIG_CASES, TEXT_CASES } from './text-cases.js';
import { TIME_CASES } from './time-cases.js';
import type { TypeCase } from './type-case.js';

/** Columns that stand in the same tables. */
export interface Family {
  readonly name: string;
  readonly cases: readonly TypeCase[];
  /** Rows 0 to rowCount - 1 hold the values; the last one holds only NULLs. */
  readonly rowCount: number;
}

/** What a server of this major can hold. */
export function families(major: number): Family[] {
  const all = [...NUMBER_CASES, ...TEXT_CASES, ...TIME_CASES, ...LIST_CASES, ...OTHER_CASES, ...OVERRIDE_CASES];
  return [family('every', all, major), family('large', BIG_CASES, major)];
}

function family(name: string, cases: readonly TypeCase[], major: number): Family {
  const known = cases.filter((c) => (c.since ?? 0) <= major);
  return { name, cases: known, rowCount: Math.max(...known.map((c) => c.values.length)) + 1 };
}
