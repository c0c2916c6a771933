import type { SourceStatus } from '../../executor/engine.js';
import type { LagFacts } from '../../guard/wal-lag.js';
import type { Page } from '../command.js';
import { displayWidth, type Paint } from '../terminal.js';
import { formatBytes, formatDuration } from './quantity.js';

type Slot = NonNullable<SourceStatus['slot']>;

/** Below the first line of a slot. */
const CONTINUED = '  ';

/** All of a slot in one line. @param brief without what is as it should be */
export function slotText(slot: Slot, paint: Paint, brief = false): string {
  const lag = slot.lag === null || (brief && slot.lag.level === 'ok') ? [] : lagParts(slot.lag, paint);
  return inOneLine([stateParts(slot, paint, brief), walParts(slot, lag, brief)]);
}

/**
 * A slot in as few lines as fit the page: what it is, what it keeps, and how that grows, each in a line of its own where
 * the page is too narrow for more. None is left to the terminal to break, as far as single words allow.
 */
export function slotLines(slot: Slot, indent: string, { paint, columns }: Pick<Page, 'paint' | 'columns'>): string[] {
  const state = stateParts(slot, paint, false);
  const lag = slot.lag === null ? [] : lagParts(slot.lag, paint);
  const full = [state, walParts(slot, lag, false)];
  const apart = [state, walParts(slot, [], false), lag.map((part, at) => (at === 0 ? `lag: ${part}` : part))];
  const fits = (line: string): boolean => columns === null || displayWidth(line) <= columns;
  const layouts = [[inOneLine(full)], inLines(full), inLines(apart)].map((lines) => lines.map((line) => indent + line));
  return layouts.find((lines) => lines.every(fits)) ?? packed(apart, indent, fits);
}

function stateParts(slot: Slot, paint: Paint, brief: boolean): readonly string[] {
  const parts = [`slot ${slot.name}`];
  if (slot.exists === false) parts.push(paint('red', 'missing'));
  if (slot.active !== null && !brief) parts.push(slot.active ? 'in use' : 'idle');
  if (slot.walStatus !== null && !(brief && slot.walStatus === 'reserved'))
    parts.push(slot.walStatus === 'lost' ? paint('red', 'lost') : slot.walStatus);
  if (slot.failover === true && !brief) parts.push('outlives a failover');
  return parts;
}

/** @param lag what stands in brackets behind how much it keeps */
function walParts(slot: Slot, lag: readonly string[], brief: boolean): readonly string[] {
  const more = lag.length === 0 ? '' : ` (${lag.join(', ')})`;
  const parts: string[] = [];
  if (slot.retainedWalBytes !== null) parts.push(`keeps ${formatBytes(slot.retainedWalBytes)} of WAL${more}`);
  if (slot.unconfirmedWalBytes !== null) parts.push(`${formatBytes(slot.unconfirmedWalBytes)} behind`);
  if (slot.confirmedLsn !== null && !brief) parts.push(`confirmed up to ${slot.confirmedLsn}`);
  return parts;
}

/** `warning, +1.2 MiB/s, 40m 10s to critical, 2h 05m to lost`; nothing of a slot that is well and does not grow. */
function lagParts(lag: LagFacts, paint: Paint): readonly string[] {
  const { level, growthBytesPerSecond: growth, secondsUntilCritical, secondsUntilLost } = lag;
  const left = (seconds: number | null, what: string): string[] =>
    seconds === null ? [] : [`${formatDuration(seconds * 1_000)} to ${what}`];
  return [
    ...(level === 'ok' ? [] : [paint(level === 'critical' ? 'red' : 'yellow', level)]),
    // That a slot that is well shrinks says no more than that a sync has just run.
    ...(growth === null || growth === 0 || (growth < 0 && level === 'ok')
      ? []
      : [`${growth > 0 ? '+' : ''}${formatBytes(growth)}/s`]),
    ...(level === 'critical' ? [] : left(secondsUntilCritical, 'critical')),
    ...left(secondsUntilLost, 'lost'),
  ];
}

function inOneLine(groups: readonly (readonly string[])[]): string {
  return groups.flat().join(', ');
}

function inLines(groups: readonly (readonly string[])[]): readonly string[] {
  return groups.filter((parts) => parts.length > 0).map((parts, at) => (at === 0 ? '' : CONTINUED) + parts.join(', '));
}

/** Each group begins a line, and goes on in another where it is full. */
function packed(groups: readonly (readonly string[])[], indent: string, fits: (line: string) => boolean): string[] {
  const lines: string[] = [];
  for (const parts of groups) {
    for (const [at, part] of parts.entries()) {
      const last = lines.at(-1);
      const longer = `${last}, ${part}`;
      if (at > 0 && fits(`${longer},`)) lines[lines.length - 1] = longer;
      else lines.push(`${indent}${lines.length === 0 ? '' : CONTINUED}${part}`);
    }
  }
  return lines;
}
