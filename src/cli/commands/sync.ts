import { fromPlain, SluiceError } from '../../error/sluice-error.js';
import type { SyncReport, SyncRequest } from '../../executor/engine.js';
import { command } from '../command.js';
import { syncEvents, syncJson, syncText } from '../view/sync-view.js';

export const sync = command<SyncRequest, SyncReport>({
  name: 'sync',
  summary: 'Run loads and streams now',
  description:
    'Without ADDRESS, what is due runs. With ADDRESS (a source, or source:schema.table) that runs, due or not. Progress is shown on stderr, the summary on stdout.',
  arguments: [{ name: 'ADDRESS', description: 'source or source:schema.table', required: false }],
  options: [
    {
      kind: 'flag',
      name: 'until-caught-up',
      description: 'end when everything committed in Postgres before the call has landed',
    },
    { kind: 'flag', name: 'force', description: 'run everything, due or not' },
  ],
  examples: [
    { command: 'sync', text: 'what is due' },
    { command: 'sync shop:public.users', text: 'one table, now' },
    { command: 'sync --until-caught-up', text: 'until Postgres has nothing newer' },
  ],
  parse(input) {
    const address = input.argument('ADDRESS');
    return {
      address,
      untilCaughtUp: input.flag('until-caught-up'),
      // Naming something asks for it now, whatever its schedule says.
      force: input.flag('force') || address !== null,
    };
  },
  run: (request, context) => context.withActingEngine((engine) => engine.sync(request, context.signal)),
  views: { human: syncText, json: syncJson, ndjson: syncEvents },
  verdict: syncVerdict,
});

/** A whole source that stopped speaks for the report; failed tables are counted. */
export function syncVerdict(report: SyncReport): number | SluiceError {
  if (report.ok) return 0;
  const stopped = report.sources.find((source) => source.error !== null);
  if (stopped?.error) return fromPlain({ address: stopped.source, ...stopped.error });
  const tables = report.sources.flatMap((source) => source.tables);
  const failed = tables.filter((table) => table.status === 'failed');
  return new SluiceError({
    code: 'SYNC_INCOMPLETE',
    message: `${failed.length} of ${tables.length} tables failed: ${failed.map((table) => table.address).join(', ')}`,
    hint: failed.find((table) => table.error?.hint !== undefined)?.error?.hint ?? 'sluice status shows each table',
  });
}
