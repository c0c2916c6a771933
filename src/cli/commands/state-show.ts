import { SluiceError } from '../../error/sluice-error.js';
import { command } from '../command.js';
import { fieldsText, partOfState } from '../view/state-view.js';

export interface StateShowArgs {
  readonly address: string | null;
}

interface Shown {
  readonly place: string;
  readonly address: string | null;
  readonly value: object;
}

export const stateShow = command<StateShowArgs, Shown>({
  name: 'state show',
  summary: 'Show what the state holds of an address',
  description: 'Without ADDRESS the whole document. No server but that of the state is asked.',
  arguments: [{ name: 'ADDRESS', description: 'source or source:schema.table', required: false }],
  options: [],
  examples: [
    { command: 'state show shop:public.users', text: 'one table' },
    { command: 'state show shop --format json', text: 'a source, for a program to read' },
  ],
  parse: (input) => ({ address: input.argument('ADDRESS') }),
  run: (args, context) =>
    context.withEngine(async (engine) => {
      const state = await engine.state.read();
      const value = state === null ? null : partOfState(state, args.address);
      if (value === null) {
        throw new SluiceError({
          code: 'ADDRESS_UNKNOWN',
          message: state === null ? 'nothing has been applied yet' : `the state has no "${args.address}"`,
          hint: state === null ? 'run: sluice apply' : 'what it has: sluice state list',
        });
      }
      return { place: engine.state.place, address: args.address, value };
    }),
  views: {
    human: (result) => fieldsText(result.value),
    json: ({ place, address, value }) => ({ place, address, value }),
  },
});
