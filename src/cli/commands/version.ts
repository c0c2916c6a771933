import { command } from '../command.js';

export const version = command<Record<string, never>, string>({
  name: 'version',
  summary: 'Print the version',
  description: '',
  arguments: [],
  options: [],
  examples: [{ command: 'version', text: 'as --version does' }],
  parse: () => ({}),
  run: async (_args, context) => context.version,
  views: { human: (number) => `sluice ${number}\n`, json: (number) => ({ version: number }) },
});
