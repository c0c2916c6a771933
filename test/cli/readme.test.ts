import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { COMMANDS } from '../../src/cli/commands/all.js';
import { readCommandLine } from '../../src/cli/program.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { Workspace } from './workspace.js';

/** Every command of the README: those of its blocks are run, and print what it shows; those in its sentences can be parsed. */

const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');

/** Not run here, and why. A new command of the README has to be added here, or runs below. */
const NOT_RUN: Readonly<Record<string, string>> = {
  'npm ci && npm run demo': 'installs anew; test/demo.test.ts runs the demo',
  'npm ci && npm test': 'installs anew; these are the tests',
  'npm ci && npm run build && npm link': 'installs anew and changes the machine; each test run builds',
};

interface Shown {
  readonly command: string;
  /** What the README shows below it. */
  readonly output: readonly string[];
}

/** Lines of ```sh blocks, and of ```console blocks those behind `$ ` with what they print. */
function shownCommands(): readonly Shown[] {
  const shown: { command: string; output: string[] }[] = [];
  for (const [, kind, body = ''] of README.matchAll(/^```(sh|console)\n([\s\S]*?)^```$/gm)) {
    for (const line of body.split('\n')) {
      const command = kind === 'sh' ? line : /^\$ (.*)$/.exec(line)?.[1];
      if (command !== undefined && command.trim() !== '') {
        shown.push({ command: command.replace(/\s+#.*$/, ''), output: [] });
      } else if (line.trim() !== '' && line.trim() !== '...') shown.at(-1)?.output.push(line);
    }
  }
  return shown;
}

const SHOWN = shownCommands();

test('a command that is not run here is named with its reason', () => {
  const foreign = SHOWN.map(({ command }) => command).filter((command) => !command.startsWith('sluice '));
  expect(foreign).toEqual(Object.keys(NOT_RUN));
});

test('every block of commands says what it is', () => {
  expect(
    README.split('\n').filter((line, index, all) => line === '```' && /^(\$|npm|sluice) /.test(all[index + 1] ?? '')),
  ).toEqual([]);
});

test.each(
  [...README.matchAll(/`(sluice [a-z][^`]*)`/g)].map(([, line = '']) => ({ line: line.replaceAll('\n', ' ') })),
)('`$line` is a command line', ({ line }) => expect(() => parse(line)).not.toThrow());

interface Run {
  readonly command: string;
  readonly exit: number;
  /** What has to be there first. */
  readonly before?: () => Promise<void>;
  /** Only these of the lines shown are looked for, where one server cannot have all the trouble at once. */
  readonly only?: RegExp;
}

/** In the order of the README. */
const RUNS: readonly Run[] = [
  { command: 'sluice validate', exit: 78, before: mistaken },
  { command: 'sluice doctor', exit: 1, before: troubled, only: /^shop:public.orders$|PRIMARY_KEY|add primary key/ },
  { command: 'sluice plan', exit: 0, before: () => mended().then(() => configure()) },
  { command: 'sluice apply', exit: 0 },
  { command: 'sluice sync --until-caught-up', exit: 0 },
  { command: 'sluice status', exit: 0 },
  // Without a terminal it says so; test/cli and src/cli hold what it draws on one.
  { command: 'sluice status --watch', exit: 64 },
  { command: 'sluice runs --failed', exit: 0 },
  { command: "sluice query 'from public.orders' --format arrow > orders.arrows", exit: 0 },
  {
    command: "sluice query 'select id, name, valid_from, valid_to from public.users_cdc where id = 1'",
    exit: 0,
  },
  { command: 'sluice verify shop:public.users', exit: 1, before: spoil },
  { command: 'sluice doctor --policy', exit: 0, before: lake },
  { command: 'sluice doctor', exit: 0 },
  { command: "sluice query --destination lake 'select count(*) from public.orders'", exit: 0 },
];

describe.sequential('the commands of the blocks', () => {
  beforeAll(async () => {
    postgres = await startPostgres({ major: 17 });
    await postgres.createDatabase('shop');
    workspace = await Workspace.create(postgres, 'shop');
    await workspace.source(`
      create table users (id bigint primary key, name text, email text, password_hash text);
      create table orders (id bigint primary key, user_id bigint, total numeric(10,2));
      insert into users select i, 'user ' || i, 'mail', 'secret' from generate_series(1, 500) i;
      insert into orders select i, i, 1 from generate_series(1, 2000) i;
      analyze;`);
  });
  afterAll(async () => {
    await workspace.remove();
    await postgres.stop();
  });

  test('are all run', () => {
    const own = SHOWN.map(({ command }) => command).filter((command) => command.startsWith('sluice '));
    expect(own).toEqual(RUNS.map(({ command }) => command));
  });

  test.each(RUNS.map((run, index) => ({ ...run, index })))(
    '$command',
    async ({ command, exit, before, only, index }) => {
      await before?.();
      const consent = command === 'sluice apply' ? ['--yes'] : [];
      const { output } = await workspace.expect(exit, ...words(command.replace(/ > .*$/, '')).slice(1), ...consent);
      const lines = new Set(output.split('\n').map(shapeOf));
      const own = SHOWN.filter((each) => each.command.startsWith('sluice '))[index];
      const looked = (own?.output ?? []).filter((line) => only?.test(line) !== false);
      for (const line of looked) expect(lines, `${line}\nis not what is printed:\n${output}`).toContain(shapeOf(line));
    },
  );
});

let postgres: TestPostgres;
let workspace: Workspace;

function configure(
  tables: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {},
  destination = {},
): Promise<void> {
  return workspace.configure({
    tables: {
      'public.users': { output: 'both', columns: { exclude: ['password_hash'] } },
      'public.orders': {},
      ...tables,
    },
    cdc: { slot: 'sluice_shop', publication: 'sluice_pub_shop' },
    destination,
  });
}

/** The file of the README's example of a mistake. */
async function mistaken(): Promise<void> {
  await configure({ 'public.orders': { colums: 5 } });
  const text = await readFile(workspace.configFile, 'utf8');
  await workspace.configureText(text.replace(/public\.orders:\s+colums: 5/, 'public.orders: { colums: 5 }'));
}

async function troubled(): Promise<void> {
  await configure();
  await workspace.source('alter table orders drop constraint orders_pkey');
}

async function mended(): Promise<void> {
  await workspace.source('alter table orders add primary key (id)');
}

/** A row that differs, one that is missing and one too many. */
async function spoil(): Promise<void> {
  const instance = await DuckDBInstance.create(workspace.duckdbFile);
  const connection = await instance.connect();
  await connection.run(`
    update public.users set name = 'User 7' where id = 7;
    insert into public.users select * replace (-1 as id) from public.users where id = 42;
    delete from public.users where id = 42;`);
  connection.closeSync();
  instance.closeSync();
}

/** The same tables in a lake beside the file. */
async function lake(): Promise<void> {
  await workspace.configure({
    tables: { 'public.orders': { method: 'full_table' } },
    source: { destination: 'lake' },
    top: {
      destinations: {
        warehouse: { type: 'duckdb', path: 'warehouse.duckdb' },
        lake: { type: 'local', path: 'lake' },
      },
    },
  });
  await workspace.expect(0, 'apply', '--yes', '--sync');
}

function parse(line: string): unknown {
  const selection = readCommandLine(words(line).slice(1), { commands: COMMANDS, version: '', columns: 100 });
  return selection.kind === 'text' ? selection.text : selection.command.prepare(selection.input).args;
}

/** As a shell splits it; what follows a pipe is not ours. */
function words(line: string): string[] {
  const own = line.split(/ [>|] /)[0] ?? '';
  return [...own.matchAll(/'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2] ?? '');
}

/** A line without what differs from run to run: numbers with their units, positions, times. */
function shapeOf(line: string): string {
  return line
    .replace(/\b[0-9A-F]+\/[0-9A-F]{2,}/g, '#')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '#')
    .replace(/\d[\d.,:]*(\s?(ms|s|m|h|B|KiB|MiB|bytes))?\b/g, '#')
    .replace(/\s+/g, ' ')
    .replace(/#( #)+/g, '#')
    .trim();
}
