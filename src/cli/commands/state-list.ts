import type { StatusReport } from '../../executor/engine.js';
import type { StateDocument } from '../../state/state.js';
import { command } from '../command.js';
import { type StateEntry, stateEntries, stateListText } from '../view/state-view.js';

interface Listed {
  readonly place: string;
  readonly state: StateDocument | null;
  readonly entries: readonly StateEntry[];
}

export const stateList = command<Record<string, never>, Listed>({
  name: 'state list',
  summary: 'List the addresses in the state, with their phase',
  description:
    'Every source, slot, publication and table that was applied. The phase of a table is what the destination holds of it, as status says it.',
  arguments: [],
  options: [],
  examples: [
    { command: 'state list', text: 'everything that was applied' },
    { command: 'state list --format json', text: 'for a program to read' },
  ],
  parse: () => ({}),
  run: (_args, context) =>
    context.withEngine(async (engine) => {
      const state = await engine.state.read();
      const status: StatusReport | null = state === null ? null : await engine.status(context.signal);
      return { place: engine.state.place, state, entries: state === null ? [] : stateEntries(state, status) };
    }),
  views: {
    human: (result, page) => stateListText(result, page),
    json: ({ place, state, entries }) => ({
      place,
      state: state === null ? null : { lineage: state.lineage, serial: state.serial },
      entries,
    }),
  },
});
