import { SluiceError } from '../../error/sluice-error.js';
import { command } from '../command.js';
import { completionScript, SHELLS, type Shell } from '../completion-script.js';

export const completion = command<{ readonly shell: Shell }, Shell>({
  name: 'completion',
  summary: 'Print what a shell reads to complete sluice',
  description:
    'Commands, options and their choices are completed, and sources, tables and destinations by the names that the config file has.',
  arguments: [{ name: 'SHELL', description: SHELLS.join(', '), required: true, choices: SHELLS }],
  options: [],
  examples: [
    { command: 'completion bash > ~/.local/share/bash-completion/completions/sluice', text: 'or in ~/.bashrc' },
    { command: 'completion fish > ~/.config/fish/completions/sluice.fish', text: 'for fish' },
    { command: 'completion zsh > ~/.zfunc/_sluice', text: 'a folder of $fpath' },
  ],
  parse(input) {
    const shell = SHELLS.find((each) => each === input.argument('SHELL'));
    if (shell === undefined) throw new SluiceError({ code: 'USAGE', message: `SHELL is one of ${SHELLS.join(', ')}` });
    return { shell };
  },
  run: async ({ shell }) => shell,
  views: { human: completionScript, json: (shell) => ({ shell, script: completionScript(shell) }) },
});
