import { randomUUID } from 'node:crypto';
import type { Config } from '../config/config.js';
import type { RetireTable } from '../destination/writer.js';
import { asSluiceError, assertNever, SluiceError, toPlain } from '../error/sluice-error.js';
import { formatLsn } from '../pgoutput/lsn.js';
import { type AppliedContext, stateAfter } from '../planner/apply-edit.js';
import type { Change, Plan } from '../planner/change.js';
import { changePublication, dropPublication } from '../source/publication.js';
import { createSlot, dropSlot } from '../source/slot.js';
import type { SourceConnection } from '../source/connect.js';
import { emptyState } from '../state/edit.js';
import type { StateDocument, TableState } from '../state/state.js';
import type { StateFile } from '../state/state-file.js';
import type { Destinations } from './destinations.js';
import type { ChangeResult, Clock, EngineEvent } from './engine.js';
import { failpoint } from './failpoint.js';
import type { SourceConnections } from './source-connections.js';
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
  const open = new Map<string, SourceConnection>();
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
        const context = await carryOut(change, source, state, open, deps, signal);
        await failpoint('before_state_write');
        const written = await deps.stateFile.write(stateAfter(state, change, context), expected);
        await failpoint('after_state_write');
        expected = written;
        state = written;
        results[index] = { change, status: 'applied', durationMs: deps.clock.monotonicMs() - startedMs };
      } catch (error) {
        failedSources.set(source, `${change.action} ${change.address}`);
        results[index] = { change, status: 'failed', error: toPlain(asSluiceError(error)) };
      }
      deps.onEvent({ kind: 'change_ended', result: results[index] });
    }
  } finally {
    for (const connection of open.values()) await connection.end();
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
      code: 'PLAN_BLOCKED',
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

/** The effects of one change outside of the state. @returns what only the effect could tell */
async function carryOut(
  change: Change,
  source: string,
  state: StateDocument,
  open: Map<string, SourceConnection>,
  deps: ApplyDeps,
  signal: AbortSignal,
): Promise<AppliedContext> {
  const connection = async (): Promise<SourceConnection> => {
    const known = open.get(source);
    if (known !== undefined) return known;
    const opened = await deps.connections.open(connectionName(deps.config, source), 'apply', signal);
    open.set(source, opened);
    return opened;
  };
  const writer = async () => (await deps.destinations.get(destinationName(state, deps.config, source))).writer;
  const table = state.sources[source]?.tables[keyOf(change.address)];
  switch (change.action) {
    case 'create_publication':
    case 'add_publication_tables':
    case 'remove_publication_tables':
      if (!change.details.self_managed && change.details.sql !== '') {
        await changePublication(await connection(), change.details.sql, signal);
      }
      return {};
    case 'drop_publication':
      await dropPublication(await connection(), change.details.publication, signal);
      return {};
    case 'create_slot':
      return { slotLsn: formatLsn(await createSlot(await connection(), change.details.slot, signal)) };
    case 'drop_slot':
      await dropSlot(await connection(), change.details.slot, signal);
      return {};
    case 'update_settings':
      if (change.details.sql !== null) await changePublication(await connection(), change.details.sql, signal);
      return {};
    case 'add_columns':
      if (table !== undefined) {
        const after: TableState = { ...table, columns: change.details.all_columns };
        await (await writer()).addColumns(targetTable(change.address, after));
      }
      return {};
    case 'retire_table':
      await (await writer()).retireTable(leaving(change.address, table, change.details));
      return {};
    case 'drop_table':
      await (await writer()).dropTable(leaving(change.address, table, change.details));
      return {};
    case 'remove_source':
      await (await writer()).forgetStream(source);
      return {};
    case 'move': {
      const { from, to, target } = change.details;
      if (table === undefined && target === null) return {};
      return {};
    }
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
      return {};
    default:
      return assertNever(change);
  }
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

function connectionName(config: Config, source: string): string {
  const settings = config.sources[source];
  if (settings !== undefined) return settings.connection;
  throw new SluiceError({ code: 'ADDRESS_UNKNOWN', message: `source "${source}" is not in ${config.file}` });
}

function destinationName(state: StateDocument, config: Config, source: string): string {
  return state.sources[source]?.destination ?? config.sources[source]?.destination ?? '';
}
