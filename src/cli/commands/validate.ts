import type { Config } from '../../config/config.js';
import type { SluiceError } from '../../error/sluice-error.js';
import { command } from '../command.js';
import { ConfigRefused } from '../config-refused.js';

type Validation =
  | { readonly ok: true; readonly file: string; readonly config: Config; readonly warnings: readonly object[] }
  | { readonly ok: false; readonly file: string; readonly refused: ConfigRefused };

export const validate = command<Record<string, never>, Validation>({
  name: 'validate',
  summary: 'Check the config file',
  description:
    'Reads the file alone: no server is asked. Every mistake is listed with its place; exit code 78 if there is one.',
  arguments: [],
  options: [],
  examples: [
    { command: 'validate', text: 'check sources.yaml' },
    { command: 'validate -c prod.yaml --format json', text: 'for a program to read' },
  ],
  parse: () => ({}),
  async run(_args, context) {
    const file = context.configFile;
    const reading = await context.readConfig();
    return reading.ok
      ? { ok: true, file, config: reading.config, warnings: reading.warnings }
      : { ok: false, file, refused: new ConfigRefused(file, reading) };
  },
  views: {
    human: (result) => (result.ok ? `${result.file} is valid: ${contents(result.config)}\n` : ''),
    json: (result) => ({
      file: result.file,
      valid: result.ok,
      problems: result.ok ? [] : result.refused.problems,
      warnings: result.ok ? result.warnings : [],
    }),
  },
  verdict: (result): number | SluiceError => (result.ok ? 0 : result.refused),
});

function contents(config: Config): string {
  const sources = Object.values(config.sources);
  const tables = sources.reduce((count, source) => count + source.tables.length, 0);
  return [
    counted(sources.length, 'source'),
    counted(tables, 'table entry', 'table entries'),
    counted(Object.keys(config.destinations).length, 'destination'),
  ].join(', ');
}

function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
