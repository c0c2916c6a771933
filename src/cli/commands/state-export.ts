import { SluiceError } from '../../error/sluice-error.js';
import type { StateDocument } from '../../state/state.js';
import { stateText } from '../../state/stored-state.js';
import { command } from '../command.js';

export const stateExport = command<Record<string, never>, StateDocument>({
  name: 'state export',
  summary: 'Write the state to stdout',
  description: 'The document as state import takes it, the same from whatever it is kept in. It holds no secrets.',
  arguments: [],
  options: [],
  examples: [{ command: 'state export > state.backup.json', text: 'a copy to keep' }],
  parse: () => ({}),
  run: (_args, context) =>
    context.withEngine(async (engine) => {
      const state = await engine.state.read();
      if (state !== null) return state;
      throw new SluiceError({
        code: 'ADDRESS_UNKNOWN',
        message: `there is no state in ${engine.state.place}: nothing has been applied yet`,
        hint: 'run: sluice apply',
      });
    }),
  // The document is JSON in either format, with a format_version of its own.
  views: { human: stateText, json: (state) => ({ ...state }) },
});
