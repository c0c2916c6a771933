import { fromPlain, type SluiceError } from '../../error/sluice-error.js';
import type { OptimizeReport, OptimizeRequest } from '../../executor/maintenance-report.js';
import { command } from '../command.js';
import { optimizeJson, optimizeText } from '../view/maintenance-view.js';

export const optimize = command<OptimizeRequest, OptimizeReport>({
  name: 'optimize',
  summary: 'Write many small files of a lake anew as few large ones',
  description:
    'Merges small files, and writes files anew of which many rows are deleted (small_file_mb, deleted_ratio, target_file_mb of the destination). The rows stay what they are; readers may go on. The files that were replaced stay until vacuum deletes them. The daemon does the same every maintenance.every, as far as it pays. A DuckDB file needs none of it.',
  arguments: [{ name: 'ADDRESS', description: 'source or source:schema.table', required: false }],
  options: [],
  examples: [
    { command: 'optimize', text: 'every table of every lake' },
    { command: 'optimize shop:public.users', text: 'one table and its history' },
  ],
  parse: (input) => ({ address: input.argument('ADDRESS') }),
  run: (request, context) => context.withEngine((engine) => engine.optimize(request, context.signal)),
  views: { human: optimizeText, json: optimizeJson },
  verdict: ({ tables }) => firstTrouble(tables),
});

/** The first table that failed speaks for the report. */
export function firstTrouble(
  tables: readonly { readonly address: string; readonly error: Parameters<typeof fromPlain>[0] | null }[],
): number | SluiceError {
  const failed = tables.find(({ error }) => error !== null);
  return failed?.error ? fromPlain({ address: failed.address, ...failed.error }) : 0;
}
