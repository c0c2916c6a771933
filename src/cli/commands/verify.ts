import { fromPlain, SluiceError } from '../../error/sluice-error.js';
import type { VerifyReport, VerifyRequest } from '../../executor/engine.js';
import { command } from '../command.js';
import { verifyJson, verifyText } from '../view/verify-view.js';

const DEFAULT_LIMIT = 20;
const HELP = 'see sluice verify --help';

export const verify = command<VerifyRequest, VerifyReport>({
  name: 'verify',
  summary: 'Compare tables with Postgres, row by row',
  description:
    'Reads the table under a snapshot, streams until the destination has passed it, and compares every cell in both directions; writers go on meanwhile. Without ADDRESS, every enabled table, one after the other. Exit 0: all are equal; 1: something differs. A copy of the table is kept in temporary space beside the file.',
  arguments: [{ name: 'ADDRESS', description: 'source or source:schema.table', required: false }],
  options: [
    {
      kind: 'value',
      name: 'sample',
      placeholder: 'PERCENT',
      description: 'compare only about so many of the keys, chosen by a hash: 1%',
    },
    {
      kind: 'value',
      name: 'seed',
      placeholder: 'TEXT',
      description: 'choose the sample that another run with this seed had (default: another one each time)',
    },
    {
      kind: 'value',
      name: 'limit',
      placeholder: 'N',
      description: `print at most so many differing rows of each table (default ${DEFAULT_LIMIT})`,
    },
  ],
  examples: [
    { command: 'verify shop:public.users', text: 'every row of one table' },
    { command: 'verify shop --sample 1%', text: 'one row in a hundred of each table' },
    { command: 'verify --format json --limit 1000', text: 'everything, for a program' },
  ],
  parse(input) {
    const sample = input.value('sample');
    const seed = input.value('seed');
    if (seed !== null && sample === null) {
      throw new SluiceError({ code: 'USAGE', message: '--seed goes with --sample', hint: HELP });
    }
    return {
      address: input.argument('ADDRESS'),
      samplePercent: sample === null ? null : percentOf(sample),
      seed,
      limit: limitOf(input.value('limit')),
    };
  },
  run: (request, context) => context.withEngine((engine) => engine.verify(request, context.signal)),
  views: { human: verifyText, json: verifyJson },
  verdict: verifyVerdict,
});

function percentOf(text: string): number {
  const percent = /^([0-9]+(\.[0-9]+)?|\.[0-9]+)%?$/.test(text) ? Number(text.replace('%', '')) : Number.NaN;
  if (percent > 0 && percent <= 100) return percent;
  throw new SluiceError({
    code: 'USAGE',
    message: `--sample is a percentage above 0 and up to 100, not "${text}"`,
    hint: 'for example: --sample 1%',
  });
}

/** More examples than this would fill the memory of whoever reads them. */
const MAX_LIMIT = 1_000_000;

function limitOf(text: string | null): number {
  if (text === null) return DEFAULT_LIMIT;
  const limit = /^[0-9]{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (limit <= MAX_LIMIT) return limit;
  throw new SluiceError({ code: 'USAGE', message: `--limit is a number up to 1,000,000, not "${text}"`, hint: HELP });
}

/** Differences speak before tables that could not be compared: they are the answer that was asked for. */
export function verifyVerdict(report: VerifyReport): number | SluiceError {
  if (report.ok) return 0;
  const different = report.tables.filter((table) => table.status === 'different').map((table) => table.address);
  if (different.length > 0) {
    return new SluiceError({
      code: 'VERIFY_DIFFERENCES',
      message: `${different.length} of ${report.tables.length} tables differ from the source: ${different.join(', ')}`,
      hint: `to load a table anew: sluice resync ${different[0]}`,
    });
  }
  const error = report.tables.find((table) => table.error !== null)?.error;
  return error === undefined || error === null ? 1 : fromPlain(error);
}
