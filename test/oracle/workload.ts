import fc from 'fast-check';
import pg from 'pg';
import type { TestPostgres } from '../postgres/server.js';
import { keyNames, type OracleTable } from './oracle-table.js';

/**
 * Random steps and the sessions that carry them out. A statement that cannot go on (a lock held by another session, a
 * key that exists) ends the work since the last savepoint, or the transaction: rollbacks come by themselves.
 */

export type Step =
  | {
      readonly kind: 'change';
      readonly session: number;
      readonly table: number;
      readonly op: ChangeOp;
      readonly a: number;
      readonly b: number;
      readonly seed: number;
    }
  | { readonly kind: 'transaction'; readonly session: number; readonly verb: TransactionVerb }
  | { readonly kind: 'truncate'; readonly session: number; readonly table: number }
  /** Begins a sync and lets the workload go on beside it. `only`: of one table, for which the others' changes are kept. */
  | { readonly kind: 'sync'; readonly only: number | null }
  /** Follows by the replication protocol beside the workload, until something else is to be done. */
  | { readonly kind: 'follow' }
  | { readonly kind: 'resync'; readonly table: number }
  | { readonly kind: 'add_table' }
  /** `leaveOpen`: transactions that nothing waits for stay open over it. */
  | { readonly kind: 'checkpoint'; readonly leaveOpen: boolean; readonly commit: boolean };

export type ChangeOp = (typeof CHANGE_OPS)[number];
const CHANGE_OPS = [
  'insert',
  'insert_then_update',
  'upsert',
  'update',
  'update_twice',
  'update_all',
  'delete',
  'reinsert',
  'rekey',
  'rekey_and_update',
  'swap',
  'chain',
  'insert_then_delete',
] as const;

export type TransactionVerb = 'begin' | 'commit' | 'rollback' | 'savepoint' | 'rollback_to' | 'release';

export const SESSIONS = 4;
/** Keys of a table: few, so that sessions and transactions meet on them. */
const KEYS = 12;
const LOCK_TIMEOUT_MS = 40;

const session = fc.nat(SESSIONS - 1);
const table = fc.nat(63);
const key = fc.nat(KEYS - 1);

export const STEP: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 60,
    arbitrary: fc.record({
      kind: fc.constant('change' as const),
      session,
      table,
      op: fc.constantFrom(...CHANGE_OPS),
      a: key,
      b: key,
      seed: fc.nat(1_000_000_000),
    }),
  },
  {
    weight: 22,
    arbitrary: fc.record({
      kind: fc.constant('transaction' as const),
      session,
      verb: fc.constantFrom<TransactionVerb>(
        'begin',
        'begin',
        'begin',
        'commit',
        'commit',
        'rollback',
        'savepoint',
        'savepoint',
        'rollback_to',
        'release',
      ),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('truncate' as const), session, table }) },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('sync' as const), only: fc.option(table, { nil: null, freq: 2 }) }),
  },
  { weight: 3, arbitrary: fc.constant({ kind: 'follow' as const }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('resync' as const), table }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'add_table' as const }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('checkpoint' as const),
      leaveOpen: fc.boolean(),
      commit: fc.boolean(),
    }),
  },
);

/** One connection that changes data. */
export class WorkSession {
  readonly #client: pg.Client;
  #open = false;
  readonly #savepoints: string[] = [];
  /** Tables that the open transaction wrote to. */
  readonly written = new Set<string>();
  /** The open transaction holds a lock that keeps readers out. */
  truncated = false;

  private constructor(client: pg.Client) {
    this.#client = client;
  }

  static async open(postgres: TestPostgres, database: string): Promise<WorkSession> {
    const client = await postgres.client(database);
    await client.query(`set lock_timeout = ${LOCK_TIMEOUT_MS}`);
    return new WorkSession(client);
  }

  get isOpen(): boolean {
    return this.#open;
  }

  async transaction(verb: TransactionVerb): Promise<void> {
    switch (verb) {
      case 'begin':
        if (!this.#open) await this.#client.query('begin');
        this.#open = true;
        return;
      case 'savepoint': {
        if (!this.#open) return;
        const name = `s${this.#savepoints.length}`;
        await this.#client.query(`savepoint ${name}`);
        this.#savepoints.push(name);
        return;
      }
      case 'rollback_to': {
        const name = this.#savepoints.at(-1);
        if (name !== undefined) await this.#client.query(`rollback to savepoint ${name}`);
        return;
      }
      case 'release': {
        const name = this.#savepoints.pop();
        if (name !== undefined) await this.#client.query(`release savepoint ${name}`);
        return;
      }
      case 'commit':
        if (this.#open) await this.#client.query('commit');
        this.#ended();
        return;
      case 'rollback':
        if (this.#open) await this.#client.query('rollback');
        this.#ended();
        return;
    }
  }

  /** @returns false where Postgres refused and the work was rolled back */
  async run(name: string, statements: readonly string[]): Promise<boolean> {
    if (statements.length === 0) return true;
    // Several statements are one step: outside of a transaction they get one of their own.
    const own = !this.#open && statements.length > 1;
    try {
      if (own) await this.#client.query('begin');
      if (this.#open) this.written.add(name);
      for (const statement of statements) await this.#client.query(statement);
      if (own) await this.#client.query('commit');
      return true;
    } catch (error) {
      if (!isExpected(error)) throw error;
      const savepoint = this.#savepoints.at(-1);
      if (savepoint !== undefined) await this.#client.query(`rollback to savepoint ${savepoint}`);
      else if (this.#open || own) await this.#client.query('rollback');
      if (savepoint === undefined) this.#ended();
      return false;
    }
  }

  async close(): Promise<void> {
    await this.#client.end();
  }

  #ended(): void {
    this.#open = false;
    this.truncated = false;
    this.#savepoints.length = 0;
    this.written.clear();
  }
}

/** What a random workload runs into: locks, taken keys, deadlocks. Anything else is a mistake of the test. */
function isExpected(error: unknown): boolean {
  return error instanceof pg.DatabaseError && ['55P03', '23505', '40P01', '40001'].includes(error.code ?? '');
}

/** The statements of one change; [] where the table does not take it. */
export function changeStatements(target: OracleTable, step: Extract<Step, { kind: 'change' }>): string[] {
  const { name } = target;
  const names = keyNames(target).join(', ');
  const [first, second] = [target.keyOf(step.a), target.keyOf(step.b === step.a ? (step.b + 1) % KEYS : step.b)];
  const where = (values: string) => `(${names}) = (${values})`;
  const setKey = (values: string) => (target.keyColumns === 1 ? `${names} = ${values}` : `(${names}) = row(${values})`);
  const { columns, values } = target.fresh(step.seed);
  const insert = `insert into ${name} (${names}, ${columns}) values (${first}, ${values})`;
  const change = (seed: number): string[] => {
    const assignment = target.changes[seed % Math.max(1, target.changes.length)];
    return assignment === undefined ? [] : [`update ${name} set ${assignment(seed)} where ${where(first)}`];
  };
  const remove = `delete from ${name} where ${where(first)}`;
  const move = (from: string, to: string) => `update ${name} set ${setKey(to)} where ${where(from)}`;
  // A key that no other step uses, to pass through.
  const spare = target.keyOf(KEYS + 4 + (step.seed % 4));
  switch (step.op) {
    case 'insert':
      return [insert];
    case 'insert_then_update':
      return [insert, ...change(step.seed), ...change(step.seed + 1)];
    case 'upsert': {
      const assignment = target.changes[step.seed % Math.max(1, target.changes.length)];
      if (assignment === undefined) return [insert];
      return [`${insert} on conflict (${names}) do update set ${assignment(step.seed + 1)}`];
    }
    case 'update':
      return change(step.seed);
    case 'update_twice':
      return [...change(step.seed), ...change(step.seed + 1)];
    case 'update_all': {
      const assignment = target.changes[0];
      return assignment === undefined ? [] : [`update ${name} set ${assignment(step.seed)}`];
    }
    case 'delete':
      return target.deletes ? [remove] : [];
    case 'reinsert':
      return target.deletes ? [remove, insert] : [];
    case 'rekey':
      return target.rekeys ? [move(first, second)] : [];
    case 'rekey_and_update':
      return target.rekeys
        ? [move(first, second), ...change(step.seed), move(second, first), ...change(step.seed + 1)]
        : [];
    case 'swap':
      return target.rekeys ? [move(first, spare), move(second, first), move(spare, second)] : [];
    case 'chain': {
      const third = target.keyOf((step.b + step.seed) % KEYS);
      return target.rekeys ? [move(first, spare), move(second, first), move(third, second)] : [];
    }
    case 'insert_then_delete':
      return target.deletes ? [insert, ...change(step.seed), remove] : [];
  }
}
