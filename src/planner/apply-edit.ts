import { type Address, parseAddress } from '../config/address.js';
import { formatTableKey } from '../config/table-key.js';
import { assertNever, SluiceError } from '../error/sluice-error.js';
import {
  editTable,
  moveSource,
  moveTable,
  newSource,
  raiseGeneration,
  type SourceIdentity,
  withIdentity,
  withoutSource,
  withoutTable,
  withPendingSlot,
  withPublication,
  withSlot,
  withSource,
  withTable,
} from '../state/edit.js';
import type { SourceState, StateDocument } from '../state/state.js';
import type { Change, Loads } from './change.js';

/** What recording a change needs beyond the change: known only while it is made. */
export interface ApplyContext {
  /** Of the change's source ({@link sourceIdentity}); used when the state does not have the source yet. */
  readonly identity: SourceIdentity;
  /** create_slot: the LSN that Postgres answered with. */
  readonly slotLsn: string;
}

/**
 * The state after one change was made. Planner and executor share it, so that a plan whose changes were all recorded
 * leaves nothing to plan. Recording a change twice is the same as once. Self-managed publication changes record nothing.
 * @throws SluiceError INTERNAL for a change whose address is none
 */
export function stateAfter(state: StateDocument, change: Change, context: ApplyContext): StateDocument {
  const address = addressOf(change);
  const name = address.source;
  const table = address.kind === 'table' ? formatTableKey(address.schema, address.name) : '';
  const ready = makesSource(change) ? withSourceReady(state, name, context.identity) : state;
  const source = ready.sources[name];
  switch (change.action) {
    case 'create_publication':
      if (change.details.self_managed) return state;
      return withPublication(ready, name, change.details.publication, change.details.tables);
    case 'add_publication_tables': {
      if (change.details.self_managed || source === undefined) return state;
      const { publication, tables, loads } = change.details;
      const added = withPublication(ready, name, publication, [...source.publication_tables, ...tables]);
      return withLoads(added, name, loads, change.reason, true);
    }
    case 'remove_publication_tables': {
      if (change.details.self_managed || source === undefined) return state;
      const { tables } = change.details;
      const left = source.publication_tables.filter((key) => !tables.includes(key));
      return withPublication(ready, name, source.publication, left);
    }
    case 'drop_publication':
      return source?.publication === change.details.publication ? withPublication(ready, name, null, []) : ready;
    case 'create_slot': {
      const { slot, publication, loads } = change.details;
      const ours = source?.publication === publication ? source.publication_tables : [];
      const published = withPublication(ready, name, publication, ours);
      const created = withSlot(published, name, { name: slot, created_lsn: context.slotLsn });
      return withLoads(created, name, loads, change.reason, false);
    }
    case 'drop_slot': {
      if (source?.pending_slot?.name === change.details.slot) return withPendingSlot(ready, name, null);
      if (source?.slot?.name !== change.details.slot) return ready;
      const dropped = withSlot(ready, name, null);
      // Ours is only the knowledge that it was there; verified anew with the next slot.
      return source.management === 'self_managed' ? withPublication(dropped, name, null, []) : dropped;
    }
    case 'create_table':
    case 'change_method':
    case 'enable_table':
    case 'resync_table':
      return withTable(ready, name, table, change.details.table);
    case 'snapshot_table':
      return raiseGeneration(ready, name, table, change.reason, change.details.generation);
    case 'backfill_columns':
      return editTable(ready, name, table, { backfill: change.details });
    case 'rename_columns': {
      const { all_columns: columns, primary_key, cursor, renames } = change.details;
      const known = source?.tables[table];
      const pending = known?.backfill ?? null;
      const newName = (old: string): string => renames.find(({ from }) => from === old)?.to ?? old;
      const backfill = pending === null ? null : { ...pending, columns: pending.columns.map(newName) };
      const partition_by = (known?.partition_by ?? []).map(newName);
      return editTable(ready, name, table, { columns, primary_key, cursor, partition_by, backfill });
    }
    case 'add_columns':
    case 'remove_columns':
      return editTable(ready, name, table, { columns: change.details.all_columns });
    case 'change_output':
      return editTable(ready, name, table, { output: change.details.to });
    case 'change_schedule':
      return editTable(ready, name, table, { schedule: change.details.to });
    case 'disable_table':
      return editTable(ready, name, table, { enabled: false });
    case 'retire_table':
    case 'drop_table':
    case 'forget_table':
      return withoutTable(ready, name, table);
    case 'remove_source':
      return withoutSource(ready, name);
    case 'move':
      return afterMove(ready, change.details);
    case 'update_settings': {
      const { source: identity, table_fields: fields, loads } = change.details;
      const settled = identity === null ? ready : afterIdentity(ready, name, source, identity);
      const edited = fields === null ? settled : editTable(settled, name, table, fields);
      return withLoads(edited, name, loads, change.reason, false);
    }
    default:
      return assertNever(change);
  }
}

/**
 * The state before a slot is made. If the apply ends between making and recording it, this is what tells the next plan
 * that the slot on the server is ours; all other changes are simply made again.
 * @param walLsn the end of the server's WAL now, below which no slot that is made later can stand
 */
export function stateBeforeSlot(
  state: StateDocument,
  change: Extract<Change, { action: 'create_slot' }>,
  identity: SourceIdentity,
  walLsn: string,
): StateDocument {
  const { source } = addressOf(change);
  const ready = withSourceReady(state, source, identity);
  return withPendingSlot(ready, source, { name: change.details.slot, wal_lsn: walLsn });
}

function addressOf(change: Change): Address {
  const address = parseAddress(change.address);
  if (address !== null) return address;
  throw new SluiceError({ code: 'INTERNAL', message: `a change has the address "${change.address}", which is none` });
}

/** The first thing that is made of a source puts it into the state. */
function makesSource(change: Change): boolean {
  return change.action === 'create_publication' || change.action === 'create_slot' || change.action === 'create_table';
}

function withSourceReady(state: StateDocument, name: string, identity: SourceIdentity): StateDocument {
  return state.sources[name] === undefined ? withSource(state, name, newSource(identity)) : state;
}

function withLoads(
  state: StateDocument,
  source: string,
  loads: Loads,
  reason: string,
  published: boolean,
): StateDocument {
  return Object.entries(loads).reduce((current, [table, generation]) => {
    const raised = raiseGeneration(current, source, table, reason, generation);
    return published ? editTable(raised, source, table, { published_in_generation: generation }) : raised;
  }, state);
}

/** Under another management nothing in the publication counts as ours until it is taken over. */
function afterIdentity(
  state: StateDocument,
  name: string,
  before: SourceState | undefined,
  identity: SourceIdentity,
): StateDocument {
  const after = withIdentity(state, name, identity);
  if (before === undefined || before.management === identity.management) return after;
  return withPublication(after, name, before.publication, []);
}

function afterMove(state: StateDocument, move: Extract<Change, { action: 'move' }>['details']): StateDocument {
  const from = parseAddress(move.from);
  const to = parseAddress(move.to);
  if (from?.kind === 'source' && to?.kind === 'source') return moveSource(state, from.source, to.source);
  if (from?.kind !== 'table' || to?.kind !== 'table') return state;
  const key = formatTableKey(to.schema, to.name);
  const moved = moveTable(state, from.source, formatTableKey(from.schema, from.name), key);
  return move.target === null ? moved : editTable(moved, to.source, key, { target: move.target.to });
}
