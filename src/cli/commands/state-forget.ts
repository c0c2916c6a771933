import { SluiceError } from '../../error/sluice-error.js';
import { whatStays } from '../../executor/state-desk.js';
import { command } from '../command.js';
import { printable } from '../terminal.js';

export interface StateForgetArgs {
  readonly address: string;
  readonly yes: boolean;
}

interface Forgotten {
  readonly address: string;
  readonly serial: number;
  /** What Sluice knows nothing of any more. */
  readonly stays: readonly string[];
}

export const stateForget = command<StateForgetArgs, Forgotten>({
  name: 'state forget',
  summary: 'Take a source or a table out of the state, and leave everything else as it is',
  description:
    'Nothing is dropped: slot, publication and destination tables stay, and Sluice cleans them up no more. To remove a table properly take it out of the config and apply. A forgotten slot keeps WAL back until somebody drops it.',
  arguments: [{ name: 'ADDRESS', description: 'source or source:schema.table', required: true }],
  options: [{ kind: 'flag', name: 'yes', description: 'do not ask' }],
  examples: [
    { command: 'state forget shop:public.users', text: 'one table; asks first' },
    { command: 'state forget shop --yes', text: 'a source whose server is gone, without a question' },
  ],
  parse: (input) => ({ address: input.argument('ADDRESS') ?? '', yes: input.flag('yes') }),
  run: (args, context) =>
    context.withEngine(async (engine) => {
      const stays = whatStays(await engine.state.read(), args.address);
      const text = `Forget ${printable(args.address)}? What stays: ${stays.map(printable).join('; ')}.`;
      if (!args.yes && !(await context.confirm({ text, what: 'state forget' }))) {
        throw new SluiceError({ code: 'CANCELLED', message: 'not confirmed; nothing was changed' });
      }
      const { serial } = await engine.state.forget(args.address, context.signal);
      return { address: args.address, serial, stays };
    }),
  views: {
    human: ({ address, stays }) =>
      [
        `forgotten  ${printable(address)}`,
        'What stays, and is yours to remove:',
        ...stays.map((line) => `  ${printable(line)}`),
        '',
      ].join('\n'),
    json: (result) => ({ ...result }),
  },
});
