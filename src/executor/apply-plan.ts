import { randomUUID } from 'node:crypto';
import { parseAddress } from '../config/address.js';
import type { Config } from '../config/config.js';
import { formatTableKey } from '../config/table-key.js';
import type { DestinationWriter, RetireTable } from '../destination/writer.js';
import { asSluiceError, assertNever, SluiceError, toPlain } from '../error/sluice-error.js';
import { formatLsn } from '../pgoutput/lsn.js';
import { type ApplyContext, stateAfter, stateBeforeSlot } from '../planner/apply-edit.js';
import type { Change, Plan } from '../planner/change.js';
import { sourceIdentity } from '../planner/identity.js';
import type { SourceConnection } from '../source/connect.js';
import { sqlState } from '../source/errors.js';
import { changePublication, dropPublication } from '../source/publication.js';
import { readServer } from '../source/server.js';
import { createSlot, currentWalFlushLsn, dropSlot, readSlot } from '../source/slot.js';
import { emptyState, type SourceIdentity, withPendingSlot } from '../state/edit.js';
import { writeBesideGuard } from '../state/halt.js';
import type { StateDocument, TableState } from '../state/state.js';
import type { StateFile } from '../state/state-file.js';
import { failpoint } from '../thread/failpoint.js';
import type { Destinations } from './destinations.js';
import type { ChangeResult, Clock, EngineEvent } from './engine.js';
import { connectionOf, type SourceConnections } from './source-connections.js';
import { targetTable } from './table-plan.js';

/**
 * Does a plan's changes in their order. Each is recorded in the state as soon as it is done; one that fails leaves what
 * was done before it applied, and the changes of the same source that come after it unattempted.
 */

export interface ApplyDeps {
  readonly config: Config;
  readonly stateFile: StateFile;
  readonly connections: SourceConnections;
  readonly destinations: Destinations;
  readonly clock: Clock;
  readonly onEvent: (event: EngineEvent) => void;
}

/** @throws SluiceError PLAN_STALE, PLAN_BLOCKED; failures of single changes are in the results */
export async function applyPlan(plan: Plan, deps: ApplyDeps, signal: AbortSignal): Promise<ChangeResult[]> {
  const current = await deps.stateFile.read();
  refuseStale(plan, current, deps.config);
  const works = new Map<string, SourceWork>();
  const results: ChangeResult[] = plan.changes.map((change) => ({
    change,
    status: 'not_attempted',
    because: 'the apply ended before it',
  }));
  let expected: StateDocument | null = current;
  let state = current ?? emptyState(randomUUID());
  const failedSources = new Map<string, string>();
  try {
    for (const [index, change] of plan.changes.entries()) {
      if (signal.aborted) break;
      const source = sourceOf(change.address);
      const blockedBy = failedSources.get(source);
      if (blockedBy !== undefined) {
        results[index] = { change, status: 'not_attempted', because: `${blockedBy} failed` };
        continue;
      }
      deps.onEvent({ kind: 'change_started', change });
      const startedMs = deps.clock.monotonicMs();
      try {
        const work = works.get(source) ?? new SourceWork(source, deps, signal);
        works.set(source, work);
        const record = async (next: StateDocument): Promise<void> => {
          expected = await writeBesideGuard(deps.stateFile, next, expected);
          state = expected;
        };
        const context =
          change.action === 'create_slot'
            ? await makeSlot(change, source, work, () => state, record, signal)
            : await carryOut(change, source, state, work, signal);
        await failpoint('before_state_write');
        await record(stateAfter(state, change, context));
        await failpoint('after_state_write');
        results[index] = { change, status: 'applied', durationMs: deps.clock.monotonicMs() - startedMs };
      } catch (error) {
        failedSources.set(source, `${change.action} ${change.address}`);
        results[index] = { change, status: 'failed', error: toPlain(asSluiceError(error)) };
      }
      deps.onEvent({ kind: 'change_ended', result: results[index] });
    }
  } finally {
    for (const work of works.values()) await work.end();
  }
  return results;
}

function refuseStale(plan: Plan, state: StateDocument | null, config: Config): void {
  if (plan.config_hash !== config.hash) {
    throw new SluiceError({
      code: 'PLAN_STALE',
      message: `the plan was made for another version of ${config.file}`,
      hint: 'make a new plan: sluice plan',
    });
  }
  const lineage = state?.lineage ?? '';
  const serial = state?.serial ?? 0;
  if (plan.state.serial !== serial || plan.state.lineage !== lineage) {
    throw new SluiceError({
      code: 'PLAN_STALE',
      message: `the plan was made for state serial ${plan.state.serial}, the state is at ${serial}`,
      hint: 'something was applied since (a plan is used once); make a new plan: sluice plan',
    });
  }
  const [blocker] = plan.blockers;
  if (blocker !== undefined) {
    throw new SluiceError({
      code: blocker.code,
      address: blocker.address,
      message: `the plan cannot be applied: ${blocker.message}`,
      hint: blocker.hint ?? 'mend it and make a new plan',
    });
  }
}

function sourceOf(address: string): string {
  const at = address.indexOf(':');
  return at === -1 ? address : address.slice(0, at);
}

function keyOf(address: string): string {
  return address.slice(address.indexOf(':') + 1);
}

/** One source while its changes are made: connections are opened when a change first needs one. */
class SourceWork {
  readonly #source: string;
  readonly #deps: ApplyDeps;
  readonly #signal: AbortSignal;
  #connection: SourceConnection | null = null;
  #identity: SourceIdentity | null = null;

  constructor(source: string, deps: ApplyDeps, signal: AbortSignal) {
    this.#source = source;
    this.#deps = deps;
    this.#signal = signal;
  }

  async connection(state: StateDocument): Promise<SourceConnection> {
    if (this.#connection === null) {
      const name = connectionOf(this.#deps.config, this.#source, state.sources[this.#source]);
      if (name === null) {
        throw new SluiceError({
          code: 'ADDRESS_UNKNOWN',
          address: this.#source,
          message: `no connection in ${this.#deps.config.file} reaches the database of source "${this.#source}"`,
        });
      }
      this.#connection = await this.#deps.connections.open(name, 'apply', this.#signal);
    }
    return this.#connection;
  }

  /** What the state records of a source that it does not have yet. */
  async identity(state: StateDocument): Promise<SourceIdentity> {
    const known = state.sources[this.#source];
    if (known !== undefined) return known;
    if (this.#identity === null) {
      const settings = this.#deps.config.sources[this.#source];
      const server = await readServer(await this.connection(state), this.#signal);
      const identity = settings === undefined ? null : sourceIdentity(this.#deps.config, settings, server);
      if (identity === null) {
        throw new SluiceError({
          code: 'ADDRESS_UNKNOWN',
          message: `source "${this.#source}" is not in ${this.#deps.config.file}`,
        });
      }
      this.#identity = identity;
    }
    return this.#identity;
  }

  async writer(state: StateDocument): Promise<DestinationWriter> {
    const name = state.sources[this.#source]?.destination ?? this.#deps.config.sources[this.#source]?.destination ?? '';
    return (await this.#deps.destinations.get(name)).writer;
  }

  async end(): Promise<void> {
    await this.#connection?.end();
  }
}

/** The effects of one change outside of the state. @returns what recording it needs */
async function carryOut(
  change: Exclude<Change, { action: 'create_slot' }>,
  source: string,
  state: StateDocument,
  work: SourceWork,
  signal: AbortSignal,
): Promise<ApplyContext> {
  const table = state.sources[source]?.tables[keyOf(change.address)];
  const done = async (): Promise<ApplyContext> => ({ identity: await work.identity(state), slotLsn: '' });
  switch (change.action) {
    case 'create_publication':
    case 'add_publication_tables':
      await alterPublication(change.details, change.details.tables, [], work, state, signal);
      return done();
    case 'remove_publication_tables':
      await alterPublication(change.details, [], change.details.tables, work, state, signal);
      return done();
    case 'drop_publication':
      await dropPublication(await work.connection(state), change.details.publication, signal);
      return done();
    case 'drop_slot':
      await dropSlot(await work.connection(state), change.details.slot, signal);
      return done();
    case 'update_settings':
      if (change.details.sql !== null) {
        await changePublication(await work.connection(state), change.details.sql, signal);
      }
      if (table !== undefined && change.details.table_fields?.columns !== undefined) {
        const after: TableState = { ...table, ...change.details.table_fields };
        await (await work.writer(state)).widenColumns(targetTable(change.address, after));
      }
      return done();
    case 'add_columns':
      if (table !== undefined) {
        const after: TableState = { ...table, columns: change.details.all_columns };
        const added = change.details.columns.map((column) => column.name);
        await (await work.writer(state)).addColumns({ table: targetTable(change.address, after), added });
      }
      return done();
    case 'rename_columns':
      if (table !== undefined) {
        const { renames } = change.details;
        await (await work.writer(state)).renameColumns({ table: targetTable(change.address, table), renames });
      }
      return done();
    case 'retire_table':
      await (await work.writer(state)).retireTable(leaving(change.address, table, change.details));
      return done();
    case 'drop_table':
      await (await work.writer(state)).dropTable(leaving(change.address, table, change.details));
      return done();
    case 'remove_source':
      await (await work.writer(state)).forgetStream(source);
      return done();
    case 'move':
      await moveData(change.details, state, work);
      return done();
    case 'create_table':
    case 'snapshot_table':
    case 'resync_table':
    case 'backfill_columns':
    case 'remove_columns':
    case 'change_method':
    case 'change_output':
    case 'change_schedule':
    case 'disable_table':
    case 'enable_table':
    case 'forget_table':
      return done();
    default:
      return assertNever(change);
  }
}

/**
 * Makes a slot, announcing it in the state first: one that was made and not recorded would hold WAL for ever and be in
 * the way of the next apply, which could not tell it from somebody else's.
 */
async function makeSlot(
  change: Extract<Change, { action: 'create_slot' }>,
  source: string,
  work: SourceWork,
  state: () => StateDocument,
  record: (next: StateDocument) => Promise<void>,
  signal: AbortSignal,
): Promise<ApplyContext> {
  const { slot, failover } = change.details;
  const connection = await work.connection(state());
  const identity = await work.identity(state());
  const walLsn = formatLsn(await currentWalFlushLsn(connection, signal));
  // One that is there already is not ours; createSlot says so.
  const announced = (await readSlot(connection, slot, signal)) === null;
  if (announced) await record(stateBeforeSlot(state(), change, identity, walLsn));
  try {
    return { identity, slotLsn: formatLsn(await createSlot(connection, slot, signal, failover)) };
  } catch (error) {
    // What Postgres refused was not made. After a broken connection nobody knows, so the announcement stays.
    if (announced && (sqlState(error) !== null || signal.aborted)) {
      await record(withPendingSlot(state(), source, null));
    }
    throw error;
  }
}

async function alterPublication(
  details: { readonly publication: string; readonly sql: string; readonly self_managed: boolean },
  present: readonly string[],
  absent: readonly string[],
  work: SourceWork,
  state: StateDocument,
  signal: AbortSignal,
): Promise<void> {
  const { publication, sql } = details;
  if (details.self_managed || sql === '') return;
  await changePublication(await work.connection(state), sql, signal, { publication, present, absent });
}

/** Everything that the destination keeps under the old address follows to the new one. */
async function moveData(
  details: Extract<Change, { action: 'move' }>['details'],
  state: StateDocument,
  work: SourceWork,
): Promise<void> {
  const writer = await work.writer(state);
  const from = parseAddress(details.from);
  const to = parseAddress(details.to);
  if (from?.kind === 'source' && to?.kind === 'source') {
    await writer.moveStream({ from: from.source, to: to.source });
    for (const [key, table] of Object.entries(state.sources[from.source]?.tables ?? {})) {
      const place = { ...table.target, ...outputs(table) };
      await writer.moveTable({
        from: { address: `${from.source}:${key}`, ...place },
        to: { address: `${to.source}:${key}`, ...place },
      });
    }
    return;
  }
  if (from?.kind !== 'table') return;
  const table = state.sources[from.source]?.tables[formatTableKey(from.schema, from.name)];
  if (table === undefined) return;
  await writer.moveTable({
    from: { address: details.from, ...(details.target?.from ?? table.target), ...outputs(table) },
    to: { address: details.to, ...(details.target?.to ?? table.target), ...outputs(table) },
  });
}

function outputs(table: TableState): { history: boolean; consolidated: boolean } {
  const history = table.method === 'cdc' && table.output !== 'consolidated';
  return { history, consolidated: table.method !== 'cdc' || table.output !== 'history' };
}

function leaving(
  address: string,
  table: TableState | undefined,
  details: { readonly target: TableState['target']; readonly history: boolean },
): RetireTable {
  return {
    address,
    schema: details.target.schema,
    name: details.target.name,
    history: details.history,
    consolidated: table === undefined || table.method !== 'cdc' || table.output !== 'history',
  };
}
