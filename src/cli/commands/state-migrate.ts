import { SluiceError } from '../../error/sluice-error.js';
import { command } from '../command.js';

export interface StateMigrateArgs {
  readonly from: string;
}

interface Migrated {
  readonly from: string;
  readonly to: string;
  readonly lineage: string;
  readonly serial: number;
}

export const stateMigrate = command<StateMigrateArgs, Migrated>({
  name: 'state migrate',
  summary: 'Bring the state from where it was to where the config keeps it now',
  description:
    'Change state: in the config first, then name with --from where the state was: the old config file, a file with the old state: block alone, or the block itself. A place that has a state already is refused. In the old place a note is left, at which every later use of it ends; the document stays there as the backup.',
  arguments: [],
  options: [{ kind: 'value', name: 'from', placeholder: 'FILE|BLOCK', description: 'where the state was' }],
  examples: [
    {
      command: "state migrate --from '{ type: file, path: .sluice/state.json }'",
      text: 'from a file to what state: names',
    },
    { command: 'state migrate --from old-sources.yaml', text: 'from where an older config kept it' },
  ],
  parse(input) {
    const from = input.value('from');
    if (from !== null) return { from };
    throw new SluiceError({
      code: 'USAGE',
      message: 'state migrate needs --from: where the state was',
      hint: "sluice state migrate --from '{ type: file, path: .sluice/state.json }'",
    });
  },
  async run(args, context) {
    const other = await context.loadStateConfig(args.from);
    return context.withEngine(async (engine) => {
      const { from, state } = await engine.state.migrateFrom(other, context.signal);
      return { from, to: engine.state.place, lineage: state.lineage, serial: state.serial };
    });
  },
  views: {
    human: ({ from, to, serial }) =>
      `moved  ${from} -> ${to} (serial ${serial})\nThe old place says so to whoever still uses it; its backup may be removed.\n`,
    json: (result) => ({ ...result }),
  },
});
