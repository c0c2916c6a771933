import { SluiceError } from '../error/sluice-error.js';
import { type Lsn, parseLsn } from '../pgoutput/lsn.js';

/**
 * A server's timelines: each promotion of a standby and each recovery from a backup begins a new one, which shares the
 * WAL of its parent up to the switch. LSNs beyond the switch mean different things on the two.
 */

/** The ancestors of a timeline, oldest first. */
export interface TimelineHistory {
  readonly timelineId: number;
  readonly ancestors: readonly { readonly timelineId: number; readonly switchedAt: Lsn }[];
}

/**
 * Parses a timeline history file.
 * @param content lines of parent timeline, switch point and reason, separated by tabs; `#` begins a comment
 * @throws SluiceError PROTOCOL_VIOLATION
 * @see Postgres source, readTimeLineHistory in timeline.c
 */
export function parseTimelineHistory(timelineId: number, content: string): TimelineHistory {
  const lines = content.split('\n').map((line) => line.trim());
  const ancestors = lines
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [, parent, switchedAt] = /^([0-9]+)\s+([0-9A-Fa-f]{1,8}\/[0-9A-Fa-f]{1,8})(?:\s|$)/.exec(line) ?? [];
      if (parent === undefined || switchedAt === undefined) {
        throw new SluiceError({ code: 'PROTOCOL_VIOLATION', message: `not a line of a timeline history: "${line}"` });
      }
      return { timelineId: Number(parent), switchedAt: parseLsn(switchedAt) };
    });
  return { timelineId, ancestors };
}

/**
 * Up to where a timeline is part of another's history.
 * @returns the LSN at which the server left it; null where it never was on it
 */
export function leftTimelineAt(history: TimelineHistory, timelineId: number): Lsn | null {
  return history.ancestors.find((ancestor) => ancestor.timelineId === timelineId)?.switchedAt ?? null;
}
