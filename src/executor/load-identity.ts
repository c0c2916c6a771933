import { duckdbTypeName } from '../batch/logical-type.js';
import type { SourceState } from '../state/state.js';
import type { TablePlan } from './table-plan.js';

/**
 * What a load is of: a load that was broken off is gone on with only under the same identity. Names of columns alone do
 * not do: one that was dropped and added again has another attnum, and other values, without a change of any row.
 */
export function loadIdentity(
  plan: TablePlan,
  server: {
    readonly slot: SourceState['slot'];
    readonly systemIdentifier: string | null;
    readonly timelineId: number | null;
  },
): string {
  return JSON.stringify([
    plan.observed.oid,
    plan.columns.map(({ column, logical }) => [
      column.name,
      column.attnum,
      column.formattedType,
      duckdbTypeName(logical),
    ]),
    plan.target.key,
    plan.target.metadataPrefix,
    plan.target.generation,
    plan.target.schema,
    plan.target.name,
    server.slot?.name ?? null,
    server.slot?.created_lsn ?? null,
    server.systemIdentifier,
    server.timelineId,
  ]);
}
