/** Readers for the JSON that `sluice status` and `sluice sync` print, as far as the demo needs it. */

export interface TableAt {
  /** Without the schema. */
  readonly table: string;
  /** Null before the first load. */
  readonly rows: number | null;
  /** Everything up to then is in the destination; null before the first load. */
  readonly asOf: Date | null;
}

export interface StatusAt {
  readonly tables: readonly TableAt[];
  /** WAL that Postgres keeps for the slot. */
  readonly retainedWalBytes: number;
}

export interface SyncDone {
  readonly changes: number;
  readonly transactions: number;
}

/** @throws Error where the document is not as expected */
export function readStatus(json: unknown): StatusAt {
  const source = onlySource(json);
  return {
    tables: list(source, 'tables').map((table) => ({
      table: text(table, 'target').replace(/^.*\./, ''),
      rows: field(table, 'rows') === null ? null : number(table, 'rows'),
      asOf: field(table, 'as_of') === null ? null : new Date(text(table, 'as_of')),
    })),
    retainedWalBytes: number(field(source, 'slot'), 'retained_wal_bytes'),
  };
}

/** @throws Error where the document is not as expected */
export function readSync(json: unknown): SyncDone {
  const source = onlySource(json);
  return { changes: number(source, 'changes'), transactions: number(source, 'transactions') };
}

function onlySource(json: unknown): unknown {
  const [source, ...others] = list(json, 'sources');
  if (source === undefined || others.length > 0) throw new Error('the demo has one source');
  return source;
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) throw new Error(`expected an object with "${name}"`);
  return new Map<string, unknown>(Object.entries(value)).get(name);
}

function list(value: unknown, name: string): readonly unknown[] {
  const found = field(value, name);
  if (!Array.isArray(found)) throw new Error(`"${name}" is no list`);
  return found;
}

function number(value: unknown, name: string): number {
  const found = field(value, name);
  if (typeof found !== 'number') throw new Error(`"${name}" is no number: ${String(found)}`);
  return found;
}

function text(value: unknown, name: string): string {
  const found = field(value, name);
  if (typeof found !== 'string') throw new Error(`"${name}" is no text: ${String(found)}`);
  return found;
}
