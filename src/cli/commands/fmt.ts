import { SluiceError } from '../../error/sluice-error.js';
import { command } from '../command.js';
import { lineDiff } from '../view/line-diff.js';

export interface FmtArgs {
  readonly check: boolean;
}

interface Formatting {
  readonly file: string;
  readonly before: string;
  readonly after: string;
  readonly check: boolean;
}

export const fmt = command<FmtArgs, Formatting>({
  name: 'fmt',
  summary: 'Lay out the config file in the canonical way',
  description:
    'Indentation, spaces, blank lines and line ends only: comments, the order of keys and what the file means stay. --check writes nothing, shows what would change and ends with exit code 1 where something would.',
  arguments: [],
  options: [{ kind: 'flag', name: 'check', description: 'only say whether the file is laid out so' }],
  examples: [
    { command: 'fmt', text: 'lay out sources.yaml' },
    { command: 'fmt --check', text: 'in CI' },
  ],
  parse: (input) => ({ check: input.flag('check') }),
  async run({ check }, context) {
    const file = context.configFile;
    const before = await context.files.readText(file).catch((cause: unknown) => {
      throw new SluiceError({
        code: 'CONFIG_UNREADABLE',
        message: `${file} could not be read`,
        cause,
        hint: 'name another file with -c FILE',
      });
    });
    const { formatYaml } = await import('../../config/format-yaml.js');
    const after = formatYaml(before, file);
    if (!check && after !== before) await context.files.replaceText(file, after);
    return { file, before, after, check };
  },
  views: {
    human({ file, before, after, check }, { paint }) {
      if (before === after) return `${file} is laid out already\n`;
      return check
        ? `${file} is not laid out; sluice fmt would do this:\n${lineDiff(before, after, paint)}`
        : `${file} laid out\n`;
    },
    json: ({ file, before, after, check }) => ({
      file,
      changed: before !== after,
      written: !check && before !== after,
    }),
  },
  verdict: ({ before, after, check }) => (check && before !== after ? 1 : 0),
});
