import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { formatCount, formatDuration } from '../../src/cli/view/quantity.js';
import { startPostgres } from '../../test/postgres/server.js';
import { CLI_FILE, Cli } from './cli.js';
import { compareAll, isEqual } from './compare.js';
import type { Destination } from './destination.js';
import { watchInStep } from './live.js';
import type { Screen } from './screen.js';
import { countRows, createShop, openShop, SHOP_TABLES, type Shop } from './shop.js';
import { EXCLUDED, editedSources, FULL_TABLES, firstSources, PASSWORD_VARIABLE, WITH_HISTORY } from './sources.js';
import { showVerdicts } from './verdict-table.js';
import { STORY_ORDER, Writer } from './writer.js';

/** Shares of the time that a sync takes, at which one is killed. */
const KILLS = [0.55, 0.85] as const;
/** On a busy machine a sync takes longer than anybody wants to watch one die. */
const KILL_AFTER_MAX_MS = 3_000;

export interface TourDeps {
  readonly screen: Screen;
  readonly signal: AbortSignal;
  /** Leave the folder, and in the end leave Postgres and the writer to the user until the signal. */
  readonly keep: boolean;
  /** How long each of the two live views runs. */
  readonly liveMs: number;
  readonly destination: Destination;
  /** Something that the tour relies on broke: the caller aborts the signal. */
  readonly fail: (error: unknown) => void;
  /** What has to be undone in the end, in the opposite order. */
  readonly cleanup: (() => Promise<void>)[];
}

/** The stage, once it is set. */
interface Stage {
  readonly shop: Shop;
  readonly client: pg.Client;
  readonly writer: Writer;
  readonly folder: string;
  readonly cli: Cli;
  readonly destination: Destination;
}

/** Leads through everything. @returns whether the destination and Postgres agree in the end */
export async function leadTour(deps: TourDeps): Promise<boolean> {
  const startedMs = performance.now();
  welcome(deps);
  const stage = await setStage(deps);
  const sources = await describeSources(stage, deps.screen);
  await planAndApply(stage, deps.screen);
  await firstCopy(stage, deps.screen);
  const liveSince = new Date();
  const syncMs = await keepInStep(stage, deps);
  await askDestination(stage, liveSince, deps.screen);
  await editSources(stage, sources, deps.screen);
  await killSyncs(stage, syncMs, deps.screen);
  await keepInStepAgain(stage, deps);
  await catchUp(stage, deps.screen);
  const equal = await compareEverything(stage, performance.now() - startedMs, deps.screen);
  if (deps.keep) await leaveToUser(stage, deps);
  return equal;
}

function welcome({ screen, destination }: TourDeps): void {
  screen.title('Sluice demo');
  screen.say(`A throwaway Postgres with a small shop, a writer that keeps changing it, and Sluice, which keeps
    ${destination.what} in step. Nothing outside of temporary folders is touched. In what follows, sluice stands for:`);
  screen.quote(`node ${CLI_FILE}`);
}

async function setStage({ screen, signal, cleanup, keep, fail, destination }: TourDeps): Promise<Stage> {
  screen.heading('A shop in Postgres');
  const postgres = await startPostgres({ major: 17 });
  cleanup.push(() => postgres.stop());
  signal.throwIfAborted();
  const shop = await createShop(postgres, new Date());
  signal.throwIfAborted();
  screen.say(`Postgres 17 listens on ${shop.host}:${shop.port}, with wal_level = logical. Sluice logs in as the role
    "${shop.reader.user}", which may read the tables, publish them and replicate; it is no superuser.`);
  const client = await openShop(shop);
  cleanup.push(() => client.end());
  screen.blank();
  screen.table(
    [{ title: 'TABLE' }, { title: 'ROWS', align: 'right' }],
    [...(await countRows(client))].map(([table, rows]) => [table, formatCount(rows)]),
  );
  const writer = await startWriter(shop, { fail, cleanup });
  screen.blank();
  screen.say(`From now on a writer changes it all the time: new orders, changed keys, deletes, long texts, transactions that
    are rolled back. It does not wait for Sluice.`);
  const folder = await mkdtemp(path.join(tmpdir(), 'sluice-demo-'));
  if (!keep) cleanup.push(() => rm(folder, { recursive: true, force: true }));
  const cli = new Cli(folder, { [PASSWORD_VARIABLE]: shop.reader.password }, screen, signal);
  return { shop, client, writer, folder, cli, destination };
}

async function startWriter(shop: Shop, { fail, cleanup }: Pick<TourDeps, 'fail' | 'cleanup'>): Promise<Writer> {
  const writer = await Writer.start(shop, fail);
  cleanup.push(() => writer.stop());
  return writer;
}

async function describeSources({ shop, folder, cli, destination }: Stage, screen: Screen): Promise<string> {
  const sources = firstSources(shop, destination);
  const file = path.join(folder, 'sources.yaml');
  await writeFile(file, sources);
  screen.heading('One file says what is wanted');
  screen.say(`This is ${file}. It holds no secret: the password comes from an environment variable.`);
  screen.blank();
  screen.quote(sources);
  await cli.show('validate');
  return sources;
}

async function planAndApply({ cli, destination }: Stage, screen: Screen): Promise<void> {
  screen.heading('Plan, then apply');
  screen.say(`plan compares the file with Postgres, ${destination.name} and what was applied before; it changes nothing. A publication
    names the tables whose changes Postgres hands out. A slot makes Postgres keep these changes until Sluice has them
    safely, so it is created before anything is copied.`);
  await cli.show('plan', '--out', 'first.plan');
  screen.blank();
  screen.say(`apply makes the publication and the slot and queues the first loads; sync will run them. A saved plan is applied
    as it was reviewed, or refused if anything has changed since.`);
  await cli.show('apply', 'first.plan');
}

async function firstCopy({ cli, destination }: Stage, screen: Screen): Promise<void> {
  screen.heading('The first copy, while the writer goes on');
  screen.say(`Each table is copied from one snapshot. What is written meanwhile comes through the slot, where a transaction
    that the snapshot has seen already is skipped. Rows and checkpoint (the position up to which changes have landed)
    ${destination.commit}, and only then is Postgres told that it may let go: a crash at any moment loses
    nothing and repeats nothing.`);
  await cli.show('sync');
}

async function keepInStep(stage: Stage, { screen, liveMs, signal }: TourDeps): Promise<number> {
  screen.heading('In step');
  screen.say(`Now sync runs again and again, each time as a new process; in earnest sluice daemon stays and follows the
    schedules in the file. BEHIND is how old the copy of a table is.`);
  screen.blank();
  stage.writer.beginStory();
  return watchInStep({ ...stage, screen }, liveMs, signal);
}

async function askDestination({ cli, destination }: Stage, earlier: Date, screen: Screen): Promise<void> {
  const versions = 'public.orders_cdc';
  screen.heading(`Ask ${destination.name}`);
  screen.say(destination.asking);
  await cli.show(
    'query',
    'select status, count(*) as orders, sum(total) as total from public.orders where not _ph_deleted group by all order by all',
  );
  screen.blank();
  screen.say(`orders_cdc keeps every version of a row, also those that came and went between two syncs. Here is the life of
    order ${STORY_ORDER}; a valid_to of NULL marks the current version.`);
  await cli.show(
    'query',
    `select status, valid_from, valid_to, _ph_cdc_op as op from ${versions} where id = ${STORY_ORDER} order by _ph_cdc_lsn, _ph_cdc_seq`,
  );
  screen.blank();
  screen.say(
    `So one can ask how things stood at any moment since the first copy, for instance when syncing in step began:`,
  );
  const then = `timestamptz '${earlier.toISOString()}'`;
  await cli.show(
    'query',
    `select status, count(*) as orders from ${versions} where valid_from <= ${then} and (valid_to is null or valid_to > ${then}) and not _ph_deleted group by all order by all`,
  );
}

async function editSources({ cli, folder }: Stage, sources: string, screen: Screen): Promise<void> {
  screen.heading('Edit the file');
  const edited = editedSources(sources);
  await writeFile(path.join(folder, 'sources.yaml'), edited.text);
  screen.say('A table joins and a column is left out:');
  screen.blank();
  for (const { mark, text } of edited.diff) {
    screen.quote(mark === '+' ? screen.paint('green', `+${text}`) : ` ${text}`);
  }
  await cli.show('plan');
  screen.blank();
  screen.say('--yes stands for the question that apply asks on a terminal otherwise.');
  await cli.show('apply', '--yes');
}

/** Anything that a kill spoils shows in the comparison at the end. */
async function killSyncs({ cli }: Stage, syncMs: number, screen: Screen): Promise<void> {
  screen.heading('Kill it');
  screen.say(`A sync takes about ${formatDuration(syncMs)} here. These are killed on their way, and nothing is tidied up
    after them: the next one starts from the last commit.`);
  for (const share of KILLS) {
    const end = await cli.kill(Math.min(syncMs * share, KILL_AFTER_MAX_MS), 'sync');
    if (end === 'ended before') screen.say('This one was quicker.');
  }
}

async function keepInStepAgain(stage: Stage, { screen, liveMs, signal }: TourDeps): Promise<void> {
  screen.heading('In step again');
  screen.say(
    'This one lives. It copies the new table, unless one of those that were killed got that far, and goes on with the others.',
  );
  await stage.cli.show('sync');
  screen.blank();
  await watchInStep({ ...stage, screen }, liveMs, signal);
}

async function catchUp({ cli, writer }: Stage, screen: Screen): Promise<void> {
  screen.heading('Stop writing, catch up');
  await writer.stop();
  screen.say(`The writer has stopped after ${formatCount(writer.committed)} transactions. --until-caught-up ends when
    everything that was committed before the call has landed.`);
  await cli.show('sync', '--until-caught-up');
}

async function compareEverything(
  { client, folder, destination }: Stage,
  elapsedMs: number,
  screen: Screen,
): Promise<boolean> {
  screen.heading('Compare everything');
  screen.say(`Every row is read from Postgres and from ${destination.name} and compared by its key, in all columns, as text that each
    side computes for itself. Of a history (_cdc) the current versions must be the live rows, and each version must end
    where the next one begins; one that does not is broken.`);
  const verdicts = await compareAll(
    client,
    destination,
    folder,
    SHOP_TABLES.map((table) => ({
      table,
      excluded: table === EXCLUDED.table ? [EXCLUDED.column] : [],
      streamed: !FULL_TABLES.includes(table),
      history: WITH_HISTORY.includes(table),
    })),
  );
  screen.blank();
  showVerdicts(screen, verdicts, destination);
  const values = verdicts.reduce((sum, verdict) => sum + verdict.comparedValues, 0);
  const equal = verdicts.every(isEqual);
  const result = equal
    ? screen.paint('green', `${capital(destination.name)} and Postgres agree`)
    : screen.paint('red', `${capital(destination.name)} and Postgres differ`);
  screen.blank();
  screen.say(`${result}: ${formatCount(values)} values compared, ${formatDuration(elapsedMs)} since the start.`);
  return equal;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

async function leaveToUser({ shop, folder }: Stage, deps: TourDeps): Promise<void> {
  const { screen, signal } = deps;
  await startWriter(shop, deps);
  screen.heading('Yours to play with');
  screen.say('Postgres runs on and the writer has begun again. In another terminal:');
  screen.blank();
  const { writer, reader, host, port, database } = shop;
  screen.quote(
    [
      `cd ${folder}`,
      `export ${PASSWORD_VARIABLE}=${reader.password}`,
      `node ${CLI_FILE} status`,
      `node ${CLI_FILE} sync`,
      `node ${CLI_FILE} query "select status, valid_from, valid_to from public.orders_cdc where id = ${STORY_ORDER} order by valid_from"`,
      `node ${CLI_FILE} daemon`,
      `psql postgresql://${writer.user}:${writer.password}@${host}:${port}/${database}`,
    ].join('\n'),
  );
  screen.blank();
  screen.say(
    'Edit sources.yaml there and see what plan makes of it. Ctrl-C here stops Postgres; the folder stays. To remove it:',
  );
  screen.quote(`rm -r ${folder}`);
  await sleep(2 ** 31 - 1, undefined, { signal }).catch(() => {});
  signal.throwIfAborted();
}
