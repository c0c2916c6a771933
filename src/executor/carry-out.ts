import { parseAddress } from '../config/address.js';
import type { Config } from '../config/config.js';
import { formatTableKey } from '../config/table-key.js';
import type { StreamFacts } from '../destination/facts.js';
import type { DestinationWriter, RetireTable } from '../destination/writer.js';
import { assertNever, SluiceError } from '../error/sluice-error.js';
import { formatLsn } from '../pgoutput/lsn.js';
import { type ApplyContext, stateBeforeSlot } from '../planner/apply-edit.js';
import type { Change } from '../planner/change.js';
import { sourceIdentity } from '../planner/identity.js';
import { reachesDestination } from '../planner/source-end.js';
import type { SourceConnection } from '../source/connect.js';
import { sqlState } from '../source/errors.js';
import { changePublication, dropPublication } from '../source/publication.js';
import { readServer } from '../source/server.js';
import { createSlot, currentWalFlushLsn, dropSlot, readSlot } from '../source/slot.js';
import { type SourceIdentity, withPendingSlot } from '../state/edit.js';
import type { SourceState, StateDocument, TableState } from '../state/state.js';
import type { Destinations } from './destinations.js';
import { dropLeftPublication, dropOwnSlot, insistOnPlace } from './leave-server.js';
import { connectionOf, noConnection, type SourceConnections } from './source-connections.js';
import { targetTable } from './table-plan.js';

/** What the changes of a plan do outside of the state. */

export interface CarryOutDeps {
  readonly config: Config;
  readonly connections: SourceConnections;
  readonly destinations: Destinations;
}

/** A look at a destination before a slot goes need not wait for somebody who holds the file. */
const FACTS_WAIT_MS = 1_000;

/** One source while its changes are made: connections are opened when a change first needs one. */
export class SourceWork {
  readonly #source: string;
  readonly #deps: CarryOutDeps;
  readonly #signal: AbortSignal;
  #connection: SourceConnection | null = null;
  #identity: SourceIdentity | null = null;

  constructor(source: string, deps: CarryOutDeps, signal: AbortSignal) {
    this.#source = source;
    this.#deps = deps;
    this.#signal = signal;
  }

  async connection(state: StateDocument): Promise<SourceConnection> {
    if (this.#connection === null) {
      const name = connectionOf(this.#deps.config, this.#source, state.sources[this.#source]);
      if (name === null) {
        throw noConnection(this.#deps.config, this.#source);
      }
      const connection = await this.#deps.connections.open(name, 'apply', this.#signal);
      const left = this.leaving(state);
      try {
        if (left !== null) await insistOnPlace(connection, left, this.#signal);
      } catch (error) {
        await connection.end();
        throw error;
      }
      this.#connection = connection;
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

  /** The state of a source that left the file; null for one that is in it. */
  leaving(state: StateDocument): SourceState | null {
    return this.#deps.config.sources[this.#source] === undefined ? (state.sources[this.#source] ?? null) : null;
  }

  /** What the destination of a source that left the file holds of its stream; null: nothing, or it cannot be asked now. */
  async leftStream(left: SourceState): Promise<StreamFacts | null> {
    if (!reachesDestination(this.#deps.config, left)) return null;
    try {
      const { writer } = await this.#deps.destinations.get(left.destination);
      const { streams } = await writer.readFacts({ busyWaitMs: FACTS_WAIT_MS });
      return streams.find((stream) => stream.source === this.#source) ?? null;
    } catch {
      // A destination in trouble keeps no slot on the server; its own steps tell of it.
      return null;
    }
  }

  /** Where a source that left the file has lost its destination, too, nothing is recorded of it that could be reached. */
  async forgetStream(state: StateDocument): Promise<void> {
    const left = this.leaving(state);
    if (left !== null && !reachesDestination(this.#deps.config, left)) return;
    await (await this.writer(state)).forgetStream(this.#source);
  }

  async end(): Promise<void> {
    await this.#connection?.end();
  }
}

/** The effects of one change outside of the state. @returns what recording it needs */
export async function carryOut(
  change: Exclude<Change, { action: 'create_slot' }>,
  source: string,
  state: StateDocument,
  work: SourceWork,
  signal: AbortSignal,
): Promise<ApplyContext> {
  const table = state.sources[source]?.tables[keyOf(change.address)];
  const left = work.leaving(state);
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
      if (left === null) await dropPublication(await work.connection(state), change.details.publication, signal);
      else await dropLeftPublication(await work.connection(state), left, signal);
      return done();
    case 'drop_slot':
      if (left === null) await dropSlot(await work.connection(state), change.details.slot, signal);
      else await dropOwnSlot(await work.connection(state), left, await work.leftStream(left), signal);
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
      await work.forgetStream(state);
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
export async function makeSlot(
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

function keyOf(address: string): string {
  return address.slice(address.indexOf(':') + 1);
}
