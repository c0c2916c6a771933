import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { sinkOf } from '../../src/cli/process-terminal.js';
import { formatCount, formatDuration } from '../../src/cli/view/quantity.js';
import { startPostgres, type TestPostgres } from '../../test/postgres/server.js';
import { CLI_FILE, Cli } from './cli.js';
import { compareAll, isEqual, type Verdict } from './compare.js';
import { watchInStep } from './live.js';
import { Screen } from './screen.js';
import { countRows, createShop, openShop, SHOP_TABLES, type Shop } from './shop.js';
import {
  DESTINATION_FILE,
  EXCLUDED,
  editedSources,
  FULL_TABLES,
  firstSources,
  PASSWORD_VARIABLE,
  WITH_HISTORY,
} from './sources.js';
import { STORY_ORDER, Writer } from './writer.js';

const USAGE = `Usage: npm run demo -- [--keep] [--seconds N]

  --keep       at the end leave Postgres, the writer and the folder for you to try things, until Ctrl-C
  --seconds N  how long each of the two live views runs (default 8)
`;

interface Options {
  readonly keep: boolean;
  readonly liveMs: number;
}

/** What has to be ended or removed, in whatever order the demo got to it; undone from the last to the first. */
type Cleanup = (() => Promise<void>)[];

function readOptions(argv: readonly string[]): Options | string {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: { keep: { type: 'boolean' }, seconds: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
    });
    if (values.help === true) return USAGE;
    const seconds = Number(values.seconds ?? 8);
    if (!(seconds >= 0 && seconds <= 3_600)) return `--seconds wants a number from 0 to 3600\n\n${USAGE}`;
    return { keep: values.keep === true, liveMs: seconds * 1_000 };
  } catch (error) {
    return `${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`;
  }
}

class Demo {
  readonly #options: Options;
  readonly #screen: Screen;
  readonly #cleanup: Cleanup;
  readonly #stopped: AbortController;

  constructor(options: Options, screen: Screen, cleanup: Cleanup, stopped: AbortController) {
    this.#options = options;
    this.#screen = screen;
    this.#cleanup = cleanup;
    this.#stopped = stopped;
  }

  /** @returns whether DuckDB and Postgres agree in the end */
  async run(): Promise<boolean> {
    const screen = this.#screen;
    const signal = this.#stopped.signal;
    const startedMs = performance.now();
    screen.title('Sluice demo');
    screen.say(`A throwaway Postgres with a small shop, a writer that keeps changing it, and Sluice, which keeps a DuckDB
      file in step. Nothing outside of two temporary folders is touched. In what follows, sluice stands for:`);
    screen.quote(`node ${CLI_FILE}`);

    const { postgres, shop } = await this.#openShop();
    const client = await openShop(shop);
    this.#cleanup.push(() => client.end());
    screen.table(
      [{ title: 'TABLE' }, { title: 'ROWS', align: 'right' }],
      [...(await countRows(client))].map(([table, rows]) => [table, formatCount(rows)]),
    );
    const writer = await this.#startWriter(shop);
    screen.say(`From now on a writer changes it all the time: new orders, changed keys, deletes, long texts, transactions
      that are rolled back. It does not wait for Sluice.`);

    const folder = await this.#makeFolder();
    const cli = new Cli(folder, { [PASSWORD_VARIABLE]: shop.reader.password }, screen, signal);
    const sources = firstSources(shop);
    await this.#describe(cli, folder, sources);
    await this.#planAndApply(cli);
    await this.#firstSync(cli);
    await this.#watch(cli, client, writer);
    await this.#ask(cli);
    await this.#edit(cli, folder, sources);
    await this.#watchAgain(cli, client, writer);
    await this.#catchUp(cli, writer);
    const equal = await this.#judge(client, folder, performance.now() - startedMs);
    if (this.#options.keep) await this.#keep(postgres, shop, folder);
    return equal;
  }

  async #openShop(): Promise<{ postgres: TestPostgres; shop: Shop }> {
    const { signal } = this.#stopped;
    this.#screen.heading('A shop in Postgres');
    const postgres = await startPostgres({ major: 17 });
    this.#cleanup.push(() => postgres.stop());
    signal.throwIfAborted();
    const shop = await createShop(postgres, new Date());
    signal.throwIfAborted();
    this.#screen.say(`Postgres 17 listens on ${shop.host}:${shop.port}, with wal_level = logical. Sluice logs in as the role
      "${shop.reader.user}", which may read the tables and replicate; it is no superuser.`);
    return { postgres, shop };
  }

  async #startWriter(shop: Shop): Promise<Writer> {
    const writer = await Writer.start(shop, (error) => this.#stopped.abort(error));
    this.#cleanup.push(() => writer.stop());
    return writer;
  }

  async #makeFolder(): Promise<string> {
    const folder = await mkdtemp(path.join(tmpdir(), 'sluice-demo-'));
    if (!this.#options.keep) this.#cleanup.push(() => rm(folder, { recursive: true, force: true }));
    return folder;
  }

  async #describe(cli: Cli, folder: string, sources: string): Promise<void> {
    const file = path.join(folder, 'sources.yaml');
    this.#screen.heading('One file says what is wanted');
    this.#screen.say(`${file} holds no secret: the password comes from an environment variable.`);
    this.#screen.blank();
    await writeFile(file, sources);
    this.#screen.quote(sources);
    await cli.show('validate');
  }

  async #planAndApply(cli: Cli): Promise<void> {
    this.#screen.heading('Plan, then apply');
    this.#screen.say(`plan compares the file with Postgres, DuckDB and what was applied before; it changes nothing. A
      publication names the tables whose changes Postgres hands out. A slot makes Postgres keep these changes until
      Sluice has them safely, so it is created before anything is copied.`);
    await cli.show('plan');
    this.#screen.blank();
    this.#screen.say('apply makes the publication and the slot and queues the first copies; sync will run them.');
    await cli.show('apply', '--yes');
  }

  async #firstSync(cli: Cli): Promise<void> {
    this.#screen.heading('The first copy, while the writer goes on');
    this.#screen.say(`Each table is copied from one snapshot. What is written meanwhile comes through the slot, and a
      transaction that the snapshot has seen already is skipped there. Rows and checkpoint (the position up to which
      changes have landed) are committed in one DuckDB transaction, and only then is Postgres told that it may let go:
      a crash at any moment loses nothing and repeats nothing.`);
    await cli.show('sync');
  }

  async #watch(cli: Cli, shop: Awaited<ReturnType<typeof openShop>>, writer: Writer): Promise<void> {
    this.#screen.heading('In step');
    this.#screen.say(`Now sluice sync runs about once a second; in earnest sluice daemon does that by the schedules in the
      file. "Behind" is how old DuckDB's view of a table is.`);
    this.#screen.blank();
    await watchInStep({ cli, shop, writer, screen: this.#screen }, this.#options.liveMs, this.#stopped.signal);
  }

  async #ask(cli: Cli): Promise<void> {
    this.#screen.heading('Ask DuckDB');
    this.#screen.say(
      'The file is an ordinary DuckDB file; any client can open it. sluice query is the shortest way to ask.',
    );
    await cli.show(
      'query',
      'select o.status, count(*) as orders, sum(o.total) as total from public.orders o where not _ph_deleted group by all order by all',
    );
    this.#screen.blank();
    this.#screen.say(`orders_cdc keeps every version of a row, also those that came and went between two syncs. This is the
      life of order ${STORY_ORDER}; a valid_to of NULL marks the current version.`);
    const life = `select status, valid_from, valid_to, _ph_cdc_op as op from public.orders_cdc where id = ${STORY_ORDER} order by _ph_cdc_lsn, _ph_cdc_seq`;
    await cli.show('query', life);
    this.#screen.blank();
    this.#screen.say('So any moment can be asked for, here five seconds ago:');
    await cli.show(
      'query',
      `select id, status from public.orders_cdc where id <= 5 and valid_from <= now() - interval 5 seconds and (valid_to > now() - interval 5 seconds or valid_to is null) and not _ph_deleted order by id`,
    );
  }

  async #edit(cli: Cli, folder: string, sources: string): Promise<void> {
    this.#screen.heading('Edit the file');
    const edited = editedSources(sources);
    await writeFile(path.join(folder, 'sources.yaml'), edited.text);
    this.#screen.say(`A table joins and a column is left out. Columns that leave stay in DuckDB with what was copied before
      and get no new values.`);
    this.#screen.blank();
    for (const { mark, text } of edited.diff) {
      this.#screen.quote(mark === '+' ? this.#screen.paint('green', `+${text}`) : ` ${text}`);
    }
    this.#screen.blank();
    this.#screen.say(
      'A plan that was saved can be reviewed and then applied as it is, or not at all if anything has changed since.',
    );
    await cli.show('plan', '--out', 'next.plan');
    await cli.show('apply', 'next.plan');
  }

  async #watchAgain(cli: Cli, shop: Awaited<ReturnType<typeof openShop>>, writer: Writer): Promise<void> {
    this.#screen.heading('In step again');
    this.#screen.say(`The new table is copied by the next sync; the others just go on.`);
    await cli.show('sync');
    this.#screen.blank();
    await watchInStep({ cli, shop, writer, screen: this.#screen }, this.#options.liveMs, this.#stopped.signal);
  }

  async #catchUp(cli: Cli, writer: Writer): Promise<void> {
    this.#screen.heading('Stop writing, catch up');
    await writer.stop();
    this.#screen.say(`The writer has stopped after ${formatCount(writer.committed)} transactions. --until-caught-up ends when
      everything that was committed before the call has landed.`);
    await cli.show('sync', '--until-caught-up');
  }

  async #judge(client: Awaited<ReturnType<typeof openShop>>, folder: string, elapsedMs: number): Promise<boolean> {
    const screen = this.#screen;
    screen.heading('Compare everything');
    screen.say(`Every row of every table is read from Postgres and from DuckDB and compared by its key, in all columns, as
      text that is computed on each side. Of a history its current versions must be the live rows, and each version must
      end where the next one begins.`);
    const verdicts = await compareAll(
      client,
      path.join(folder, DESTINATION_FILE),
      SHOP_TABLES.map((table) => ({
        table,
        excluded: table === EXCLUDED.table ? [EXCLUDED.column] : [],
        streamed: !FULL_TABLES.includes(table),
        history: WITH_HISTORY.includes(table),
      })),
    );
    screen.blank();
    showVerdicts(screen, verdicts);
    const values = verdicts.reduce((sum, verdict) => sum + verdict.comparedValues, 0);
    const equal = verdicts.every(isEqual);
    screen.blank();
    const result = equal
      ? screen.paint('green', 'DuckDB and Postgres agree')
      : screen.paint('red', 'DuckDB and Postgres differ');
    screen.say(`${result}: ${formatCount(values)} values compared, ${formatDuration(elapsedMs)} since the start.`);
    return equal;
  }

  async #keep(postgres: TestPostgres, shop: Shop, folder: string): Promise<void> {
    const screen = this.#screen;
    const writer = await this.#startWriter(shop);
    screen.heading('Yours to play with');
    screen.say('Postgres runs on and the writer has begun again. In another terminal:');
    screen.blank();
    screen.quote(
      [
        `cd ${folder}`,
        `export ${PASSWORD_VARIABLE}=${shop.reader.password}`,
        `alias sluice='node ${CLI_FILE}'`,
        'sluice status',
        'sluice sync',
        `sluice query "select status, valid_from, valid_to from public.orders_cdc where id = ${STORY_ORDER} order by valid_from"`,
        'sluice daemon',
        `psql ${postgres.urlOf(shop.database)}`,
      ].join('\n'),
    );
    screen.blank();
    screen.say('Edit sources.yaml there, then: sluice plan. Ctrl-C here stops Postgres; the folder stays.');
    await sleep(2 ** 31 - 1, undefined, { signal: this.#stopped.signal }).catch(() => {});
    await writer.stop();
    screen.blank();
    screen.say(`Postgres is stopped. To remove the folder: rm -r ${folder}`);
    if (!(this.#stopped.signal.reason instanceof Interrupted)) this.#stopped.signal.throwIfAborted();
  }
}

function showVerdicts(screen: Screen, verdicts: readonly Verdict[]): void {
  const count = (value: number) => (value === 0 ? '0' : screen.paint('red', formatCount(value)));
  screen.table(
    [
      { title: 'TABLE' },
      { title: 'POSTGRES', align: 'right' },
      { title: 'DUCKDB', align: 'right' },
      { title: 'MISSING', align: 'right' },
      { title: 'EXTRA', align: 'right' },
      { title: 'DIFFERENT', align: 'right' },
      { title: 'BROKEN VERSIONS', align: 'right' },
      { title: 'VERDICT' },
    ],
    verdicts.map((verdict) => [
      verdict.table,
      formatCount(verdict.postgresRows),
      formatCount(verdict.duckdbRows),
      count(verdict.missing),
      count(verdict.extra),
      count(verdict.differing),
      verdict.brokenVersions === null ? '-' : count(verdict.brokenVersions),
      isEqual(verdict) ? screen.paint('green', 'equal') : screen.paint('red', 'DIFFERENT'),
    ]),
  );
  for (const verdict of verdicts) {
    for (const example of verdict.examples) screen.quote(`${verdict.table} ${example}`);
  }
}

/** Ctrl-C, SIGTERM or a closed terminal. */
class Interrupted extends Error {
  readonly exitCode: number;
  constructor(exitCode: number) {
    super('stopped');
    this.exitCode = exitCode;
  }
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (typeof options === 'string') {
    process.stderr.write(options);
    return options === USAGE ? 0 : 64;
  }
  const stopped = new AbortController();
  for (const [name, exitCode] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    process.on(name, () => stopped.abort(new Interrupted(exitCode)));
  }
  const screen = new Screen(sinkOf(process.stdout, process.env));
  const cleanup: Cleanup = [];
  try {
    return (await new Demo(options, screen, cleanup, stopped).run()) ? 0 : 1;
  } catch (error) {
    // Whatever fails while everything is being stopped, fails because of that.
    const cause: unknown = stopped.signal.aborted ? stopped.signal.reason : error;
    if (cause instanceof Interrupted) return cause.exitCode;
    process.stderr.write(`\nThe demo failed: ${cause instanceof Error ? cause.message : String(cause)}\n`);
    return 1;
  } finally {
    for (const undo of cleanup.reverse()) await undo().catch(() => {});
  }
}

process.exitCode = await main();
