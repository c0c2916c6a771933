import { readdirSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { COMMANDS } from '../../src/cli/commands/all.js';
import { readCommandLine } from '../../src/cli/program.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { Workspace } from './workspace.js';

/**
 * Every command of the README and of the pages that it leads to: those of their blocks are run, and print what is shown;
 * those in sentences can be parsed.
 */

const ROOT = new URL('../../', import.meta.url);
const read = (page: string): string => readFileSync(new URL(page, ROOT), 'utf8');

/** Pages whose blocks are run, in this order on one database. */
const PAGES = [
  'README.md',
  'docs/writing-the-file.md',
  'docs/postgres.md',
  'docs/tables.md',
  'docs/daemon.md',
  'docs/recovery.md',
  'docs/verify.md',
  'docs/lake.md',
] as const;

type PageFile = (typeof PAGES)[number];

/** Every page that people write; the others are made from the source. */
const WRITTEN = [
  'README.md',
  ...readdirSync(new URL('docs/', ROOT))
    .filter((file) => file.endsWith('.md') && !['cli.md', 'config.md', 'errors.md'].includes(file))
    .map((file) => `docs/${file}`),
];

/** Not run here, and why. A new command of the pages has to be added here, or runs below. */
const NOT_RUN: Readonly<Record<string, string>> = {
  'npm ci': 'installs anew',
  'npm run demo': 'test/demo.test.ts runs the demo',
  'npm run build && npm link': 'changes the machine; each test run builds',
  'export SHOP_PASSWORD=...': 'each run has the password in its environment',
};

/** The address in the README, and that of the server of this test. */
const SHOWN_URL = 'postgres://sluice@db.example.com/shop';

interface Shown {
  readonly page: PageFile;
  readonly command: string;
  /** What the page shows below it. */
  readonly output: readonly string[];
}

/** Lines of ```sh blocks, and of ```console blocks those behind `$ ` with what they print. */
function shownCommands(page: PageFile): readonly Shown[] {
  const shown: { page: PageFile; command: string; output: string[] }[] = [];
  for (const [, kind, body = ''] of read(page).matchAll(/^```(sh|console)\n([\s\S]*?)^```$/gm)) {
    for (const line of body.split('\n')) {
      const command = kind === 'sh' ? line : /^\$ (.*)$/.exec(line)?.[1];
      if (command !== undefined && command.trim() !== '') {
        shown.push({ page, command: command.replace(/\s+#.*$/, ''), output: [] });
      } else if (line.trim() !== '' && line.trim() !== '...') shown.at(-1)?.output.push(line);
    }
  }
  return shown;
}

const SHOWN = PAGES.flatMap(shownCommands);

test('a command that is not run here is named with its reason', () => {
  const foreign = SHOWN.map(({ command }) => command).filter((command) => !command.startsWith('sluice '));
  expect(foreign).toEqual(Object.keys(NOT_RUN));
});

test.each(PAGES)('every block of commands in %s says what it is', (page) => {
  expect(
    read(page)
      .split('\n')
      .filter((line, index, all) => line === '```' && /^(\$|npm|sluice) /.test(all[index + 1] ?? '')),
  ).toEqual([]);
});

test.each(
  WRITTEN.flatMap((page) =>
    [...read(page).matchAll(/`(sluice [a-z][^`]*)`/g)].map(([, line = '']) => ({
      page,
      line: line.replaceAll('\n', ' '),
    })),
  ),
)('$page: `$line` is a command line', ({ line }) => {
  // By itself a name only tells which command is meant; it may need arguments.
  const isName = COMMANDS.some(({ name }) => line === `sluice ${name}`);
  if (!isName) expect(() => parse(line)).not.toThrow();
});

interface Run {
  readonly page: PageFile;
  readonly command: string;
  readonly exit: number;
  /** What has to be there first. */
  readonly before?: () => Promise<unknown>;
  /** Only these of the lines shown are looked for, where one server cannot have all the trouble at once. */
  readonly only?: RegExp;
  /** It runs until it is stopped, which it is when its output has this. */
  readonly until?: string;
}

/** In the order of the pages. */
const RUNS: readonly Run[] = [
  { page: 'README.md', command: `sluice init --yes --url ${SHOWN_URL}`, exit: 0 },
  { page: 'README.md', command: 'sluice discover --write', exit: 0 },
  { page: 'README.md', command: 'sluice plan', exit: 0, before: editAsShown },
  { page: 'README.md', command: 'sluice apply', exit: 0 },
  { page: 'README.md', command: 'sluice sync --until-caught-up', exit: 0 },
  { page: 'README.md', command: 'sluice status', exit: 0 },
  {
    page: 'README.md',
    command: "sluice query 'select id, name, valid_from, valid_to from public.users_cdc where id = 1'",
    exit: 0,
  },
  { page: 'README.md', command: 'sluice daemon', exit: 0, until: 'no changes to apply' },
  { page: 'docs/writing-the-file.md', command: 'sluice validate', exit: 78, before: mistaken },
  {
    page: 'docs/postgres.md',
    command: 'sluice doctor',
    exit: 1,
    before: troubled,
    only: /^shop:public.orders$|PRIMARY_KEY|add primary key/,
  },
  {
    page: 'docs/tables.md',
    command: "sluice query 'from public.orders' --format arrow > orders.arrows",
    exit: 0,
    before: mended,
  },
  {
    page: 'docs/tables.md',
    command: "sluice query 'select id, name, valid_from, valid_to from public.users_cdc where id = 1'",
    exit: 0,
  },
  // Without a terminal it says so; test/cli and src/cli hold what it draws on one.
  { page: 'docs/daemon.md', command: 'sluice status --watch', exit: 64 },
  { page: 'docs/daemon.md', command: 'sluice runs --failed', exit: 0 },
  { page: 'docs/recovery.md', command: 'sluice status', exit: 0, before: dropSlot },
  { page: 'docs/recovery.md', command: 'sluice plan', exit: 0 },
  { page: 'docs/recovery.md', command: 'sluice apply', exit: 0 },
  { page: 'docs/recovery.md', command: 'sluice sync --until-caught-up', exit: 0 },
  { page: 'docs/recovery.md', command: 'sluice pause shop', exit: 0 },
  { page: 'docs/recovery.md', command: 'sluice status', exit: 0 },
  { page: 'docs/recovery.md', command: 'sluice resume shop', exit: 0 },
  { page: 'docs/verify.md', command: 'sluice verify shop:public.users', exit: 1, before: spoil },
  { page: 'docs/lake.md', command: 'sluice doctor --policy', exit: 0, before: lake },
  { page: 'docs/lake.md', command: 'sluice doctor', exit: 0 },
  { page: 'docs/lake.md', command: "sluice query --destination lake 'select count(*) from public.orders'", exit: 0 },
];

describe.sequential('the commands of the blocks', () => {
  beforeAll(async () => {
    postgres = await startPostgres({ major: 17 });
    await postgres.createDatabase('shop');
    workspace = await Workspace.create(postgres, 'shop');
    await workspace.source(`
      create table users (id bigint primary key, name text, email text, password_hash text);
      create table orders (id bigint primary key, user_id bigint, total numeric(10,2));
      create table clicks (id bigint primary key, at timestamptz, url text);
      create table countries (code text primary key, name text);
      insert into countries values ('at', 'Austria');
      insert into users select i, 'user ' || i, 'mail', 'secret' from generate_series(1, 500) i;
      insert into orders select i, i, 1 from generate_series(1, 2000) i;
      analyze;`);
  });
  afterAll(async () => {
    await workspace.remove();
    await postgres.stop();
  });

  test('are all run', () => {
    const own = SHOWN.filter(({ command }) => command.startsWith('sluice '));
    expect(own.map(({ page, command }) => `${page}: ${command}`)).toEqual(
      RUNS.map(({ page, command }) => `${page}: ${command}`),
    );
  });

  test.each(RUNS.map((run, index) => ({ ...run, index })))(
    '$page: $command',
    async ({ command, exit, before, only, until, index }) => {
      await before?.();
      const args = words(command.replace(/ > .*$/, '').replace(SHOWN_URL, serverUrl())).slice(1);
      const consent = command === 'sluice apply' ? ['--yes'] : [];
      const output =
        until === undefined
          ? (await workspace.expect(exit, ...args, ...consent)).output
          : await stoppedOnce(until, args, exit);
      const lines = new Set(output.split('\n').map(shapeOf));
      const own = SHOWN.filter((each) => each.command.startsWith('sluice '))[index];
      const looked = (own?.output ?? []).filter((line) => only?.test(line) !== false);
      for (const line of looked) expect(lines, `${line}\nis not what is printed:\n${output}`).toContain(shapeOf(line));
    },
  );
});

let postgres: TestPostgres;
let workspace: Workspace;

function serverUrl(): string {
  return `postgres://${postgres.user}@${postgres.host}:${postgres.port}/shop`;
}

/** What a command printed that was told to end when it had printed `until`. */
async function stoppedOnce(until: string, args: readonly string[], exit: number): Promise<string> {
  const running = workspace.start(args);
  await running.until((output) => output.includes(until), `"${until}"`);
  running.kill('SIGTERM');
  const { code, output } = await running.ended;
  expect(code, output).toBe(exit);
  return output;
}

/** The tables of the file that init and discover wrote become those that the README shows. */
async function editAsShown(): Promise<void> {
  const shown = /^```yaml\n( {4}tables:\n[\s\S]*?)^```$/m.exec(read('README.md'))?.[1] ?? '';
  const text = await readFile(workspace.configFile, 'utf8');
  await workspace.configureText(text.replace(/^ {4}tables:\n[\s\S]*$/m, shown));
}

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

/** The file of the example of a mistake. */
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

async function dropSlot(): Promise<void> {
  await workspace.source(`select pg_drop_replication_slot('sluice_shop')`);
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
    .replace(/#( #)*( ago)?|\bjust now\b/g, '#')
    .replace(/#( #)+/g, '#')
    .trim();
}
