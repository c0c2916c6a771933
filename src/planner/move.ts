import { isDeepStrictEqual } from 'node:util';
import { formatAddress, parseAddress } from '../config/address.js';
import type { Config } from '../config/config.js';
import { entryOf, formatTableKey } from '../config/table-key.js';
import { targetOf } from '../config/target.js';
import { editTable, moveSource, moveTable } from '../state/edit.js';
import type { StateDocument } from '../state/state.js';
import type { Blocker, Change, Notice } from './change.js';
import { NO_COST } from './cost.js';
import type { SourceScope } from './target.js';

type Move = Extract<Change, { action: 'move' }>;

export interface MovePlan {
  readonly changes: readonly Move[];
  readonly blockers: readonly Blocker[];
  readonly notices: readonly Notice[];
  /** The state as the rest of the plan sees it: everything under its new address. */
  readonly state: StateDocument | null;
  /** The address that the destination knows something by, from its new address; the same where nothing moved. */
  readonly oldAddress: (address: string) => string;
}

type Verdict =
  | { readonly kind: 'move'; readonly change: Move }
  | { readonly kind: 'skip' }
  | { readonly kind: 'notice' | 'refuse'; readonly message: string };

/**
 * Follows `moved:` in file order. An entry whose source or table has moved already stays in the file without effect.
 * A table that moves keeps its data: its destination table is renamed, nothing is read again.
 */
export function planMoves(
  config: Config,
  state: StateDocument | null,
  scopeOf: (source: string) => SourceScope | null,
): MovePlan {
  const changes: Move[] = [];
  const blockers: Blocker[] = [];
  const notices: Notice[] = [];
  const sources = new Map<string, string>();
  const tables = new Map<string, string>();
  let current = state;
  for (const { from, to } of config.moved) {
    if (current === null) break;
    const verdict = judge(config, current, from, to, scopeOf);
    if (verdict.kind === 'refuse')
      blockers.push({
        address: to,
        code: 'MOVE_INVALID',
        message: verdict.message,
        hint: 'correct the entry under moved:',
      });
    if (verdict.kind === 'notice') notices.push({ address: to, message: verdict.message });
    if (verdict.kind !== 'move') continue;
    changes.push(verdict.change);
    const before = parseAddress(from);
    const after = parseAddress(to);
    if (before?.kind === 'table' && after?.kind === 'table') {
      tables.set(formatAddress(after), tables.get(formatAddress(before)) ?? formatAddress(before));
      current = moveTable(
        current,
        before.source,
        formatTableKey(before.schema, before.name),
        formatTableKey(after.schema, after.name),
      );
      const target = verdict.change.details.target;
      if (target !== null)
        current = editTable(current, after.source, formatTableKey(after.schema, after.name), { target: target.to });
    } else if (before !== null && after !== null) {
      sources.set(after.source, sources.get(before.source) ?? before.source);
      current = moveSource(current, before.source, after.source);
    }
  }
  return {
    changes,
    blockers,
    notices,
    state: current,
    oldAddress: (address) => {
      const moved = tables.get(address) ?? address;
      const [source = '', ...rest] = moved.split(':');
      return [sources.get(source) ?? source, ...rest].join(':');
    },
  };
}

function judge(
  config: Config,
  state: StateDocument,
  from: string,
  to: string,
  scopeOf: (source: string) => SourceScope | null,
): Verdict {
  const before = parseAddress(from);
  const after = parseAddress(to);
  if (before?.kind === 'source' && after?.kind === 'source') {
    if (state.sources[before.source] === undefined) return { kind: 'skip' };
    if (state.sources[after.source] !== undefined) return bothThere(from, to);
    if (config.sources[after.source] === undefined)
      return { kind: 'refuse', message: `${from} moves to ${to}, which is no source of the file` };
    if (config.sources[before.source] !== undefined)
      return { kind: 'refuse', message: `${from} moves to ${to}, but the file still has both` };
    if (scopeOf(after.source)?.whole !== true && scopeOf(before.source)?.whole !== true) return { kind: 'skip' };
    return { kind: 'move', change: moveChange(from, to, null) };
  }
  if (before?.kind !== 'table' || after?.kind !== 'table') {
    return { kind: 'refuse', message: `${from} cannot move to ${to}: both must be sources or both tables` };
  }
  if (before.source !== after.source) {
    return {
      kind: 'refuse',
      message: `${from} cannot move to ${to}: a table stays in its source, as slot and positions are the source's`,
    };
  }
  const known = state.sources[before.source]?.tables ?? {};
  const fromKey = formatTableKey(before.schema, before.name);
  const toKey = formatTableKey(after.schema, after.name);
  const table = known[fromKey];
  if (table === undefined) return { kind: 'skip' };
  if (known[toKey] !== undefined) return bothThere(from, to);
  const source = config.sources[after.source];
  // The source is on its way out, and its tables with it.
  if (source === undefined) return { kind: 'skip' };
  if (entryOf(source, after.schema, after.name) === null) {
    return { kind: 'refuse', message: `${from} moves to ${to}, which no entry of the file speaks for` };
  }
  const scope = scopeOf(after.source);
  if (scope === null || !(scope.covers(fromKey) || scope.covers(toKey))) return { kind: 'skip' };
  const target = targetOf(source, after.schema, after.name);
  return {
    kind: 'move',
    change: moveChange(from, to, isDeepStrictEqual(target, table.target) ? null : { from: table.target, to: target }),
  };
}

function bothThere(from: string, to: string): Verdict {
  return {
    kind: 'notice',
    message: `moved: ${from} -> ${to} has no effect, as both are there; take it out of the file`,
  };
}

function moveChange(from: string, to: string, target: Move['details']['target']): Move {
  return {
    action: 'move',
    address: to,
    destructive: false,
    reason:
      target === null
        ? `it was ${from}`
        : `it was ${from}; ${target.from.schema}.${target.from.name} becomes ${target.to.schema}.${target.to.name}`,
    cost: NO_COST,
    details: { from, to, target },
  };
}
