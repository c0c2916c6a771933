import { SluiceError } from '../../error/sluice-error.js';
import { command } from '../command.js';

export interface ResyncArgs {
  readonly addresses: readonly string[];
  readonly yes: boolean;
}

interface ResyncResult {
  readonly queued: readonly string[];
}

export const resync = command<ResyncArgs, ResyncResult>({
  name: 'resync',
  summary: 'Load tables again from the start',
  description:
    'Queues a new load; it runs with the next sync. Readers see the old rows until the new ones are complete. A source means all of its tables.',
  arguments: [{ name: 'ADDRESS', description: 'source or source:schema.table', required: true, variadic: true }],
  options: [{ kind: 'flag', name: 'yes', description: 'do not ask' }],
  examples: [
    { command: 'resync shop:public.users', text: 'asks first' },
    { command: 'resync shop:public.users shop:public.orders --yes', text: 'two tables, without a question' },
  ],
  parse: (input) => ({ addresses: input.rest('ADDRESS'), yes: input.flag('yes') }),
  run: (args, context) =>
    context.withActingEngine(async (engine) => {
      const what = args.addresses.join(', ');
      if (!args.yes && !(await context.confirm({ text: `Load ${what} again from the start?`, what: 'resync' }))) {
        throw new SluiceError({ code: 'CANCELLED', message: 'not confirmed; nothing was changed' });
      }
      return { queued: await engine.resync(args.addresses, 'asked for by sluice resync', context.signal) };
    }),
  views: {
    human: (result) =>
      [...result.queued.map((address) => `queued  ${address}`), 'To run it now: sluice sync', ''].join('\n'),
    json: (result) => ({ queued: result.queued }),
  },
});
