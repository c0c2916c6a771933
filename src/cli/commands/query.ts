import type { QueryResult } from '../../executor/engine.js';
import { command } from '../command.js';
import { queryCsv, queryJson, queryText } from '../view/query-view.js';

export interface QueryArgs {
  readonly sql: string;
  readonly destination: string | null;
}

export const query = command<QueryArgs, QueryResult>({
  name: 'query',
  summary: 'Run a read-only SQL query against a DuckDB destination',
  description:
    'Values are printed as DuckDB prints them. --format csv follows RFC 4180: NULL is empty, an empty text is "".',
  arguments: [{ name: 'SQL', description: 'one statement', required: true }],
  options: [
    {
      kind: 'value',
      name: 'destination',
      placeholder: 'NAME',
      description: 'which destination; may be left out where there is only one',
    },
  ],
  examples: [
    { command: "query 'select count(*) from public.users'", text: 'as a table' },
    { command: "query 'from public.users' --format csv", text: 'as CSV' },
    { command: "query 'from _sluice.runs' --destination warehouse", text: 'what Sluice did' },
  ],
  parse: (input) => ({ sql: input.argument('SQL') ?? '', destination: input.value('destination') }),
  run: (args, context) => context.withEngine((engine) => engine.query(args.destination, args.sql, context.signal)),
  views: { human: queryText, json: queryJson, csv: queryCsv },
});
