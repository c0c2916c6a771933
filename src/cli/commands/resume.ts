import type { Resuming } from '../../state/pause.js';
import { command } from '../command.js';
import { resumeJson, resumeText } from '../view/pause-view.js';

export const resume = command<{ readonly addresses: readonly string[] }, readonly Resuming[]>({
  name: 'resume',
  summary: 'Let what was paused go on',
  description:
    'A source goes on where its stream stood; tables that were paused by themselves stay so. A cdc table that missed changes, as the stream went on for others, is loaded anew with the next sync.',
  arguments: [{ name: 'ADDRESS', description: 'source or source:schema.table', required: true, variadic: true }],
  options: [],
  examples: [
    { command: 'resume shop', text: 'all of it, but for tables paused by themselves' },
    { command: 'resume shop:public.users', text: 'one table' },
  ],
  parse: (input) => ({ addresses: input.rest('ADDRESS') }),
  run: ({ addresses }, context) => context.withActingEngine((engine) => engine.resume(addresses, context.signal)),
  views: { human: resumeText, json: resumeJson },
});
