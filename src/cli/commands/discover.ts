import type { NewTableEntry } from '../../config/edit-tables.js';
import { fromPlain, SluiceError } from '../../error/sluice-error.js';
import type { DiscoveredSource, DiscoveredTable, DiscoverReport } from '../../executor/discover.js';
import { type Context, command } from '../command.js';
import { discoverJson, discoverText } from '../view/discover-view.js';

export interface DiscoverArgs {
  readonly source: string | null;
  readonly connection: string | null;
  readonly schema: string | null;
  readonly write: boolean;
}

export interface DiscoverOutcome {
  readonly report: DiscoverReport;
  /** Null: without --write. */
  readonly written: {
    readonly file: string;
    readonly added: readonly { readonly source: string; readonly key: string }[];
  } | null;
}

export const discover = command<DiscoverArgs, DiscoverOutcome>({
  name: 'discover',
  summary: 'List the tables of the databases and how each is copied best',
  description:
    'Rows and sizes are estimates of the server. Tables that the file has are marked. --write adds the others to the file with the suggested method and leaves the rest of it as it is; views, foreign tables and what the role may not read are left out. Nothing is changed in a database.',
  arguments: [],
  options: [
    { kind: 'value', name: 'source', placeholder: 'SOURCE', description: 'only this source' },
    {
      kind: 'value',
      name: 'connection',
      placeholder: 'NAME',
      description: 'a connection instead, whether or not a source has it',
    },
    { kind: 'value', name: 'schema', placeholder: 'SCHEMA', description: 'only this schema of the database' },
    { kind: 'flag', name: 'write', description: 'add the tables that are missing to the config file' },
  ],
  examples: [
    { command: 'discover', text: 'the tables of every source' },
    { command: 'discover --source shop --schema public --write', text: 'add what is missing to sources.yaml' },
    { command: 'discover --format json', text: 'for a program to read' },
  ],
  parse(input) {
    const args = {
      source: input.value('source'),
      connection: input.value('connection'),
      schema: input.value('schema'),
      write: input.flag('write'),
    };
    if (args.connection !== null && (args.source !== null || args.write)) {
      throw new SluiceError({
        code: 'USAGE',
        message: `--connection cannot be combined with ${args.write ? '--write' : '--source'}`,
        hint: args.write ? 'tables are added to a source: --source SOURCE' : 'see sluice discover --help',
      });
    }
    return args;
  },
  async run({ write, ...request }, context) {
    const report = await context.withEngine((engine) => engine.discover(request, context.signal));
    return { report, written: write ? await addMissing(report, context) : null };
  },
  views: { human: discoverText, json: discoverJson },
  verdict({ report }) {
    const failed = report.sources.find((source) => source.error !== null);
    return failed?.error ? fromPlain(failed.error) : 0;
  },
});

async function addMissing(report: DiscoverReport, context: Context): Promise<DiscoverOutcome['written']> {
  const sources = report.sources.flatMap((each) => (each.source === null ? [] : [{ ...each, name: each.source }]));
  refuseShared(sources);
  // It brings the YAML parser along, which other commands start without.
  const { addTableEntries, defaultMethod } = await import('../../config/edit-tables.js');
  const file = context.configFile;
  const before = await context.files.readText(file);
  let text = before;
  const added: { source: string; key: string }[] = [];
  for (const { name, tables } of sources) {
    const missing = tables.filter(({ addable }) => addable);
    const usual = defaultMethod(before, name);
    text = addTableEntries(
      text,
      name,
      missing.map((table) => entryOf(table, usual)),
    );
    added.push(...missing.map(({ key }) => ({ source: name, key })));
  }
  if (text !== before) await context.files.replaceText(file, text);
  return { file, added };
}

/** Two sources of one database: only a person knows which of them a table is meant for. */
function refuseShared(sources: readonly (DiscoveredSource & { readonly name: string })[]): void {
  for (const [index, source] of sources.entries()) {
    const other = sources.slice(0, index).find(({ connection }) => connection === source.connection);
    if (other === undefined) continue;
    throw new SluiceError({
      code: 'USAGE',
      message: `sources "${other.name}" and "${source.name}" have the same connection, so it is not clear which of them gets the tables`,
      hint: `name one: sluice discover --write --source ${other.name}`,
    });
  }
}

function entryOf({ key, suggestion }: DiscoveredTable, usual: string): NewTableEntry {
  const { method, cursor } = suggestion;
  return {
    key,
    settings: { ...(method === usual ? {} : { method }), ...(cursor === null ? {} : { cursor }) },
  };
}
