import { Argument, Command as CommanderCommand, CommanderError, Option } from 'commander';
import { ERROR_CODES } from '../error/codes.js';
import { SluiceError } from '../error/sluice-error.js';
import {
  type Command,
  FORMATS,
  type Format,
  type GlobalOptions,
  type Input,
  LOG_LEVELS,
  type LogLevel,
} from './command.js';
import { type Completion, complete } from './completion.js';

/** What a command line asks for. */
export type Selection =
  /** Help or version was asked for, or (with exit code 64) no command was named. */
  | { readonly kind: 'text'; readonly text: string; readonly exitCode: number }
  | { readonly kind: 'command'; readonly command: Command; readonly input: Input; readonly globals: GlobalOptions };

export interface ProgramSettings {
  readonly commands: readonly Command[];
  readonly version: string;
  /** Width of help text. */
  readonly columns: number;
}

/** One line for each group of two-word commands. */
export const GROUPS: Readonly<Record<string, string>> = {
  cdc: 'Change data capture: publications and slots',
  state: 'What was applied: show, move and mend its record',
};

const OVERVIEW_EXAMPLES = [
  { command: 'validate', text: 'check sources.yaml' },
  { command: 'plan', text: 'show what apply would do' },
  { command: 'apply', text: 'do it, after a question' },
  { command: 'sync --until-caught-up', text: 'load what is due, until Postgres has nothing newer' },
  { command: 'daemon', text: 'keep everything in step until stopped' },
];

export const EXIT_CODES = `Exit codes:
  0   done
  1   something failed
  2   only of plan --detailed-exitcode: there are changes
  64  the command line is wrong
  69  a server or destination is unavailable
  75  locked by another process, or try again
  78  the config is wrong`;

/**
 * Reads a command line (without `node` and the script). Nothing is printed and nothing runs.
 * @throws SluiceError USAGE
 */
export function readCommandLine(argv: readonly string[], settings: ProgramSettings): Selection {
  const { program, printed, selected } = buildProgram(settings);
  try {
    program.parse([...argv], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return { kind: 'text', text: printed.out, exitCode: 0 };
    // Without a command, commander prints the help of the program or group to its error output.
    if (error.code === 'commander.help') return { kind: 'text', text: printed.err, exitCode: ERROR_CODES.USAGE.exit };
    throw usageError(error, argv, settings.commands);
  }
  const selection = selected();
  if (selection === null) throw new SluiceError({ code: 'INTERNAL', message: 'no command was selected' });
  return selection;
}

/** The program as commander knows it: what help, docs and completion are made from. */
export function declaredProgram(settings: ProgramSettings): CommanderCommand {
  return buildProgram(settings).program;
}

/** What may stand at the end of a line that is being typed. @param words behind `sluice`; the last may be "" */
export function completeLine(words: readonly string[], settings: ProgramSettings): Completion {
  return complete(declaredProgram(settings), words);
}

interface Program {
  readonly program: CommanderCommand;
  readonly printed: { out: string; err: string };
  selected(): Selection | null;
}

function buildProgram(settings: ProgramSettings): Program {
  const printed = { out: '', err: '' };
  let selection: Selection | null = null;
  const program = new CommanderCommand('sluice');
  // Subcommands inherit what is set here, so it comes before the first of them.
  program
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => {
        printed.out += text;
      },
      writeErr: (text) => {
        printed.err += text;
      },
      // The message of the CommanderError says it already.
      outputError: () => undefined,
      getOutHelpWidth: () => settings.columns,
      getErrHelpWidth: () => settings.columns,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .description('Keeps Postgres tables in step with DuckDB files or a data lake, from one YAML file.')
    .version(`sluice ${settings.version}`, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .option('-c, --config <FILE>', 'the config file', 'sources.yaml')
    .addOption(
      new Option(
        '--format <FORMAT>',
        'form of the result on stdout; csv and arrow only for query, markdown for plans, ndjson for plan, apply, sync, status and logs',
      )
        .choices(FORMATS)
        .default('human'),
    )
    .addOption(
      new Option(
        '--log-level <LEVEL>',
        'log to stderr from this level up (default: info for daemon, else silent)',
      ).choices(LOG_LEVELS),
    )
    .option('--debug', 'print stack traces of errors')
    .option('--no-color', 'no colours; NO_COLOR does the same');
  program.addHelpText('after', `\n${examplesText(OVERVIEW_EXAMPLES)}\n\n${EXIT_CODES}`);

  const groups = new Map<string, CommanderCommand>();
  for (const command of settings.commands) {
    const [first = '', second] = command.name.split(' ');
    const parent = second === undefined ? program : groupOf(program, groups, first);
    addCommand(parent, second ?? first, command, (input) => {
      selection = { kind: 'command', command, input, globals: globalsOf(program) };
    });
  }
  return { program, printed, selected: () => selection };
}

function groupOf(program: CommanderCommand, groups: Map<string, CommanderCommand>, name: string): CommanderCommand {
  const known = groups.get(name);
  if (known !== undefined) return known;
  const group = program.command(name).description(GROUPS[name] ?? '');
  group.helpCommand(false);
  groups.set(name, group);
  return group;
}

function addCommand(parent: CommanderCommand, name: string, command: Command, select: (input: Input) => void): void {
  const target = parent.command(name, { hidden: command.hidden }).summary(command.summary);
  target.description(
    command.description === '' ? `${command.summary}.` : `${command.summary}.\n\n${command.description}`,
  );
  target.allowExcessArguments(false);
  for (const argument of command.arguments) {
    const written = argument.variadic === true ? `${argument.name}...` : argument.name;
    const declared = new Argument(argument.required ? `<${written}>` : `[${written}]`, argument.description);
    target.addArgument(argument.choices === undefined ? declared : declared.choices(argument.choices));
  }
  for (const option of command.options) {
    switch (option.kind) {
      case 'flag':
        target.option(flagsOf(option), option.description);
        break;
      case 'value': {
        const declared = new Option(`${flagsOf(option)} <${option.placeholder}>`, option.description);
        target.addOption(option.choices === undefined ? declared : declared.choices(option.choices));
        break;
      }
      case 'list':
        target.addOption(
          new Option(`--${option.name} <${option.placeholder}>`, `${option.description} (repeatable)`).argParser(
            (value, previous) => [...stringsOf(previous), value],
          ),
        );
        break;
    }
  }
  target.addHelpText('after', `\n${examplesText(command.examples)}`);
  target.action(() => {
    const options: Readonly<Record<string, unknown>> = target.opts();
    const given: readonly unknown[] = target.processedArgs;
    select(inputOf(command, options, given));
  });
}

function flagsOf({ name, short }: { readonly name: string; readonly short?: string }): string {
  return short === undefined ? `--${name}` : `-${short}, --${name}`;
}

function inputOf(command: Command, options: Readonly<Record<string, unknown>>, given: readonly unknown[]): Input {
  const option = (name: string): unknown => {
    if (!command.options.some((each) => each.name === name)) throw undeclared(command, `--${name}`);
    // Commander turns --no-test into the option "test", which is true unless it was given.
    return name.startsWith('no-') ? options[camelCase(name.slice(3))] === false : options[camelCase(name)];
  };
  const negated = (name: string): boolean => {
    if (!command.options.some((each) => each.name === name)) throw undeclared(command, `--${name}`);
    return options[camelCase(name.slice('no-'.length))] === false;
  };
  const argument = (name: string): unknown => {
    const index = command.arguments.findIndex((each) => each.name === name);
    if (index === -1) throw undeclared(command, name);
    return given[index];
  };
  return {
    // Commander keeps `--no-refresh` as `refresh: false`.
    flag: (name) => (name.startsWith('no-') ? negated(name) : option(name) === true),
    value: (name) => stringOf(option(name)),
    list: (name) => stringsOf(option(name)),
    argument: (name) => stringOf(argument(name)),
    rest: (name) => stringsOf(argument(name)),
  };
}

function undeclared(command: Command, name: string): SluiceError {
  return new SluiceError({ code: 'INTERNAL', message: `command "${command.name}" does not declare ${name}` });
}

function globalsOf(program: CommanderCommand): GlobalOptions {
  const options: Readonly<Record<string, unknown>> = program.opts();
  return {
    config: stringOf(options['config']) ?? 'sources.yaml',
    format: formatOf(options['format']) ?? 'human',
    logLevel: logLevelOf(options['logLevel']),
    debug: options['debug'] === true,
  };
}

function usageError(error: CommanderError, argv: readonly string[], commands: readonly Command[]): SluiceError {
  const [message = '', ...more] = error.message.replace(/^error: /, '').split('\n');
  const suggestion = more.join(' ').replace(/^\((.*)\)$/, '$1');
  const help = `see sluice ${namedCommand(argv, commands)}--help`;
  return new SluiceError({ code: 'USAGE', message, hint: suggestion === '' ? help : `${suggestion} (${help})` });
}

/** The command that a line which could not be parsed seems to mean, with a space behind it, for the pointer to its help. */
function namedCommand(argv: readonly string[], commands: readonly Command[]): string {
  const pairs = argv.map((word, index) => `${word} ${argv[index + 1] ?? ''}`);
  const named =
    pairs.find((pair) => commands.some((command) => command.name === pair)) ??
    argv.find((word) => Object.hasOwn(GROUPS, word) || commands.some((command) => command.name === word));
  return named === undefined ? '' : `${named} `;
}

/** The format that a line asks for, even where the rest of it cannot be parsed: its error is told in that format too. */
export function requestedFormat(argv: readonly string[]): Format {
  let format: Format = 'human';
  for (const [index, word] of argv.entries()) {
    if (word === '--') break;
    if (word === '--format') format = formatOf(argv[index + 1]) ?? format;
    else if (word.startsWith('--format=')) format = formatOf(word.slice('--format='.length)) ?? format;
  }
  return format;
}

function examplesText(examples: readonly { readonly command: string; readonly text: string }[]): string {
  const width = Math.max(...examples.map((example) => example.command.length));
  const lines = examples.map((example) => `  $ sluice ${example.command.padEnd(width)}  # ${example.text}`);
  return ['Examples:', ...lines].join('\n');
}

function camelCase(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function stringOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function stringsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((each): each is string => typeof each === 'string') : [];
}

function formatOf(value: unknown): Format | null {
  return FORMATS.find((format) => format === value) ?? null;
}

function logLevelOf(value: unknown): LogLevel | null {
  return LOG_LEVELS.find((level) => level === value) ?? null;
}
