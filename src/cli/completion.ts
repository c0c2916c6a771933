import type { Argument, Command, Option } from 'commander';

/** What a value stands for where its declaration names no choices. */
export type ValueKind = 'address' | 'source' | 'destination' | 'connection' | 'file' | 'none';

export type Completion =
  /** Words that may stand here; `text` is shown beside them by shells that can. */
  | { readonly kind: 'words'; readonly words: readonly { readonly word: string; readonly text: string }[] }
  /** Names out of the config file, or paths, which the shell knows best; `before` (`--source=`) comes in front of each. */
  | { readonly kind: 'values'; readonly values: ValueKind; readonly before: string; readonly config: string };

const DEFAULT_CONFIG = 'sources.yaml';

/** Placeholders of options and names of arguments, as the commands declare them. */
const KINDS: Readonly<Record<string, ValueKind>> = {
  ADDRESS: 'address',
  SOURCE: 'source',
  FILE: 'file',
  PATH: 'file',
  PLAN: 'file',
  PLANFILE: 'file',
};
const OPTION_KINDS: Readonly<Record<string, ValueKind>> = {
  '--source': 'source',
  '--destination': 'destination',
  '--connection': 'connection',
};

/**
 * What may stand at the end of a line that is being typed, told from the declarations of the program alone.
 * @param words behind `sluice`; the last one is being typed and may be ""
 */
export function complete(program: Command, words: readonly string[]): Completion {
  const current = words.at(-1) ?? '';
  let command = program;
  let positional = 0;
  let expecting: Option | null = null;
  let config = DEFAULT_CONFIG;
  let onlyArguments = false;
  for (const word of words.slice(0, -1)) {
    if (expecting !== null) {
      if (expecting.long === '--config') config = word;
      expecting = null;
    } else if (!onlyArguments && word === '--') onlyArguments = true;
    else if (!onlyArguments && word.startsWith('-')) {
      const [name = '', ...value] = word.split('=');
      const option = optionOf(command, name);
      if (option?.long === '--config' && value.length > 0) config = value.join('=');
      if (option !== null && takesValue(option) && value.length === 0) expecting = option;
    } else {
      const sub = positional === 0 ? command.commands.find((each) => each.name() === word) : undefined;
      if (sub === undefined) positional += 1;
      else command = sub;
    }
  }
  if (expecting !== null) return optionValues(expecting, '', config);
  if (!onlyArguments && current.startsWith('-')) {
    const assignment = /^(--[a-z-]+)=/.exec(current);
    const option = assignment === null ? null : optionOf(command, assignment[1] ?? '');
    if (option !== null && takesValue(option)) return optionValues(option, `${assignment?.[1] ?? ''}=`, config);
    return options(command);
  }
  const visible = command.createHelp().visibleCommands(command);
  if (positional === 0 && visible.length > 0) {
    return wordsOf(visible.map((each) => ({ word: each.name(), text: each.summary() || each.description() })));
  }
  // An unknown command, or one in a group.
  if (visible.length > 0) return wordsOf([]);
  const declared = command.registeredArguments;
  const argument = declared[positional] ?? (declared.at(-1)?.variadic === true ? declared.at(-1) : undefined);
  return argument === undefined ? options(command) : argumentValues(argument, config);
}

function options(command: Command): Completion {
  const help = command.createHelp();
  const all = [...help.visibleOptions(command), ...help.visibleGlobalOptions(command)];
  return wordsOf(
    all.flatMap((option) => (option.long == null ? [] : [{ word: option.long, text: option.description }])),
  );
}

function argumentValues(argument: Argument, config: string): Completion {
  if (argument.argChoices !== undefined) return wordsOf(argument.argChoices.map((word) => ({ word, text: '' })));
  return { kind: 'values', values: KINDS[argument.name()] ?? 'none', before: '', config };
}

function optionValues(option: Option, before: string, config: string): Completion {
  if (option.argChoices !== undefined) {
    return wordsOf(option.argChoices.map((choice) => ({ word: before + choice, text: '' })));
  }
  const placeholder = /<([A-Z_]+)>/.exec(option.flags)?.[1] ?? '';
  return { kind: 'values', values: OPTION_KINDS[option.long ?? ''] ?? KINDS[placeholder] ?? 'none', before, config };
}

function optionOf(command: Command, name: string): Option | null {
  for (let at: Command | null = command; at !== null; at = at.parent) {
    const found = at.options.find((option) => option.long === name || option.short === name);
    if (found !== undefined) return found;
  }
  return null;
}

function takesValue(option: Option): boolean {
  return option.required || option.optional;
}

function wordsOf(words: readonly { readonly word: string; readonly text: string }[]): Completion {
  return { kind: 'words', words };
}
