import type { VacuumReport, VacuumRequest } from '../../executor/maintenance-report.js';
import { command } from '../command.js';
import { vacuumJson, vacuumText } from '../view/maintenance-view.js';
import { firstTrouble } from './optimize.js';

/**
 * It asks no question: what it deletes no table has had for as long as the retention, and the daemon deletes it unasked.
 * VACUUM of other engines asks none either; whoever wants to look first has --dry-run.
 */
export const vacuum = command<VacuumRequest, VacuumReport>({
  name: 'vacuum',
  summary: 'Delete files of a lake that no table has any more',
  description:
    "Deletes data files that were replaced, or left behind by a commit that never came, longer ago than maintenance.retention of the destination, and parts of the tables' logs that a checkpoint covers. No row of a table is touched, but versions older than the retention cannot be read any more. Files that Delta writers do not make are left alone. The daemon does it once a day. A DuckDB file needs none of it.",
  arguments: [{ name: 'ADDRESS', description: 'source or source:schema.table', required: false }],
  options: [{ kind: 'flag', name: 'dry-run', description: 'show what would be deleted, delete nothing' }],
  examples: [
    { command: 'vacuum --dry-run', text: 'what would be deleted' },
    { command: 'vacuum shop', text: 'the lake of one source' },
  ],
  parse: (input) => ({ address: input.argument('ADDRESS'), dryRun: input.flag('dry-run') }),
  run: (request, context) => context.withEngine((engine) => engine.vacuum(request, context.signal)),
  views: { human: vacuumText, json: vacuumJson },
  verdict: ({ tables }) => firstTrouble(tables),
});
