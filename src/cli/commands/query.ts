import { asSluiceError, SluiceError, toPlain } from '../../error/sluice-error.js';
import type { Engine, QueryRequest } from '../../executor/engine.js';
import { type Context, command } from '../command.js';
import { type QueryText, queryCsv, queryJson, queryTable } from '../view/query-view.js';

export const query = command<QueryRequest, SluiceError | null>({
  name: 'query',
  summary: 'Run a read-only SQL query against a destination',
  description:
    'SHOW TABLES lists what is there, DESCRIBE the columns of a table; the schema may be left out of names. ' +
    'Values are printed as DuckDB prints them. --format csv follows RFC 4180: NULL is empty, an empty text is "". --format arrow is an Arrow IPC stream with typed columns. Answers of any size are written as they come; one that breaks off ends with an error code.',
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
    { command: "query 'show tables'", text: 'what is there' },
    { command: "query 'select count(*) from public.users'", text: 'as a table' },
    { command: "query 'from public.users' --format csv", text: 'as CSV' },
    { command: "query 'from public.users' --format arrow > users.arrows", text: 'for pyarrow, polars and others' },
    { command: "query 'from _sluice.runs' --destination warehouse", text: 'what Sluice did' },
  ],
  parse: (input) => ({ sql: input.argument('SQL') ?? '', destination: input.value('destination') }),
  run: (request, context) => {
    if (context.format === 'arrow' && context.output.isTty) throw notForTerminals();
    return context.withEngine((engine) =>
      context.format === 'arrow' ? writeArrow(engine, request, context) : writeText(engine, request, context),
    );
  },
  streams: ['human', 'json', 'csv', 'arrow'],
  verdict: (error) => error ?? 0,
});

/** @returns why it broke off behind what was written already. @throws what kept it from beginning */
function writeText(engine: Engine, request: QueryRequest, context: Context): Promise<SluiceError | null> {
  const { output, signal } = context;
  return engine.queryPages(
    request,
    async ({ columns, pages }) => {
      const form = formOf(context, columns);
      // The first page before the first piece, so that a query that fails at once is an error like any other.
      const all = pages[Symbol.asyncIterator]();
      let next = await all.next();
      await output.write(form.start());
      try {
        while (next.done !== true && !context.readerIsGone()) {
          await output.write(form.page(next.value));
          next = await all.next();
        }
      } catch (raw) {
        const error = brokenOff(raw, signal);
        await output.write(form.end(toPlain(error)));
        return error;
      } finally {
        await all.return?.();
      }
      await output.write(form.end(null));
      return null;
    },
    signal,
  );
}

function formOf(context: Context, columns: Parameters<typeof queryJson>[0]): QueryText {
  if (context.format === 'json') return queryJson(columns);
  return context.format === 'csv' ? queryCsv(columns) : queryTable(columns, context.output.page);
}

/** As {@link writeText}; the stream then has no end-of-stream mark. */
async function writeArrow(engine: Engine, request: QueryRequest, context: Context): Promise<SluiceError | null> {
  const { output, signal } = context;
  const { ArrowStream } = await import('../view/arrow-stream.js');
  return engine.queryBatches(
    request,
    async ({ schema, batches }) => {
      const stream = new ArrowStream(schema);
      let begun = false;
      try {
        for await (const batch of batches) {
          if (context.readerIsGone()) return null;
          const bytes = stream.batch(batch);
          begun = true;
          await output.write(bytes);
        }
      } catch (raw) {
        if (!begun) throw raw;
        return brokenOff(raw, signal);
      }
      await output.write(stream.end());
      return null;
    },
    signal,
  );
}

function brokenOff(raw: unknown, signal: AbortSignal): SluiceError {
  return signal.aborted && signal.reason instanceof SluiceError ? signal.reason : asSluiceError(raw);
}

function notForTerminals(): SluiceError {
  return new SluiceError({
    code: 'USAGE',
    message: 'an Arrow stream is for programs, and stdout is a terminal',
    hint: "write it to a file: sluice query '...' --format arrow > result.arrows",
  });
}
