import type { StatusReport } from '../../executor/engine.js';
import { command } from '../command.js';
import { statusJson, statusText } from '../view/status-view.js';

export const status = command<Record<string, never>, StatusReport>({
  name: 'status',
  summary: 'Show how far each table is',
  description:
    'A source that cannot be reached is shown as such; what the destination knows of its tables still appears.',
  arguments: [],
  options: [],
  examples: [
    { command: 'status', text: 'every source and table' },
    { command: 'status --format json', text: 'for monitoring' },
  ],
  parse: () => ({}),
  run: (_args, context) => context.withEngine((engine) => engine.status(context.signal)),
  views: { human: statusText, json: statusJson },
});
