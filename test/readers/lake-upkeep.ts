import type { EngineFixture } from '../engine-fixture.js';
import type { Engines } from './engines.js';
import { vacuumOldTables } from './lake-tables.js';
import type { LakeTable } from './readers.js';

/** What keeps the tables of a lake in order: Sluice's own commands, and what somebody else who shares the lake does. */

export type Upkeep =
  | 'none'
  /** delta-rs compacts every table. */
  | 'deltalake'
  /** Spark compacts a few, as each takes it seconds. */
  | 'spark'
  /** `sluice optimize`. */
  | 'optimize'
  /** What `sluice vacuum` does to tables after months: of files and logs only what they need now is left. */
  | 'vacuum';

export interface UpkeepDone {
  /** Data files that a compaction took out of the tables, or that vacuum deleted. */
  readonly files: number;
  /** Tables of which vacuum deleted a part of the log. */
  readonly shortenedLogs: number;
}

const never = new AbortController().signal;

/**
 * @param tables all of the lake's
 * @param forSpark names of those that Spark is asked of
 * @throws Error where a table could not be kept in order
 */
export async function keepInOrder(
  upkeep: Upkeep,
  fixture: EngineFixture,
  tables: readonly LakeTable[],
  { engines, forSpark }: { readonly engines: Engines; readonly forSpark: readonly string[] },
): Promise<UpkeepDone> {
  const told = tables.map(({ name, location, columns }) => ({ name, location, columns }));
  switch (upkeep) {
    case 'none':
      return { files: 0, shortenedLogs: 0 };
    case 'deltalake':
      return { files: await engines.compact('deltalake', told), shortenedLogs: 0 };
    case 'spark': {
      const few = told.filter(({ name }) => forSpark.includes(name));
      return { files: await engines.compact('spark', few), shortenedLogs: 0 };
    }
    case 'optimize': {
      const report = await (await fixture.engine()).optimize({ address: null }, never);
      if (!report.ok) throw new Error(`sluice optimize failed: ${JSON.stringify(report.tables)}`);
      return { files: sum(report.tables.map(({ removedFiles }) => removedFiles)), shortenedLogs: 0 };
    }
    case 'vacuum': {
      const done = await vacuumOldTables(await fixture.lakeSettings());
      return {
        files: sum(done.map(({ files }) => files)),
        shortenedLogs: done.filter(({ logFiles }) => logFiles > 0).length,
      };
    }
  }
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}
