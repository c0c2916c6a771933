import { assertNever } from '../error/sluice-error.js';
import type { TableState } from '../state/state.js';
import type { Change } from './change.js';
import { NO_COST } from './cost.js';

/** A table that is not wanted any more leaves as its applied `on_remove` says: the entry that could say it is gone. */
export function removeTable(address: string, state: TableState, why: string): Change {
  const base = { address, cost: NO_COST } as const;
  const details = { target: state.target, history: state.output !== 'consolidated' };
  const place = `${state.target.schema}.${state.target.name}`;
  switch (state.on_remove) {
    case 'retire':
      return {
        ...base,
        action: 'retire_table',
        destructive: true,
        reason: `${why}; ${place} moves to _sluice_retired`,
        details,
      };
    case 'drop':
      return { ...base, action: 'drop_table', destructive: true, reason: `${why}; ${place} is deleted`, details };
    case 'keep':
      return forgetTable(address, state, `${why}; ${place} stays as it is`);
    default:
      return assertNever(state.on_remove);
  }
}

/** Only the state forgets the table. */
export function forgetTable(address: string, state: TableState, reason: string): Change {
  return {
    action: 'forget_table',
    address,
    destructive: false,
    reason,
    cost: NO_COST,
    details: { target: state.target, history: state.output !== 'consolidated' },
  };
}

/** The table stays in the destination as it is; a new load follows when it is enabled again. */
export function disableTable(address: string): Change {
  return {
    action: 'disable_table',
    address,
    destructive: false,
    reason: 'enabled: false; what was copied stays as it is',
    cost: NO_COST,
    details: {},
  };
}
