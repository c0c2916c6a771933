import { fromPlain, SluiceError } from '../../error/sluice-error.js';
import type { RunsReport, RunsRequest } from '../../executor/recent-runs.js';
import { command } from '../command.js';
import { runsJson, runsText } from '../view/runs-view.js';

const USUAL_LIMIT = 20;
const MAX_LIMIT = 100_000;

export const runs = command<RunsRequest, RunsReport>({
  name: 'runs',
  summary: 'Show the last loads and syncs',
  description:
    'One line for each table and run, the newest first, as destinations recorded them together with the rows. A destination that cannot be read is told of; the others still appear.',
  arguments: [],
  options: [
    { kind: 'value', name: 'limit', placeholder: 'N', description: `so many at most; default: ${USUAL_LIMIT}` },
    { kind: 'value', name: 'source', placeholder: 'SOURCE', description: 'only of this source' },
    {
      kind: 'value',
      name: 'table',
      placeholder: 'ADDRESS',
      description: 'only of source:schema.table, or schema.table',
    },
    { kind: 'flag', name: 'failed', description: 'only those that failed' },
  ],
  examples: [
    { command: 'runs', text: 'the last 20' },
    { command: 'runs --failed --source shop', text: 'what went wrong' },
    { command: 'runs --table shop:public.users --limit 100 --format json', text: 'for a program to read' },
  ],
  parse(input) {
    const limit = input.value('limit') ?? String(USUAL_LIMIT);
    if (!/^\d{1,6}$/.test(limit) || Number(limit) < 1 || Number(limit) > MAX_LIMIT) {
      throw new SluiceError({
        code: 'USAGE',
        message: `--limit is a number from 1 to ${MAX_LIMIT.toLocaleString('en')}, not "${limit}"`,
        hint: 'see sluice runs --help',
      });
    }
    return {
      limit: Number(limit),
      source: input.value('source'),
      table: input.value('table'),
      failedOnly: input.flag('failed'),
    };
  },
  run: (request, context) =>
    context.withEngine(async (engine) => {
      const { recentRuns } = await import('../../executor/recent-runs.js');
      return recentRuns(engine, request, context.signal);
    }),
  views: { human: runsText, json: runsJson },
  // What could be read is worth something; where nothing could, that is the result.
  verdict: ({ runs: found, troubles }) =>
    found.length === 0 && troubles[0] !== undefined ? fromPlain(troubles[0].error) : 0,
});
