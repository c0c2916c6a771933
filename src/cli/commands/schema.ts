import { command } from '../command.js';

export const schema = command<Record<string, never>, string>({
  name: 'schema',
  summary: 'Print the JSON Schema of the config file',
  description: 'Editors complete and check sources.yaml with it.',
  arguments: [],
  options: [],
  examples: [{ command: 'schema > sources.schema.json', text: 'then name it in the first line of sources.yaml' }],
  parse: () => ({}),
  run: (_args, context) => context.readSchema(),
  views: {
    human: (text) => `${text.trimEnd()}\n`,
    json: (text) => {
      const parsed: unknown = JSON.parse(text);
      return { schema: parsed };
    },
  },
});
