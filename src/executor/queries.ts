import type { Config } from '../config/config.js';
import type { SecretDeps } from '../config/secret.js';
import type { Engine, QueryRequest } from './engine.js';
import type { QueryAccess } from './query-answer.js';

/**
 * The queries of an engine. They alone need DuckDB in this thread, so it is loaded with the first of them; all other work
 * leaves it to the writers'.
 */
export function queriesOf(config: Config, secrets: SecretDeps): Pick<Engine, 'query' | 'queryPages' | 'queryBatches'> {
  const open = async <T>(request: QueryRequest, use: (access: QueryAccess) => Promise<T>): Promise<T> => {
    const { queryDestination } = await import('./query.js');
    return queryDestination(config, secrets, request, use);
  };
  const queryPages: Engine['queryPages'] = async (request, use, signal) => {
    const { openPages } = await import('./query-answer.js');
    return open(request, async (access) => use(await openPages(access, signal)));
  };
  return {
    queryPages,
    queryBatches: async (request, use, signal) => {
      const { openBatches } = await import('./query-answer.js');
      return open(request, async (access) => use(await openBatches(access, signal)));
    },
    query: (destination, sql, signal) =>
      queryPages(
        { destination, sql },
        async ({ columns, pages }) => {
          const rows: (readonly (string | null)[])[] = [];
          for await (const page of pages) rows.push(...page);
          return { columns, rows };
        },
        signal,
      ),
  };
}
