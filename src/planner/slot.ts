import type { SourceConfig } from '../config/config.js';
import { parseLsn } from '../pgoutput/lsn.js';
import { type ObservedSlot, type ObservedSource, offersFailover } from '../source/catalog-model.js';
import { quoteIdentifier, quoteLiteral } from '../source/sql-identifier.js';
import type { SourceState } from '../state/state.js';
import type { Blocker, Change, Notice } from './change.js';
import { NO_COST } from './cost.js';
import { type Gap, loadsOf } from './load-order.js';
import { findBreak, type StreamView } from './stream-break.js';

/** Logical replication with a partition root in its publication came with 13. */
const OLDEST_VERSION = 130_000;

export interface SlotInput {
  readonly source: SourceConfig;
  readonly state: SourceState | null;
  readonly catalog: ObservedSource;
  readonly needed: boolean;
  /** Why the publication forbids going on with the slot that is there; null when it does not. */
  readonly fresh: string | null;
  readonly continuing: ReadonlySet<string>;
  /** What the destination holds of the stream, and whether some table has to be continued from there. */
  readonly held: Pick<StreamView, 'stream' | 'history' | 'continues'>;
  readonly generation: (key: string) => number;
}

export interface SlotPlan {
  /** Before the publication: a slot that cannot go on. */
  readonly drop: readonly Change[];
  /** After the publication, so that creating it waits for older writers of the published tables. */
  readonly make: readonly Change[];
  /** At the end: a slot that nothing needs any more. */
  readonly end: readonly Change[];
  /** The slot of the state goes on; tables published from now on came after it. */
  readonly kept: boolean;
  /** All continuing tables missed changes. */
  readonly gap: Gap | null;
  readonly blockers: readonly Blocker[];
  readonly notices: readonly Notice[];
}

export function planSlot(input: SlotInput): SlotPlan {
  const { source, state, catalog } = input;
  const address = `${source.name}:slot`;
  const leftover = dropLeftover(address, state, catalog);
  if (leftover === null) return planKnownSlot(input, address);
  // It goes first, and so it is in nobody's way.
  const slots = catalog.slots.filter((slot) => slot.name !== leftover.slot);
  const server = { ...catalog.server, usedReplicationSlots: catalog.server.usedReplicationSlots - 1 };
  const plan = planKnownSlot({ ...input, catalog: { ...catalog, slots, server } }, address);
  return { ...plan, drop: [leftover.change, ...plan.drop] };
}

function planKnownSlot(input: SlotInput, address: string): SlotPlan {
  const { source, state, catalog } = input;
  const name = source.cdc.slot;
  const old = state?.slot ?? null;
  const none: SlotPlan = { drop: [], make: [], end: [], kept: false, gap: null, blockers: [], notices: [] };
  if (!input.needed) {
    return old === null
      ? none
      : { ...none, end: [dropChange(address, old.name, catalog, 'no table is streamed any more', true)] };
  }
  const observed = findSlot(catalog, name);
  if (old === null) {
    const cause = 'the stream needs a slot';
    const gap = { cause: 'the slot is a new one, changes before it were not read', consented: false };
    return {
      ...none,
      make: [createChange(input, cause)],
      gap,
      blockers: createBlockers(address, input, observed, null),
    };
  }
  if (old.name !== name) {
    const cause = `the slot is ${name} now, it was ${old.name}`;
    return {
      ...none,
      drop: [dropChange(address, old.name, catalog, cause, true)],
      make: [createChange(input, cause)],
      gap: { cause, consented: false },
      blockers: createBlockers(address, input, observed, old.name),
    };
  }
  const { server, slots } = catalog;
  // That the server is the one that was applied is compareIdentity's to judge.
  const elsewhere = { system_identifier: null, database: null };
  const found = findBreak({ ...input.held, slot: old, state: elsewhere, server, slots });
  if (found?.remedy === 'by_hand') {
    const blocker =
      observed !== null && found.code === 'SLOT_OCCUPIED'
        ? occupied(address, observed, found.cause)
        : { address, code: found.code, message: found.cause, hint: found.hint };
    return { ...none, kept: true, blockers: [blocker] };
  }
  // What the guard dropped would grow again: only a person may say that it is made anew.
  const halted = state?.halted == null ? null : `the guard dropped slot ${name}, as it held back too much WAL`;
  const cause = halted ?? found?.cause ?? input.fresh;
  if (cause === null) {
    const notices = observed?.failover === false && offersFailover(server) ? [withoutFailover(address, name)] : [];
    return { ...none, kept: true, notices };
  }
  const gap = { cause, consented: halted === null && found !== null && source.cdc.onSlotLost === 'resync' };
  return {
    ...none,
    drop: observed === null ? [] : [dropChange(address, name, catalog, cause, !gap.consented)],
    make: [createChange(input, cause)],
    gap,
    blockers: createBlockers(address, input, null, observed === null ? null : name),
  };
}

/**
 * The slot of a source that left the file, and one that an interrupted apply may have made.
 * @param catalog null: the server was not seen
 */
export function planSlotEnd(
  source: string,
  state: SourceState,
  catalog: ObservedSource | null,
  reason: string,
): readonly Change[] {
  const address = `${source}:slot`;
  if (state.slot !== null) return [dropChange(address, state.slot.name, catalog, reason, true)];
  if (state.pending_slot === null) return [];
  if (catalog !== null) return [dropLeftover(address, state, catalog)?.change].filter((change) => change !== undefined);
  return [dropChange(address, state.pending_slot.name, null, reason, true)];
}

/**
 * A slot that an apply made and could not record, because it was killed in between. That it is ours: the state names it
 * as one that was about to be made, when there was none of that name, and it stands behind nothing that was in the WAL
 * then. Nothing was read from it, so making it anew loses nothing.
 */
function dropLeftover(
  address: string,
  state: SourceState | null,
  catalog: ObservedSource,
): { readonly slot: string; readonly change: Change } | null {
  const pending = state?.pending_slot ?? null;
  const slot = pending === null ? null : findSlot(catalog, pending.name);
  if (pending === null || slot === null) return null;
  if (slot.plugin !== 'pgoutput' || slot.database !== catalog.server.database) return null;
  if (slot.confirmedFlushLsn !== null && parseLsn(slot.confirmedFlushLsn) < parseLsn(pending.wal_lsn)) return null;
  const reason = 'an interrupted apply made it and could not record it; it is made anew';
  return { slot: slot.name, change: dropChange(address, slot.name, catalog, reason, false) };
}

/** SQL for a slot that Sluice cannot reach any more. */
export function dropSlotSql(slot: string): string {
  return `SELECT pg_drop_replication_slot(${quoteLiteral(slot)});`;
}

function createChange(input: SlotInput, reason: string): Change {
  const { cdc, name } = input.source;
  return {
    action: 'create_slot',
    address: `${name}:slot`,
    destructive: false,
    reason,
    cost: NO_COST,
    details: {
      slot: cdc.slot,
      publication: cdc.publication,
      failover: offersFailover(input.catalog.server),
      loads: loadsOf(input.continuing, input.generation),
    },
  };
}

/** Its position cannot be brought back, so dropping a slot is destructive unless the file consents or the position is lost anyway. */
function dropChange(
  address: string,
  slot: string,
  catalog: ObservedSource | null,
  reason: string,
  destructive: boolean,
): Change {
  return {
    action: 'drop_slot',
    address,
    destructive,
    reason,
    cost: NO_COST,
    details: { slot, retained_wal_bytes: (catalog && findSlot(catalog, slot)?.retainedWalBytes) ?? null },
  };
}

function findSlot(catalog: ObservedSource, name: string): ObservedSlot | null {
  return catalog.slots.find((slot) => slot.name === name) ?? null;
}

/** Replacing it would cost a load of every table, so that is left to whoever wants it. */
function withoutFailover(address: string, slot: string): Notice {
  return {
    address,
    message: `slot ${slot} was made without the failover option: a standby that takes over does not have it, and the tables are then loaded anew`,
  };
}

function occupied(address: string, slot: ObservedSlot, message: string): Blocker {
  return {
    address,
    code: 'SLOT_OCCUPIED',
    message,
    hint: `set another name under cdc.slot; or, if nothing else reads from it${slot.active ? ' (somebody does now)' : ''}: ${dropSlotSql(slot.name)}`,
  };
}

/** @param replaced a slot that this plan drops first, whose place is free then */
function createBlockers(
  address: string,
  input: SlotInput,
  inTheWay: ObservedSlot | null,
  replaced: string | null,
): Blocker[] {
  const { server } = input.catalog;
  const blockers: Blocker[] = [];
  const unsuitable = (message: string, hint: string) =>
    blockers.push({ address, code: 'SERVER_UNSUITABLE', message, hint });
  if (inTheWay !== null) {
    const message = `a replication slot "${inTheWay.name}" exists that this state did not make (left over from an interrupted apply, or another tool's)`;
    blockers.push(occupied(address, inTheWay, message));
  }
  if (server.versionNum < OLDEST_VERSION) {
    unsuitable(`Postgres ${server.version} is too old for cdc, 13 is needed`, 'use method: incremental or full_table');
  }
  if (server.inRecovery) {
    unsuitable('the server is a standby; cdc reads from the primary', 'point the connection at the primary');
  } else if (server.walLevel !== 'logical') {
    unsuitable(
      `wal_level is ${server.walLevel}, cdc needs logical`,
      'ALTER SYSTEM SET wal_level = logical; then restart the server',
    );
  }
  if (!server.isSuperuser && !server.hasReplication && server.replicationRoles.length === 0) {
    blockers.push({
      address,
      code: 'PRIVILEGE_MISSING',
      message: `role "${server.user}" may not create replication slots`,
      hint: `ALTER ROLE ${quoteIdentifier(server.user)} REPLICATION;`,
    });
  }
  const freed = replaced !== null && findSlot(input.catalog, replaced) !== null ? 1 : 0;
  if (server.usedReplicationSlots - freed >= server.maxReplicationSlots) {
    unsuitable(
      `all ${server.maxReplicationSlots} replication slots of the server are in use`,
      `ALTER SYSTEM SET max_replication_slots = ${server.maxReplicationSlots + 5}; then restart the server, or drop a slot that nothing uses`,
    );
  }
  return blockers;
}
