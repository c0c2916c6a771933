import { command } from '../command.js';
import type { Completion } from '../completion.js';
import { COMPLETE_COMMAND, FILES } from '../completion-script.js';

/** Words of a line that is being typed to what may follow: for the shells, at each press of a key. It never fails. */
export const complete = command<{ readonly words: readonly string[] }, string>({
  name: COMPLETE_COMMAND,
  summary: 'Answer a shell that completes a line',
  description: 'The scripts of sluice completion call it.',
  hidden: true,
  arguments: [{ name: 'WORD', description: 'what stands behind sluice', required: false, variadic: true }],
  options: [],
  examples: [{ command: 'complete -- sync shop', text: 'lines of a word, a tab and a description' }],
  parse: (input) => ({ words: input.rest('WORD') }),
  async run({ words }, context) {
    try {
      return await answer(await context.complete(words), (path) => context.files.readText(path));
    } catch {
      return '';
    }
  },
  views: { human: (lines) => lines, json: (lines) => ({ lines: lines.split('\n').filter((line) => line !== '') }) },
});

async function answer(found: Completion, readText: (path: string) => Promise<string>): Promise<string> {
  if (found.kind === 'words') return found.words.map(({ word, text }) => `${word}\t${text.split('\n')[0]}\n`).join('');
  if (found.values === 'file') return `${FILES}\n`;
  if (found.values === 'none') return '';
  const { configNames } = await import('../config-names.js');
  const names = configNames(await readText(found.config), found.values);
  return names.map((name) => `${found.before}${name}\t\n`).join('');
}
