import type { StreamFacts } from '../destination/facts.js';
import type { ErrorCode } from '../error/codes.js';
import { parseLsn } from '../pgoutput/lsn.js';
import type { ObservedServer, ObservedSlot } from '../source/catalog-model.js';
import { leftTimelineAt, type TimelineHistory } from '../source/timeline-history.js';
import type { SourceState } from '../state/state.js';

/** What the state, the destination and the server say of one stream. */
export interface StreamView {
  readonly slot: NonNullable<SourceState['slot']>;
  readonly state: Pick<SourceState, 'system_identifier' | 'database'>;
  readonly server: ObservedServer;
  readonly slots: readonly ObservedSlot[];
  /** Null while nothing was loaded. */
  readonly stream: StreamFacts | null;
  /** Of the server's timeline; null: not asked for, or the server does not tell. */
  readonly history: TimelineHistory | null;
  /** Some table in the destination holds rows that the stream has to continue. */
  readonly continues: boolean;
}

export interface StreamBreak {
  readonly code: ErrorCode;
  /** Why the stream cannot go on, as a sentence without its full stop. */
  readonly cause: string;
  /** renew: only a new slot and new loads help, which a plan shows; by_hand: something is not what was applied. */
  readonly remedy: 'renew' | 'by_hand';
  readonly hint: string;
}

const RENEW_HINT = 'run: sluice plan, then sluice apply (makes a new slot and loads the tables anew)';

/**
 * Looks for a reason why the stream cannot go on without a gap. Asked before any change is applied, of every plan and
 * every sync alike, so that both say the same.
 *
 * A slot that somebody made anew under our name stands at or beyond the end of the WAL at that moment, hence at or beyond
 * everything that was confirmed: it is found ahead of the destination. Where it stands exactly at our position nothing was
 * written in between, and it continues the stream as well as ours did. One that stands behind our position was made by
 * copying a slot or belongs to an earlier state of the server: then either it decodes the same WAL again, which repeats
 * nothing, or the server itself is another one, which its WAL position and its timeline tell.
 */
export function findBreak(view: StreamView): StreamBreak | null {
  const { server, slot } = view;
  const elsewhere = otherPlace(view);
  if (elsewhere !== null) return elsewhere;
  if (server.inRecovery) {
    return {
      code: 'SERVER_UNSUITABLE',
      cause: 'the server is a standby now, and cdc reads from the primary',
      remedy: 'by_hand',
      hint: 'point the connection at the primary',
    };
  }
  const seen = view.slots.find((each) => each.name === slot.name);
  if (seen === undefined) return renew('SLOT_MISSING', `slot ${slot.name} is gone from the server`);
  return foreignSlot(seen, server) ?? lostSlot(seen) ?? (view.continues ? brokenPosition(view, seen) : null);
}

/** Whether what the destination holds of the stream came through this slot, and its position lies in this server's past. */
export function isTrusted(view: StreamView): boolean {
  return view.stream !== null && findBreak({ ...view, continues: true }) === null;
}

/** The connection reaches another cluster or database than the one that was applied: nothing of it is to be read. */
export function otherPlace(view: Pick<StreamView, 'state' | 'server'>): StreamBreak | null {
  const { server, state } = view;
  const from = state.system_identifier;
  if (from !== null && server.systemIdentifier !== null && server.systemIdentifier !== from) {
    return {
      code: 'SYSTEM_CHANGED',
      cause: `the connection reaches another database cluster (system identifier ${server.systemIdentifier}) than the one that was applied (${from})`,
      remedy: 'by_hand',
      hint: 'check the connection; if the move is meant, run: sluice plan',
    };
  }
  if (state.database !== null && server.database !== state.database) {
    return {
      code: 'SYSTEM_CHANGED',
      cause: `the connection reaches database "${server.database}", the one that was applied is "${state.database}"`,
      remedy: 'by_hand',
      hint: 'check the connection; if the move is meant, run: sluice plan',
    };
  }
  return null;
}

/** A slot of our name with which the stream was never made. */
function foreignSlot(slot: ObservedSlot, server: ObservedServer): StreamBreak | null {
  const what =
    slot.plugin !== 'pgoutput'
      ? slot.plugin === null
        ? 'is a physical slot'
        : `uses the plugin ${slot.plugin}`
      : slot.database !== server.database
        ? `belongs to database "${slot.database}"`
        : slot.temporary
          ? 'is a temporary slot of some session'
          : slot.twoPhase
            ? 'was made for two-phase decoding'
            : null;
  if (what === null) return null;
  return {
    code: 'SLOT_OCCUPIED',
    cause: `slot ${slot.name} is not the one that was made: it ${what}`,
    remedy: 'by_hand',
    hint: `drop it if nothing else reads from it${slot.active ? ' (somebody does now)' : ''}, or set another name under cdc.slot; then: sluice plan`,
  };
}

function lostSlot(slot: ObservedSlot): StreamBreak | null {
  if (slot.invalidationReason !== null) {
    return renew('SLOT_LOST', `the server invalidated slot ${slot.name} (${slot.invalidationReason})`);
  }
  if (slot.walStatus === 'lost') return renew('SLOT_LOST', `the server removed WAL that slot ${slot.name} needs`);
  return slot.confirmedFlushLsn === null
    ? renew('SLOT_LOST', `slot ${slot.name} was never completed, as making it was broken off`)
    : null;
}

function brokenPosition(view: StreamView, seen: ObservedSlot): StreamBreak | null {
  const { slot, stream, server } = view;
  const held = stream?.confirmedLsn ?? slot.created_lsn;
  if (stream !== null && !isOfSlot(stream, slot)) {
    return renew('SLOT_AHEAD', `the destination's changes came through a slot before this ${slot.name}`);
  }
  const confirmed = seen.confirmedFlushLsn ?? held;
  if (parseLsn(confirmed) > parseLsn(held)) {
    return renew(
      'SLOT_AHEAD',
      `slot ${slot.name} stands at ${confirmed}, the destination holds changes up to ${held}: somebody else read from the slot or made it anew`,
    );
  }
  if (stream === null) return null;
  const strayed = otherTimeline(stream, server, view.history);
  if (strayed !== null) return renew('TIMELINE_CHANGED', strayed);
  if (parseLsn(server.currentWalLsn) < parseLsn(held)) {
    return renew(
      'SERVER_BEHIND',
      `the server's WAL ends at ${server.currentWalLsn}, the destination holds changes up to ${held}: the server was restored from a backup, or a standby that lagged behind took over`,
    );
  }
  return null;
}

function isOfSlot(stream: StreamFacts, slot: StreamView['slot']): boolean {
  return stream.slot === slot.name && (stream.slotCreatedLsn === null || stream.slotCreatedLsn === slot.created_lsn);
}

/**
 * After a failover or a recovery the WAL is shared with the old timeline up to the switch. What was streamed beyond it is
 * not in the new server, and the LSNs from there on have been given out again. A server that does not tell where it
 * switched is not taken at its word: the position might lie on either side.
 */
function otherTimeline(stream: StreamFacts, server: ObservedServer, history: TimelineHistory | null): string | null {
  const { timelineId: from } = stream;
  const to = server.timelineId;
  if (from === null || to === null || from === to) return null;
  const switched = `the server went from timeline ${from} to ${to} (a failover, or a restore)`;
  if (history === null || history.timelineId !== to) {
    return `${switched} and does not say at which position: it allows no replication connection`;
  }
  const leftAt = leftTimelineAt(history, from);
  if (leftAt === null) return `${switched}, and ${to} does not descend from ${from}`;
  if (parseLsn(stream.confirmedLsn) <= leftAt) return null;
  return `${switched} before ${stream.confirmedLsn}, up to which the destination holds changes: some of them are not in the server any more`;
}

function renew(code: ErrorCode, cause: string): StreamBreak {
  return { code, cause, remedy: 'renew', hint: RENEW_HINT };
}
