import { SluiceError } from '../../error/sluice-error.js';
import { command } from '../command.js';

export interface StateImportArgs {
  readonly file: string;
  readonly force: boolean;
  readonly yes: boolean;
}

interface Imported {
  readonly place: string;
  readonly lineage: string;
  readonly serial: number;
}

export const stateImport = command<StateImportArgs, Imported>({
  name: 'state import',
  summary: 'Put an exported state in the place of the present one',
  description:
    'Refuses a document of another lineage and one that is older, unless --force is given. What was there is kept as the backup. Look at plan afterwards: it shows how the document and the world differ.',
  arguments: [{ name: 'FILE', description: 'written by state export', required: true }],
  options: [
    { kind: 'flag', name: 'force', description: 'also another lineage, an older serial, or over a damaged state' },
    { kind: 'flag', name: 'yes', description: 'do not ask' },
  ],
  examples: [
    { command: 'state import state.backup.json', text: 'asks first' },
    { command: 'state import state.backup.json --force --yes', text: 'go back to an older one, without a question' },
  ],
  parse: (input) => ({ file: input.argument('FILE') ?? '', force: input.flag('force'), yes: input.flag('yes') }),
  async run(args, context) {
    let text: string;
    try {
      text = await context.files.readText(args.file);
    } catch (cause) {
      throw new SluiceError({
        code: 'STATE_UNREADABLE',
        message: `cannot read ${args.file}`,
        cause,
        hint: 'write one: sluice state export > FILE',
      });
    }
    return context.withEngine(async (engine) => {
      const question = {
        text: `Put ${args.file} in the place of the state in ${engine.state.place}?`,
        what: 'state import',
      };
      if (!args.yes && !(await context.confirm(question))) {
        throw new SluiceError({ code: 'CANCELLED', message: 'not confirmed; nothing was changed' });
      }
      const { lineage, serial } = await engine.state.import(text, args.file, args.force, context.signal);
      return { place: engine.state.place, lineage, serial };
    });
  },
  views: {
    human: ({ place, serial }) =>
      `imported  ${place} has serial ${serial} now\nTo see what follows from it: sluice plan\n`,
    json: (result) => ({ ...result }),
  },
});
