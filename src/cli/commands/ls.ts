import type { StatusReport } from '../../executor/engine.js';
import { command } from '../command.js';
import { listJson, listText } from '../view/list-view.js';

export const ls = command<Record<string, never>, StatusReport>({
  name: 'ls',
  summary: 'List the tables',
  description: 'One line a table: how and when it is synced, where it lands and how many rows are there.',
  arguments: [],
  options: [],
  examples: [
    { command: 'ls', text: 'all tables' },
    { command: 'ls --format json', text: 'for a program to read' },
  ],
  parse: () => ({}),
  run: (_args, context) => context.withEngine((engine) => engine.status(context.signal)),
  views: { human: listText, json: listJson },
});
