import type { Option } from 'commander';
import type { Command, OptionSpec } from '../../src/cli/command.js';
import { COMMANDS } from '../../src/cli/commands/all.js';
import { declaredProgram, EXIT_CODES, GROUPS } from '../../src/cli/program.js';
import { anchor, cell, code, codeCell, type Page, page, prose, sentence, tableOf } from './markdown.js';

/** docs/cli.md: every command as it is declared. */
export function cliPage(): Page {
  const commands = COMMANDS.filter((command) => !command.hidden);
  return page('cli.md', 'the declarations in src/cli/commands', [
    '# Commands',
    'What `sluice COMMAND --help` prints, in one page. Results go to stdout, progress, logs and errors to stderr; colours only to\na terminal. Settings of the config file: [config.md](config.md); error codes: [errors.md](errors.md).',
    tableOf(
      ['command', ''],
      commands.map((each) => [`[${code(each.name)}](#${anchor(each.name)})`, cell(each.summary)]),
    ),
    '## Options of every command',
    tableOf(
      ['option', 'type', 'default', ''],
      globalOptions().map((option) => [
        `<a id="${anchor(`option ${option.long ?? option.flags}`)}"></a>${codeCell(option.flags)}`,
        cell(typeOfGlobal(option)),
        option.defaultValue === undefined || option.defaultValue === true ? '' : codeCell(String(option.defaultValue)),
        cell(sentence(option.description)),
      ]),
    ),
    '## Exit codes',
    `\`\`\`\n${EXIT_CODES}\n\`\`\``,
    '## JSON',
    [
      '`--format json` prints one document with `format_version` first, for every command that lists it below; its JSON Schema is',
      'named there. Where a command fails, `error` has `code`, `message` and mostly `hint`: beside the result where there is one, else',
      'in a document of its own on stdout ([error.schema.json](../schema/output/error.schema.json)). New fields may come; one that changes its meaning or goes',
      'away raises `format_version`. With `--format ndjson`, `plan`, `apply` and `sync` print a line for each event as it happens',
      '([events.schema.json](../schema/events.schema.json)).',
    ].join('\n'),
    ...Object.entries(GROUPS).map(([name, summary]) => groupText(name, summary, commands)),
    ...commands.map(commandText),
  ]);
}

/** Where the schema of a command's JSON document lies, below schema/. */
function schemaOfCommand(name: string): string {
  return `output/${name.replaceAll(' ', '-')}.schema.json`;
}

function groupText(name: string, summary: string, commands: readonly Command[]): string {
  const own = commands.filter((each) => each.name.startsWith(`${name} `));
  const links = own.map((each) => `[${code(each.name)}](#${anchor(each.name)})`).join(', ');
  return `<a id="${name}-group"></a>**${code(name)}**: ${sentence(summary)} ${links}.`;
}

function commandText(command: Command): string {
  const usage = [
    `sluice ${command.name}`,
    ...(command.options.length === 0 ? [] : ['[options]']),
    ...command.arguments.map(({ name, required, variadic }) => {
      const written = variadic === true ? `${name}...` : name;
      return required ? `<${written}>` : `[${written}]`;
    }),
  ].join(' ');
  const parts = [
    `## ${command.name}`,
    `${sentence(prose(command.summary))}${command.description === '' ? '' : `\n\n${prose(command.description)}`}`,
    `\`\`\`\n${usage}\n\`\`\``,
  ];
  if (command.arguments.length > 0) {
    parts.push(
      tableOf(
        ['argument', 'required', 'allowed', ''],
        command.arguments.map((each) => [
          codeCell(each.name),
          each.required ? 'yes' : 'no',
          each.choices === undefined ? 'any' : each.choices.map(codeCell).join(', '),
          cell(sentence(each.description)),
        ]),
      ),
    );
  }
  if (command.options.length > 0) {
    parts.push(
      tableOf(
        ['option', 'type', 'default', 'example', ''],
        command.options.map((option) => optionRow(command, option)),
      ),
    );
  }
  parts.push(
    `\`\`\`\n${command.examples.map((each) => `# ${each.text}\nsluice ${each.command}`).join('\n')}\n\`\`\``,
    `Formats: ${command.formats.map(code).join(', ')}. Schema of the JSON document: [${schemaOfCommand(command.name)}](../schema/${schemaOfCommand(command.name)}).`,
  );
  return parts.join('\n\n');
}

function optionRow(command: Command, option: OptionSpec): string[] {
  const id = `<a id="${anchor(`${command.name} ${option.name}`)}"></a>`;
  const flags = option.kind === 'flag' ? `--${option.name}` : `--${option.name} <${option.placeholder}>`;
  // Declared without one; where there is one, the description tells it in its last words.
  const described = /(?:; |\s*\()?default:? ([^)]+)\)?$/.exec(option.description);
  return [
    `${id}${codeCell(flags)}`,
    { flag: 'flag', value: 'text', list: 'text, repeatable' }[option.kind],
    described?.[1] === undefined ? (option.kind === 'flag' ? 'off' : 'none') : cell(described[1]),
    codeCell(exampleOf(command, option)),
    described?.index === 0 ? '' : cell(sentence(option.description.slice(0, described?.index))),
  ];
}

/** From the examples of the command where one has the option, else written from the placeholder. */
function exampleOf(command: Command, option: OptionSpec): string {
  const own = new RegExp(`--${option.name}(?![\\w-])(?:[ =](?:'[^']*'|[^\\s']+))?`);
  for (const example of command.examples) {
    const [found] = own.exec(example.command) ?? [];
    if (found !== undefined) return option.kind === 'flag' ? `--${option.name}` : found;
  }
  if (option.kind === 'flag') return `--${option.name}`;
  const value = SAMPLES[option.placeholder];
  if (value === undefined) {
    throw new Error(`sluice ${command.name}: give --${option.name} in an example, or ${option.placeholder} a sample`);
  }
  return `--${option.name} ${value}`;
}

/** What a placeholder may stand for. */
const SAMPLES: Readonly<Record<string, string>> = {
  ADDRESS: 'shop:public.users',
  FILE: 'state.json',
  HOST: 'db.example.com',
  MODE: 'verify-full',
  N: '50',
  NAME: 'shop',
  PATH: 'warehouse.duckdb',
  PORT: '5432',
  ROLE: 'sluice',
  SCHEMA: 'public',
  SOURCE: 'shop',
  TEXT: 'monday',
  VARIABLE: 'SHOP_PASSWORD',
};

function globalOptions(): readonly Option[] {
  const program = declaredProgram({ commands: [], version: '', columns: 100 });
  return program.options;
}

function typeOfGlobal(option: Option): string {
  if (option.argChoices !== undefined) return option.argChoices.map(code).join(', ');
  return option.required ? 'text' : 'flag';
}
