import type { Config } from '../config/config.js';
import type { ErrorCode } from '../error/codes.js';
import type { Blocker, Plan } from '../planner/change.js';
import type { Observed } from '../planner/observed.js';
import { parseTargets, scopeOf } from '../planner/target.js';
import { destinationAddress } from './checks/lake.js';
import { runDoctor } from './doctor.js';
import type { Finding } from './finding.js';
import type { LakeLook } from './lake-look.js';

/**
 * Findings that the planner cannot have, as it only sees the catalog: with these an apply or a sync would fail. All other
 * errors of doctor are blockers of the planner already, under its own codes, and are not said twice.
 */
const BEYOND_THE_PLANNER: Readonly<Record<string, (plan: Plan, source: string) => ErrorCode | null>> = {
  POOLER: () => 'SERVER_UNSUITABLE',
  WAL_SENDERS: () => 'SERVER_UNSUITABLE',
  WORK_FOLDER_UNWRITABLE: (plan, source) => (changesAnything(plan, source) ? 'WORK_FOLDER_UNWRITABLE' : null),
  READ_ONLY_ROLE: (plan, source) => (changesPublication(plan, source) ? 'PRIVILEGE_MISSING' : null),
};

/** A plan with what doctor knows to stand in its way, in the sources that are targeted. Pure. */
export function withPreflight(
  plan: Plan,
  {
    config,
    observed,
    lakes,
  }: { readonly config: Config; readonly observed: Observed; readonly lakes: readonly LakeLook[] },
  targets: readonly string[],
): Plan {
  const wanted = parseTargets(targets);
  const isWanted = (source: string): boolean => scopeOf(source, wanted) !== null;
  /** A lake is in the way of the sources that write to it. */
  const sourcesOf = (address: string): readonly string[] => {
    const own = Object.values(config.sources).filter(({ destination }) => destinationAddress(destination) === address);
    return own.length > 0 ? own.map(({ name }) => name) : [address.split(':')[0] ?? ''];
  };
  const blockers = runDoctor({ config, observed, lakes }).flatMap((finding): Blocker[] => {
    const [source] = sourcesOf(finding.address).filter(isWanted);
    if (finding.level !== 'error' || source === undefined) return [];
    const code = BEYOND_THE_PLANNER[finding.code]?.(plan, source) ?? null;
    if (code === null) return [];
    return [{ address: finding.address, code, message: finding.message, hint: hintOf(finding) }];
  });
  return blockers.length === 0 ? plan : { ...plan, blockers: [...plan.blockers, ...blockers] };
}

/** Whether the apply itself would write to the database; a slot may be made in a read-only transaction too. */
function changesPublication(plan: Plan, source: string): boolean {
  return plan.changes.some(({ address, action }) => address === `${source}:publication` && action !== 'move');
}

function changesAnything(plan: Plan, source: string): boolean {
  return plan.changes.some(({ address }) => address.split(':')[0] === source);
}

function hintOf(finding: Finding): string {
  const restart = finding.needsRestart ? ' then restart the server' : '';
  return finding.fixSql === null ? finding.why : `${finding.fixSql.replaceAll('\n', ' ')}${restart}`;
}
