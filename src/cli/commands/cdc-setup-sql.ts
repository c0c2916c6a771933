import { command } from '../command.js';

export interface SetupSqlArgs {
  readonly source: string | null;
}

interface SetupSql {
  readonly source: string;
  readonly sql: string;
}

export const cdcSetupSql = command<SetupSqlArgs, readonly SetupSql[]>({
  name: 'cdc setup-sql',
  summary: 'Print the SQL that sets up change data capture',
  description:
    'For databases where somebody else manages the publication (management: self_managed): the grants and the publication, to be run by its owner. Nothing is changed.',
  arguments: [{ name: 'SOURCE', description: 'default: every source with cdc tables', required: false }],
  options: [],
  examples: [
    { command: 'cdc setup-sql shop', text: 'of one source' },
    { command: 'cdc setup-sql shop | psql -d shop', text: 'run it as the owner of the tables' },
  ],
  parse: (input) => ({ source: input.argument('SOURCE') }),
  run: (args, context) =>
    context.withEngine(async (engine) => {
      const sources =
        args.source === null
          ? Object.values(engine.config.sources)
              .filter((source) => source.tables.some((entry) => entry.table.method === 'cdc'))
              .map((source) => source.name)
          : [args.source];
      const results: SetupSql[] = [];
      for (const source of sources) results.push({ source, sql: await engine.setupSql(source, context.signal) });
      return results;
    }),
  views: {
    // Comments, so that the output as a whole can be piped into psql.
    human: (results) =>
      results.length === 0
        ? '-- no source has cdc tables\n'
        : results.map((each) => `-- source ${each.source}\n${each.sql.trimEnd()}\n`).join('\n'),
    json: (results) => ({ sources: results }),
  },
});
