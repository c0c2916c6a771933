import type { ScheduleState } from './schedule-state.js';
import type { ColumnState, SourceState, StateDocument, TableState } from './state.js';

export const STATE_FORMAT_VERSION = 2;

export type StateCheck =
  | { readonly ok: true; readonly state: StateDocument }
  | { readonly ok: false; readonly newerVersion: number }
  | { readonly ok: false; readonly problems: readonly string[] };

/**
 * Builds the document from parsed JSON, field by field. Strict: a missing, wrong or unknown field is a problem, since
 * rewriting a document of which a part was not understood would lose that part. Every change of shape raises
 * `format_version` and takes a step in upgrade.ts, save a new field that may be null: documents from before it are read as
 * if it were.
 */
export function checkState(raw: unknown): StateCheck {
  const problems: string[] = [];
  const root = new Reader(raw, '', problems);
  const version = root.number('format_version');
  if (problems.length === 0 && version > STATE_FORMAT_VERSION) return { ok: false, newerVersion: version };
  if (problems.length === 0 && version !== STATE_FORMAT_VERSION) problems.push(`format_version is ${version}`);
  const state: StateDocument = {
    format_version: STATE_FORMAT_VERSION,
    lineage: root.text('lineage'),
    serial: root.count('serial'),
    sources: root.map('sources', sourceState),
  };
  root.end();
  return problems.length > 0 ? { ok: false, problems } : { ok: true, state };
}

function sourceState(reader: Reader): SourceState {
  return {
    connection_fingerprint: reader.textOrNull('connection_fingerprint'),
    system_identifier: reader.textOrNull('system_identifier'),
    database: reader.textOrNull('database'),
    destination: reader.text('destination'),
    destination_fingerprint: reader.text('destination_fingerprint'),
    destination_place: reader.laterOrNull('destination_place', (place) => ({
      written: place.text('written'),
      path: place.text('path'),
      filled: place.flag('filled'),
    })),
    management: reader.oneOf('management', ['managed', 'self_managed']),
    publication: reader.textOrNull('publication'),
    publication_tables: reader.texts('publication_tables'),
    slot: reader.objectOrNull('slot', (slot) => ({ name: slot.text('name'), created_lsn: slot.text('created_lsn') })),
    pending_slot: reader.objectOrNull('pending_slot', (slot) => ({
      name: slot.text('name'),
      wal_lsn: slot.text('wal_lsn'),
    })),
    halted: reader.laterOrNull('halted', (halt) => ({
      code: halt.oneOf('code', ['WAL_LAG_CRITICAL']),
      message: halt.text('message'),
      at: halt.text('at'),
    })),
    paused: reader.laterOrNull('paused', (paused) => ({ at: paused.text('at') })),
    cleanup: reader.laterOrNull('cleanup', (cleanup) => ({
      since: cleanup.text('since'),
      failures: cleanup.list('failures', (failure) => ({
        address: failure.text('address'),
        code: failure.text('code'),
        message: failure.text('message'),
        hint: failure.textOrNull('hint'),
      })),
    })),
    tables: reader.map('tables', tableState),
  };
}

function tableState(reader: Reader): TableState {
  return {
    oid: reader.count('oid'),
    method: reader.oneOf('method', ['cdc', 'incremental', 'append', 'full_table']),
    output: reader.oneOf('output', ['consolidated', 'history', 'both']),
    deletes: reader.oneOf('deletes', ['soft', 'hard']),
    columns: reader.list('columns', columnState),
    primary_key: reader.texts('primary_key'),
    replica_identity: reader.laterOneOf('replica_identity', ['default', 'nothing', 'full', 'index']),
    cursor: reader.textOrNull('cursor'),
    lookback_ms: reader.number('lookback_ms'),
    schedule: reader.object('schedule', scheduleState),
    // Documents from before there were delta tables lack it.
    partition_by: reader.has('partition_by') ? reader.texts('partition_by') : [],
    on_remove: reader.oneOf('on_remove', ['retire', 'keep', 'drop']),
    // Documents from before partitions were watched lack it.
    on_partition_change: reader.has('on_partition_change')
      ? reader.oneOf('on_partition_change', ['resync', 'warn'])
      : 'resync',
    target: reader.object('target', (target) => ({ schema: target.text('schema'), name: target.text('name') })),
    metadata_prefix: reader.text('metadata_prefix'),
    enabled: reader.flag('enabled'),
    paused: reader.flag('paused'),
    pause: reader.laterOrNull('pause', (pause) => ({
      at: pause.text('at'),
      stream_position: pause.textOrNull('stream_position'),
    })),
    generation: reader.count('generation'),
    generation_reason: reader.text('generation_reason'),
    published_in_generation: reader.countOrNull('published_in_generation'),
    backfill: reader.objectOrNull('backfill', (backfill) => ({
      id: backfill.count('id'),
      columns: backfill.texts('columns'),
    })),
  };
}

function columnState(reader: Reader): ColumnState {
  return {
    name: reader.text('name'),
    attnum: reader.count('attnum'),
    type: reader.text('type'),
    target_type: reader.text('target_type'),
  };
}

function scheduleState(reader: Reader): ScheduleState {
  const jitter = reader.has('jitter_ms') ? { jitter_ms: reader.count('jitter_ms') } : {};
  return reader.oneOf('kind', ['every', 'cron']) === 'every'
    ? { kind: 'every', every_ms: reader.number('every_ms'), ...jitter }
    : { kind: 'cron', cron: reader.text('cron'), timezone: reader.text('timezone'), ...jitter };
}

/** Reads the fields of one JSON object, remembers which were asked for, and collects what is wrong with its path. */
class Reader {
  readonly #fields: ReadonlyMap<string, unknown>;
  readonly #path: string;
  readonly #problems: string[];
  readonly #known = new Set<string>();

  constructor(raw: unknown, path: string, problems: string[]) {
    this.#path = path;
    this.#problems = problems;
    const isObject = typeof raw === 'object' && raw !== null && !Array.isArray(raw);
    if (!isObject) problems.push(`${path === '' ? 'the document' : path} is not an object`);
    this.#fields = new Map(isObject ? Object.entries(raw) : []);
  }

  has(key: string): boolean {
    return this.#fields.has(key);
  }

  text(key: string): string {
    const value = this.#take(key);
    return typeof value === 'string' ? value : this.#wrong(key, 'a string', '');
  }

  textOrNull(key: string): string | null {
    const value = this.#take(key);
    return value === null || typeof value === 'string' ? value : this.#wrong(key, 'a string or null', null);
  }

  number(key: string): number {
    const value = this.#take(key);
    return typeof value === 'number' ? value : this.#wrong(key, 'a number', 0);
  }

  count(key: string): number {
    const value = this.#take(key);
    return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
      ? value
      : this.#wrong(key, 'a whole number', 0);
  }

  countOrNull(key: string): number | null {
    return this.#fields.get(key) === null ? this.#nothing(key) : this.count(key);
  }

  flag(key: string): boolean {
    const value = this.#take(key);
    return typeof value === 'boolean' ? value : this.#wrong(key, 'true or false', false);
  }

  oneOf<const Choice extends string>(key: string, choices: readonly [Choice, ...Choice[]]): Choice {
    const value = this.#take(key);
    return choices.find((choice) => choice === value) ?? this.#wrong(key, `one of ${choices.join(', ')}`, choices[0]);
  }

  texts(key: string): string[] {
    return this.#items(key).flatMap((item, index) =>
      typeof item === 'string' ? [item] : this.#wrong(`${key}[${index}]`, 'a string', []),
    );
  }

  object<Value>(key: string, read: (reader: Reader) => Value): Value {
    return this.#nested(this.#take(key), key, read);
  }

  /** A document that an earlier version wrote does not have every key; what it lacks is null. */
  objectOrNull<Value>(key: string, read: (reader: Reader) => Value): Value | null {
    return (this.#fields.get(key) ?? null) === null ? this.#nothing(key) : this.object(key, read);
  }

  /** A field that came later than the format: null where it is missing. */
  laterOrNull<Value>(key: string, read: (reader: Reader) => Value): Value | null {
    return this.#fields.has(key) ? this.objectOrNull(key, read) : null;
  }

  /** The same for one of several words. */
  laterOneOf<const Choice extends string>(key: string, choices: readonly [Choice, ...Choice[]]): Choice | null {
    return (this.#fields.get(key) ?? null) === null ? this.#nothing(key) : this.oneOf(key, choices);
  }

  list<Value>(key: string, read: (reader: Reader) => Value): Value[] {
    return this.#items(key).map((item, index) => this.#nested(item, `${key}[${index}]`, read));
  }

  map<Value>(key: string, read: (reader: Reader) => Value): Record<string, Value> {
    const value = this.#take(key);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return this.#wrong(key, 'an object', {});
    return Object.fromEntries(
      Object.entries(value).map(([name, item]) => [name, this.#nested(item, `${key}.${name}`, read)]),
    );
  }

  /** Call when all known fields were read: the rest is unknown. */
  end(): void {
    for (const key of this.#fields.keys()) {
      if (!this.#known.has(key)) this.#problems.push(`${this.#at(key)} is unknown`);
    }
  }

  #take(key: string): unknown {
    this.#known.add(key);
    return this.#fields.get(key);
  }

  #nothing(key: string): null {
    this.#known.add(key);
    return null;
  }

  #items(key: string): readonly unknown[] {
    const value: unknown = this.#take(key);
    return Array.isArray(value) ? value : this.#wrong(key, 'a list', []);
  }

  #nested<Value>(raw: unknown, key: string, read: (reader: Reader) => Value): Value {
    const reader = new Reader(raw, this.#at(key), this.#problems);
    const value = read(reader);
    reader.end();
    return value;
  }

  #wrong<Value>(key: string, expected: string, instead: Value): Value {
    this.#problems.push(`${this.#at(key)} is not ${expected}`);
    return instead;
  }

  #at(key: string): string {
    return this.#path === '' ? key : `${this.#path}.${key}`;
  }
}
