import { describe, expect, test } from 'vitest';
import { SluiceError } from '../error/sluice-error.js';
import type { Format, GlobalOptions } from './command.js';
import { COMMANDS } from './commands/all.js';
import { readCommandLine, requestedFormat } from './program.js';

const SETTINGS = { commands: COMMANDS, version: '1.2.3', columns: 100 };
const DEFAULTS: GlobalOptions = { config: 'sources.yaml', format: 'human', logLevel: null, debug: false };

function read(argv: readonly string[]) {
  const selection = readCommandLine(argv, SETTINGS);
  if (selection.kind === 'text') return selection;
  return {
    name: selection.command.name,
    args: selection.command.prepare(selection.input).args,
    globals: selection.globals,
  };
}

describe('argv to struct', () => {
  const syncArgs = { address: null, untilCaughtUp: false, force: false };
  const planArgs = { out: null, detailedExitcode: false, targets: [], maxBytes: null, basis: { kind: 'observed' } };
  const applyArgs = { planFile: null, yes: false, sync: false, targets: [] };
  test.each<{ name: string; argv: string[]; command: string; args: unknown; globals?: Partial<GlobalOptions> }>([
    { name: 'validate', argv: ['validate'], command: 'validate', args: {} },
    {
      name: 'init by a url',
      argv: ['init', '--url', 'postgres://u:secret@h:1/d', '--yes', '--no-test', '--destination', 'a.duckdb'],
      command: 'init',
      args: {
        host: 'h',
        port: 1,
        database: 'd',
        user: 'u',
        passwordEnv: null,
        password: 'secret',
        tls: null,
        source: null,
        destination: 'a.duckdb',
        yes: true,
        test: false,
      },
    },
    { name: 'fmt', argv: ['fmt', '--check'], command: 'fmt', args: { check: true } },
    {
      name: 'runs',
      argv: ['runs', '--limit', '5', '--source', 'shop', '--table', 'public.a', '--failed'],
      command: 'runs',
      args: { limit: 5, source: 'shop', table: 'public.a', failedOnly: true },
    },
    { name: 'completion', argv: ['completion', 'zsh'], command: 'completion', args: { shell: 'zsh' } },
    {
      name: 'complete takes options as words',
      argv: ['complete', '--', 'ls', '--format', 'j'],
      command: 'complete',
      args: { words: ['ls', '--format', 'j'] },
    },
    {
      name: 'discover',
      argv: ['discover'],
      command: 'discover',
      args: { source: null, connection: null, schema: null, write: false },
    },
    {
      name: 'discover with filters',
      argv: ['discover', '--source', 'shop', '--schema=public', '--write'],
      command: 'discover',
      args: { source: 'shop', connection: null, schema: 'public', write: true },
    },
    {
      name: 'plan',
      argv: ['plan'],
      command: 'plan',
      args: planArgs,
    },
    {
      name: 'plan with everything',
      argv: ['plan', '--out', 'a.plan', '--detailed-exitcode', '--target', 'shop', '--target=crm:public.t'],
      command: 'plan',
      args: { ...planArgs, out: 'a.plan', detailedExitcode: true, targets: ['shop', 'crm:public.t'] },
    },
    {
      name: 'a plan from the state',
      argv: ['plan', '--no-refresh'],
      command: 'plan',
      args: { ...planArgs, basis: { kind: 'state' } },
    },
    {
      name: 'a plan from an exported state',
      argv: ['plan', '--state', 'state.json'],
      command: 'plan',
      args: { ...planArgs, basis: { kind: 'state_file', file: 'state.json' } },
    },
    {
      name: 'a plan against a git ref',
      argv: ['plan', '--base=origin/main'],
      command: 'plan',
      args: { ...planArgs, basis: { kind: 'base', ref: 'origin/main' } },
    },
    { name: 'show', argv: ['show', 'a.plan'], command: 'show', args: { planFile: 'a.plan', maxBytes: null } },
    { name: 'apply', argv: ['apply'], command: 'apply', args: applyArgs },
    {
      name: 'apply a saved plan and sync',
      argv: ['apply', 'a.plan', '--yes', '--sync'],
      command: 'apply',
      args: { ...applyArgs, planFile: 'a.plan', yes: true, sync: true },
    },
    { name: 'sync', argv: ['sync'], command: 'sync', args: syncArgs },
    {
      name: 'sync one table runs it due or not',
      argv: ['sync', 'shop:public.users'],
      command: 'sync',
      args: { ...syncArgs, address: 'shop:public.users', force: true },
    },
    {
      name: 'sync until caught up',
      argv: ['sync', '--until-caught-up'],
      command: 'sync',
      args: { ...syncArgs, untilCaughtUp: true },
    },
    { name: 'sync --force', argv: ['sync', '--force'], command: 'sync', args: { ...syncArgs, force: true } },
    { name: 'status', argv: ['status'], command: 'status', args: { everyMs: null } },
    { name: 'status that stays', argv: ['status', '--watch'], command: 'status', args: { everyMs: 2_000 } },
    {
      name: 'status every minute',
      argv: ['status', '--watch', '--every', '1m'],
      command: 'status',
      args: { everyMs: 60_000 },
    },
    { name: 'ls', argv: ['ls'], command: 'ls', args: {} },
    {
      name: 'verify everything',
      argv: ['verify'],
      command: 'verify',
      args: { address: null, samplePercent: null, seed: null, limit: 20 },
    },
    {
      name: 'verify a sample of one table',
      argv: ['verify', 'shop:public.a', '--sample', '0.5%', '--seed', 'monday', '--limit', '0'],
      command: 'verify',
      args: { address: 'shop:public.a', samplePercent: 0.5, seed: 'monday', limit: 0 },
    },
    {
      name: 'verify a sample of everything',
      argv: ['verify', '--sample', '100'],
      command: 'verify',
      args: { address: null, samplePercent: 100, seed: null, limit: 20 },
    },
    {
      name: 'resync several',
      argv: ['resync', 'shop:public.a', 'shop:public.b', '--yes'],
      command: 'resync',
      args: { addresses: ['shop:public.a', 'shop:public.b'], yes: true },
    },
    { name: 'doctor', argv: ['doctor'], command: 'doctor', args: { policy: false } },
    { name: 'doctor with its flag', argv: ['doctor', '--policy'], command: 'doctor', args: { policy: true } },
    { name: 'optimize all', argv: ['optimize'], command: 'optimize', args: { address: null } },
    { name: 'optimize one', argv: ['optimize', 'shop'], command: 'optimize', args: { address: 'shop' } },
    { name: 'vacuum', argv: ['vacuum'], command: 'vacuum', args: { address: null, dryRun: false } },
    {
      name: 'vacuum to look',
      argv: ['vacuum', 'shop', '--dry-run'],
      command: 'vacuum',
      args: { address: 'shop', dryRun: true },
    },
    { name: 'cdc setup-sql of all', argv: ['cdc', 'setup-sql'], command: 'cdc setup-sql', args: { source: null } },
    {
      name: 'cdc setup-sql of one',
      argv: ['cdc', 'setup-sql', 'shop'],
      command: 'cdc setup-sql',
      args: { source: 'shop' },
    },
    {
      name: 'query as csv',
      argv: ['query', 'select 1', '--destination', 'warehouse', '--format', 'csv'],
      command: 'query',
      args: { sql: 'select 1', destination: 'warehouse' },
      globals: { format: 'csv' },
    },
    {
      name: 'query that begins with a comment, behind --',
      argv: ['query', '--', '-- all\nselect 1'],
      command: 'query',
      args: { sql: '-- all\nselect 1', destination: null },
    },
    { name: 'schema', argv: ['schema'], command: 'schema', args: {} },
    {
      name: 'daemon',
      argv: ['daemon', '--log-level', 'debug'],
      command: 'daemon',
      args: { printUnit: false, user: 'sluice' },
      globals: { logLevel: 'debug' },
    },
    {
      name: 'daemon --print-unit',
      argv: ['daemon', '--print-unit', '--user', 'etl'],
      command: 'daemon',
      args: { printUnit: true, user: 'etl' },
    },
    { name: 'state list', argv: ['state', 'list'], command: 'state list', args: {} },
    {
      name: 'state show ADDRESS',
      argv: ['state', 'show', 'shop:public.users'],
      command: 'state show',
      args: { address: 'shop:public.users' },
    },
    { name: 'version', argv: ['version'], command: 'version', args: {} },
    {
      name: 'global options before the command',
      argv: ['-c', 'a.yaml', '--debug', '--no-color', 'status'],
      command: 'status',
      args: { everyMs: null },
      globals: { config: 'a.yaml', debug: true },
    },
    {
      name: 'global options behind the command',
      argv: ['cdc', 'setup-sql', '--config=a.yaml', '--format', 'json'],
      command: 'cdc setup-sql',
      args: { source: null },
      globals: { config: 'a.yaml', format: 'json' },
    },
  ])('$name', (c) =>
    expect(read(c.argv)).toEqual({ name: c.command, args: c.args, globals: { ...DEFAULTS, ...c.globals } }),
  );
});

describe('wrong lines', () => {
  test.each<{ name: string; argv: string[]; message: string; hint: string }>([
    {
      name: 'unknown command with a near one',
      argv: ['stats'],
      message: "unknown command 'stats'",
      hint: 'Did you mean one of state, status? (see sluice --help)',
    },
    {
      name: 'unknown option',
      argv: ['status', '--nope'],
      message: "unknown option '--nope'",
      hint: 'see sluice status --help',
    },
    {
      name: 'misspelt option',
      argv: ['plan', '--detailed-exit-code'],
      message: "unknown option '--detailed-exit-code'",
      hint: 'Did you mean --detailed-exitcode? (see sluice plan --help)',
    },
    {
      name: 'missing argument',
      argv: ['show'],
      message: "missing required argument 'PLANFILE'",
      hint: 'see sluice show --help',
    },
    {
      name: 'option without its value',
      argv: ['plan', '--out'],
      message: "option '--out <FILE>' argument missing",
      hint: 'see sluice plan --help',
    },
    {
      name: 'too many arguments',
      argv: ['ls', 'a'],
      message: "too many arguments for 'ls'. Expected 0 arguments but got 1.",
      hint: 'see sluice ls --help',
    },
    {
      name: 'two things to make a plan from',
      argv: ['plan', '--no-refresh', '--base', 'main'],
      message: '--refresh-only, --no-refresh, --state and --base exclude one another',
      hint: 'see sluice plan --help',
    },
    {
      name: 'fewer bytes than a plan needs to say anything',
      argv: ['plan', '--max-bytes', '12'],
      message: '--max-bytes needs a whole number of at least 500, not "12"',
      hint: 'a comment on GitHub may have 65536 characters: --max-bytes 65000',
    },
    {
      name: 'format of another kind',
      argv: ['ls', '--format', 'xml'],
      message:
        "option '--format <FORMAT>' argument 'xml' is invalid. Allowed choices are human, json, csv, markdown, ndjson, arrow.",
      hint: 'see sluice ls --help',
    },
    {
      name: 'unknown subcommand of a group',
      argv: ['cdc', 'setup'],
      message: "unknown command 'setup'",
      hint: 'see sluice cdc --help',
    },
    {
      name: 'a saved plan with targets',
      argv: ['apply', 'a.plan', '--target', 'shop'],
      message: '--target cannot be combined with a saved plan',
      hint: 'give --target to sluice plan --out',
    },
    ...['0', '0%', '100.1', '-1', 'all', '1%%', ''].map((sample) => ({
      name: `a sample of "${sample}"`,
      argv: ['verify', `--sample=${sample}`],
      message: `--sample is a percentage above 0 and up to 100, not "${sample}"`,
      hint: 'for example: --sample 1%',
    })),
    {
      name: 'discover --write of a connection',
      argv: ['discover', '--connection', 'db', '--write'],
      message: '--connection cannot be combined with --write',
      hint: 'tables are added to a source: --source SOURCE',
    },
    {
      name: 'init with a password for a name',
      argv: ['init', '--password-env', 'my secret!'],
      message: '--password-env: this is the name of a variable, not the password itself',
      hint: 'see sluice init --help',
    },
    {
      name: 'init with a port that is none',
      argv: ['init', '--port', '70000'],
      message: '--port is a number from 1 to 65535, not "70000"',
      hint: 'see sluice init --help',
    },
    {
      name: 'a seed of no sample',
      argv: ['verify', '--seed', 'a'],
      message: '--seed goes with --sample',
      hint: 'see sluice verify --help',
    },
    {
      name: '--every without --watch',
      argv: ['status', '--every', '5s'],
      message: '--every says how often --watch looks',
      hint: 'add --watch',
    },
    ...['0s', '100ms', 'often', '5'].map((every) => ({
      name: `looking every ${every}`,
      argv: ['status', '--watch', '--every', every],
      message: `--every needs a duration of at least 500ms, not "${every}"`,
      hint: 'such as 2s, 30s or 1m',
    })),
    {
      name: 'a limit that is no number',
      argv: ['verify', '--limit', '1e3'],
      message: '--limit is a number up to 1,000,000, not "1e3"',
      hint: 'see sluice verify --help',
    },
  ])('$name', (c) => {
    let thrown: unknown;
    try {
      read(c.argv);
    } catch (error) {
      thrown = error;
    }
    if (!(thrown instanceof SluiceError)) throw new Error(`expected a SluiceError, got ${String(thrown)}`);
    expect({ code: thrown.code, exit: thrown.exitCode, message: thrown.message, hint: thrown.hint }).toEqual({
      code: 'USAGE',
      exit: 64,
      message: c.message,
      hint: c.hint,
    });
  });
});

describe('help', () => {
  test.each(COMMANDS.map((command) => ({ name: command.name, command })))('of $name has all that was declared', (c) => {
    const help = readCommandLine([...c.name.split(' '), '--help'], SETTINGS);
    if (help.kind !== 'text') throw new Error('expected text');
    expect(help.exitCode).toBe(0);
    expect(help.text).toContain(c.command.summary);
    expect(help.text).toContain('Examples:');
    expect(c.command.examples.length).toBeGreaterThan(0);
    for (const example of c.command.examples) expect(help.text).toContain(`$ sluice ${example.command}`);
    for (const option of c.command.options) expect(help.text).toContain(`--${option.name}`);
    for (const argument of c.command.arguments) expect(help.text).toContain(argument.name);
    expect(help.text).toContain('--config');
  });

  test.each(COMMANDS.flatMap((command) => command.examples.map((example) => ({ line: example.command }))))(
    'the example "sluice $line" can be parsed',
    ({ line }) => expect(read(words(line))).toHaveProperty('args'),
  );

  test('of the program lists every command and the exit codes', () => {
    const help = readCommandLine(['--help'], SETTINGS);
    if (help.kind !== 'text') throw new Error('expected text');
    for (const command of COMMANDS.filter(({ hidden }) => !hidden)) {
      expect(help.text).toContain(command.name.split(' ')[0]);
    }
    expect(help.text).not.toContain('complete [');
    expect(help.text).toContain('78  the config is wrong');
  });

  test('no command: help and exit code 64', () => {
    expect(readCommandLine([], SETTINGS)).toMatchObject({ kind: 'text', exitCode: 64 });
    expect(readCommandLine(['cdc'], SETTINGS)).toMatchObject({ kind: 'text', exitCode: 64 });
  });

  test('--version', () => {
    expect(readCommandLine(['--version'], SETTINGS)).toEqual({ kind: 'text', text: 'sluice 1.2.3\n', exitCode: 0 });
  });
});

test.each<{ name: string; argv: string[]; format: Format }>([
  { name: 'none', argv: ['plan'], format: 'human' },
  { name: 'as two words', argv: ['--nope', '--format', 'json'], format: 'json' },
  { name: 'as one word', argv: ['plan', '--format=json', '--nope'], format: 'json' },
  { name: 'an unknown one', argv: ['--format', 'xml'], format: 'human' },
  { name: 'behind --', argv: ['query', '--', '--format', 'json'], format: 'human' },
])('requested format: $name', (c) => expect(requestedFormat(c.argv)).toBe(c.format));

/** Splits an example as a shell would: single quotes keep words together; what follows `>` or `|` is not ours. */
function words(line: string): string[] {
  const own = line.split(/ [>|] /)[0] ?? '';
  return [...own.matchAll(/'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2] ?? '');
}
