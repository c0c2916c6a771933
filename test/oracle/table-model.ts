import type { Content, DestinationTable, LogEntry, Version } from './observation.js';
import { hasConsolidated, hasHistory, isCdc, keepsDeleted, type OracleTable } from './oracle-table.js';

/** A quiet moment and what Postgres held then. */
export interface Checkpoint {
  /** The position that the destination had confirmed. */
  readonly lsn: bigint;
  /** Microseconds since 1970 by the server's clock. */
  readonly time: bigint;
  readonly content: Content;
}

/** What one check is told. */
export interface Situation {
  readonly lsn: bigint;
  readonly time: bigint;
  readonly source: Content;
  readonly log: readonly LogEntry[];
  /** The table was loaded since the last check: the stream did not carry every change of the meantime. */
  readonly loaded: boolean;
  readonly destination: DestinationTable;
}

/** Checks one table against Postgres and against everything that was known of it at earlier checks. */
export class TableModel {
  readonly #table: OracleTable;
  readonly #checkpoints: Checkpoint[] = [];
  #initial: Content = new Map();
  #source: Content = new Map();
  #deleted: Content = new Map();
  #versions: ReadonlyMap<string, readonly Version[]> = new Map();
  #truncated = false;

  constructor(table: OracleTable) {
    this.#table = table;
  }

  /** What the table holds before anything is logged: a load may show it, and a TRUNCATE delete it, before the first check. */
  startFrom(source: Content): void {
    this.#initial = source;
  }

  /** @returns what is wrong; empty when all is well */
  check(now: Situation): string[] {
    const table = this.#table;
    const problems = [...now.destination.oddities];
    this.#truncated ||= now.log.some((entry) => entry.op === 'T');
    this.#checkpoints.push({ lsn: now.lsn, time: now.time, content: now.source });
    if (hasConsolidated(table)) problems.push(...differences('a live row', now.source, now.destination.live));
    if (keepsDeleted(table)) problems.push(...this.#checkDeleted(now));
    else if (now.destination.deleted.size > 0) problems.push('rows are flagged as deleted where deletes are hard');
    if (hasHistory(table) && isCdc(table)) problems.push(...this.#checkHistory(now));
    this.#source = now.source;
    this.#deleted = now.destination.deleted;
    this.#versions = now.destination.versions;
    return problems.map((problem) => `${table.name}: ${problem}`);
  }

  #checkDeleted(now: Situation): string[] {
    const { deleted } = now.destination;
    if (!now.loaded) {
      const expected = new Map(this.#deleted);
      for (const { op, key, row } of now.log) {
        if (op === 'D' || op === 'T') expected.set(key, row);
        else expected.delete(key);
      }
      return differences('a deleted row', expected, deleted);
    }
    // Over a load the destination knows a row as the stream or a snapshot last showed it.
    const shown = new Map<string, Set<string>>();
    const show = (key: string, row: string): void => void shown.set(key, (shown.get(key) ?? new Set()).add(row));
    for (const content of [this.#initial, this.#source, this.#deleted])
      for (const [key, row] of content) show(key, row);
    for (const { key, row } of now.log) show(key, row);
    const problems: string[] = [];
    for (const [key, row] of deleted) {
      if (now.source.has(key)) problems.push(`key ${key} is flagged as deleted and lives`);
      if (shown.get(key)?.has(row) !== true) problems.push(`deleted key ${key} holds values it never had: ${row}`);
    }
    for (const key of [...this.#source.keys(), ...this.#deleted.keys()]) {
      if (!now.source.has(key) && !deleted.has(key)) problems.push(`deleted key ${key} was lost`);
    }
    return problems;
  }

  #checkHistory(now: Situation): string[] {
    const { versions } = now.destination;
    const problems: string[] = [];
    for (const [key, list] of versions) problems.push(...this.#checkVersions(key, list, now.source.get(key)));
    for (const key of now.source.keys()) if (!versions.has(key)) problems.push(`live key ${key} has no history`);
    problems.push(...this.#checkGrowth(now));
    for (const checkpoint of this.#checkpoints) {
      const label = `at checkpoint ${this.#checkpoints.indexOf(checkpoint) + 1}/${this.#checkpoints.length} a row`;
      problems.push(...differences(`${label} (by time)`, checkpoint.content, stateAtTime(versions, checkpoint.time)));
      // A TRUNCATE ends versions without a version of its own, so that only time tells.
      if (this.#truncated) continue;
      problems.push(...differences(`${label} (by LSN)`, checkpoint.content, stateAtLsn(versions, checkpoint.lsn)));
    }
    return problems;
  }

  #checkVersions(key: string, list: readonly Version[], live: string | undefined): string[] {
    const problems: string[] = [];
    for (const [index, version] of list.entries()) {
      const next = list[index + 1];
      if (version.to !== null && version.to < version.from) problems.push('ends before it begins');
      if (version.deleted !== (version.op === 'D')) problems.push(`is ${version.op} and deleted is ${version.deleted}`);
      if (next === undefined) continue;
      if (version.lsn === next.lsn && version.seq === next.seq) problems.push('shares its place with the next');
      if (version.to === null) problems.push('is open and not the last');
      else if (version.to > next.from) problems.push('overlaps the next');
      else if (version.to < next.from && !this.#truncated) problems.push('leaves a gap to the next');
    }
    const open = list.filter((version) => version.to === null);
    if (open.length > 1) problems.push('has several current versions');
    const current = open[0];
    if (live === undefined && current?.deleted === false) problems.push('has a current version and does not live');
    if (live !== undefined && current?.row !== live)
      problems.push(`has ${current?.row} as current version, lives as ${live}`);
    if (live !== undefined && current?.deleted === true) problems.push('lives and its current version is deleted');
    return problems.length === 0 ? [] : [`history of key ${key}: ${problems.join('; ')}\n${list.map(show).join('\n')}`];
  }

  /** Versions never change but to be closed; new ones are exactly the log's changes where no load came in between. */
  #checkGrowth(now: Situation): string[] {
    const problems: string[] = [];
    const { versions } = now.destination;
    for (const [key, before] of this.#versions) {
      const after = versions.get(key) ?? [];
      for (const [index, version] of before.entries()) {
        const same = after[index];
        const closed = version.to === null && same !== undefined;
        if (same === undefined || show({ ...same, to: closed ? null : same.to }) !== show(version)) {
          problems.push(`a version of key ${key} was rewritten: ${show(version)} became ${same && show(same)}`);
        }
      }
    }
    if (now.loaded) return problems;
    const expected = new Map<string, string[]>();
    for (const { op, key, row } of now.log) expected.set(key, [...(expected.get(key) ?? []), `${op} ${row}`]);
    for (const [key, list] of versions) {
      const added = list.slice(this.#versions.get(key)?.length ?? 0).map(({ op, row }) => `${op} ${row}`);
      const wanted = expected.get(key) ?? [];
      expected.delete(key);
      if (added.join('\n') === wanted.join('\n')) continue;
      problems.push(`key ${key} changed so:\n${wanted.join('\n')}\nits new versions are:\n${added.join('\n')}`);
    }
    for (const key of expected.keys()) problems.push(`changes of key ${key} left no version`);
    return problems;
  }
}

function stateAtTime(versions: ReadonlyMap<string, readonly Version[]>, time: bigint): Content {
  const state = new Map<string, string>();
  for (const list of versions.values()) {
    const version = list.find(({ from, to }) => from <= time && (to === null || to > time));
    if (version !== undefined && !version.deleted) state.set(version.key, version.row);
  }
  return state;
}

/** Loads carry the position at which they began; a commit at that very position comes after it. */
function stateAtLsn(versions: ReadonlyMap<string, readonly Version[]>, lsn: bigint): Content {
  const state = new Map<string, string>();
  for (const list of versions.values()) {
    const version = list.findLast((v) => v.lsn < lsn || (v.lsn === lsn && v.seq === 0n));
    if (version !== undefined && !version.deleted) state.set(version.key, version.row);
  }
  return state;
}

function differences(what: string, expected: Content, actual: Content): string[] {
  const problems: string[] = [];
  for (const [key, row] of expected) {
    const other = actual.get(key);
    if (other === undefined) problems.push(`${what} is missing: ${row}`);
    else if (other !== row) problems.push(`${what} is ${other}\n  and should be ${row}`);
  }
  for (const [key, row] of actual) if (!expected.has(key)) problems.push(`${what} should not be there: ${row}`);
  return problems;
}

function show(version: Version): string {
  const { op, lsn, seq, from, to, row } = version;
  return `  ${op} (${lsn}, ${seq}) ${from}..${to ?? ''} ${row}`;
}
