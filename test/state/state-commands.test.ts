import { readFile, rm, writeFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { expectNoChanges } from '../cli/comparison.js';
import { at, reportedInText } from '../cli/reported-error.js';
import { type ShopConfig, Workspace } from '../cli/workspace.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { type MemoryS3, startMemoryS3 } from '../s3/memory-s3.js';
import { S3_KEYS } from './backends.js';

/** The life of a state through the CLI: plan, apply and sync with it in each place, moved from one to the next. */

const TABLES = { 'public.users': {}, 'public.orders': { method: 'full_table' } };
const FILE = '{ type: file, path: .sluice/state.json }';

let postgres: TestPostgres;
let s3: MemoryS3;
let workspace: Workspace;
let databases = 0;

beforeAll(async () => {
  postgres = await startPostgres({ major: 17 });
  s3 = await startMemoryS3({ bucket: 'states', ...S3_KEYS });
});
afterAll(async () => {
  await s3.stop();
  await postgres.stop();
});
beforeEach(async () => {
  databases += 1;
  const database = `states${databases}`;
  await postgres.createDatabase(database);
  workspace = await Workspace.create(postgres, database);
  await writeFile(workspace.file('s3.secret'), S3_KEYS.secretAccessKey);
  await workspace.source(`
    create table users (id bigint primary key, name text);
    create table orders (id bigint primary key, total numeric(10,2));
    insert into users select i, 'user ' || i from generate_series(1, 50) i;
    insert into orders select i, i * 1.5 from generate_series(1, 20) i;`);
});
afterEach(() => workspace.remove());

type Place = 'file' | 's3' | 'postgres';

function config(place: Place): ShopConfig {
  const state = {
    file: { type: 'file', path: '.sluice/state.json' },
    s3: {
      type: 's3',
      bucket: 'states',
      key: `${workspace.database}/state.json`,
      region: 'us-east-1',
      endpoint: s3.endpoint,
      force_path_style: true,
      access_key_id: S3_KEYS.accessKeyId,
      secret_access_key: { file: 's3.secret' },
    },
    postgres: { type: 'postgres', connection: 'db' },
  }[place];
  return { tables: TABLES, top: { state } };
}

const rows = () => workspace.read(async (duckdb) => (await duckdb.rows('select count(*) from public.users'))[0]?.[0]);

describe.each<Place>(['s3', 'postgres'])('with the state in %s', (place) => {
  test('plan, apply and sync do what they do with a file', async () => {
    await workspace.configure(config(place));
    await workspace.expect(2, 'plan', '--detailed-exitcode');
    await workspace.expect(0, 'apply', '--yes', '--sync');
    await expectNoChanges(workspace);
    await workspace.source(`insert into users values (1000, 'late')`);
    await workspace.expect(0, 'sync', '--until-caught-up');
    expect(await rows()).toBe('51');
    expect(await readFile(workspace.stateFile, 'utf8').catch(() => null), 'no state in a file').toBeNull();
    const listed = await workspace.json('state', 'list');
    expect(listed).toMatchObject({
      format_version: 1,
      entries: expect.arrayContaining([
        { address: 'shop:public.users', kind: 'table', phase: 'live', what: 'cdc' },
        { address: 'shop:slot', kind: 'slot', phase: null, what: workspace.slot },
      ]),
    });
    const shown = await workspace.expect(0, 'state', 'show', 'shop:public.users');
    expect(shown.stdout).toMatch(/^method: cdc$/m);
  });
});

test('the state moves from a file to S3, to Postgres and on, and nobody goes on with the old one by mistake', async () => {
  await workspace.configure(config('file'));
  await workspace.expect(0, 'apply', '--yes', '--sync');
  const before: unknown = JSON.parse((await workspace.expect(0, 'state', 'export')).stdout);

  await workspace.configure(config('s3'));
  const moved = await workspace.expect(0, 'state', 'migrate', '--from', FILE);
  expect(moved.stdout).toContain(`s3://states/${workspace.database}/state.json`);
  await expectNoChanges(workspace);
  const again = await workspace.expect(78, 'state', 'migrate', '--from', FILE);
  expect(reportedInText(again)).toMatchObject({ code: 'STATE_MOVED' });

  await workspace.configure(config('file'));
  for (const command of [['plan'], ['sync'], ['apply', '--yes'], ['state', 'export']]) {
    const refused = await workspace.expect(78, ...command);
    expect(reportedInText(refused)).toMatchObject({ code: 'STATE_MOVED' });
  }

  // The old config as a file; a block alone would do as well.
  await workspace.configure(config('s3'));
  await writeFile(workspace.file('old.yaml'), await readFile(workspace.configFile, 'utf8'));
  await workspace.configure(config('postgres'));
  await workspace.expect(0, 'state', 'migrate', '--from', 'old.yaml');
  await workspace.expect(0, 'sync', '--until-caught-up');
  await expectNoChanges(workspace);
  const after: unknown = JSON.parse((await workspace.expect(0, 'state', 'export')).stdout);
  expect(at(after, 'lineage')).toBe(at(before, 'lineage'));
  expect(at(after, 'serial')).toBe(Number(at(before, 'serial')) + 2);
  expect(at(after, 'sources')).toEqual(at(before, 'sources'));
});

test('a file with the old block alone is enough, and a place with a state is refused', async () => {
  await workspace.configure(config('postgres'));
  await workspace.expect(0, 'apply', '--yes');
  // A second state, of which only its place matters here.
  const { stdout } = await workspace.expect(0, 'state', 'export');
  await workspace.configure(config('file'));
  await writeFile(workspace.file('kept.json'), stdout.replace(/"lineage": "[^"]*"/, '"lineage": "other"'));
  await workspace.expect(0, 'state', 'import', 'kept.json', '--yes');
  await writeFile(workspace.file('old.yaml'), `state: ${FILE}\n`);
  await workspace.configure(config('postgres'));
  const refused = await workspace.run(['state', 'migrate', '--from', 'old.yaml']);
  expect(reportedInText(refused)?.code).toBe('STATE_IN_THE_WAY');
  const same = await workspace.run(['state', 'migrate', '--from', '{ type: postgres, connection: db }']);
  expect(reportedInText(same)?.code).toBe('USAGE');
});

test('a move that was cut short is finished, unless the new place has gone on by itself', async () => {
  await workspace.configure(config('file'));
  await workspace.expect(0, 'apply', '--yes');
  const old: unknown = JSON.parse(await readFile(workspace.stateFile, 'utf8'));
  const written = { ...(old as object), serial: Number(at(old, 'serial')) + 1 };
  await workspace.configure({ ...config('file'), top: { state: { type: 'file', path: 'moved.json' } } });

  await writeFile(workspace.file('moved.json'), JSON.stringify({ ...written, sources: {} }));
  const refused = await workspace.run(['state', 'migrate', '--from', FILE]);
  expect(reportedInText(refused)?.code).toBe('STATE_IN_THE_WAY');
  expect(JSON.parse(await readFile(workspace.stateFile, 'utf8'))).toEqual(old);

  await writeFile(workspace.file('moved.json'), JSON.stringify(written));
  await workspace.expect(0, 'state', 'migrate', '--from', FILE);
  await expectNoChanges(workspace);
  const again = await workspace.expect(78, 'state', 'migrate', '--from', FILE);
  expect(reportedInText(again)).toMatchObject({ code: 'STATE_MOVED' });
});

describe('a move that is killed', () => {
  const OTHER = '{ type: file, path: moved.json }';
  const moved = (): ShopConfig => ({ ...config('file'), top: { state: { type: 'file', path: 'moved.json' } } });
  /** Who could go on with the state now. */
  const usable = async () => {
    const old = await usableWith(config('file'));
    return { old, new: await usableWith(moved()) };
  };
  const usableWith = async (place: ShopConfig): Promise<boolean> => {
    await workspace.configure(place);
    return (await workspace.run(['state', 'show', 'shop'])).code === 0;
  };

  beforeEach(async () => {
    await workspace.configure(config('file'));
    await workspace.expect(0, 'apply', '--yes');
    await workspace.configure(moved());
  });

  const kill = async (write: number): Promise<void> => {
    const env = { SLUICE_FAILPOINT: `in_state_write@${write}` };
    expect((await workspace.run(['state', 'migrate', '--from', FILE], { env })).signal).toBe('SIGKILL');
  };

  test.each([
    { name: 'before the backup', write: 1, left: { old: true, new: false } },
    { name: 'before the note', write: 2, left: { old: true, new: false } },
    { name: 'between the note and the new place', write: 3, left: { old: false, new: false } },
  ])('$name leaves no two states, and is finished by the next', async ({ write, left }) => {
    await kill(write);
    expect(await usable()).toEqual(left);
    await workspace.configure(moved());
    await workspace.expect(0, 'state', 'migrate', '--from', FILE);
    await expectNoChanges(workspace);
    expect(await usable()).toEqual({ old: false, new: true });
  });

  test('is taken back by a move in the other direction', async () => {
    await kill(3);
    await workspace.configure(config('file'));
    const refused = await workspace.expect(78, 'plan');
    expect(reportedInText(refused)).toMatchObject({
      code: 'STATE_MOVED',
      hint: expect.stringContaining('To bring the state back here: sluice state migrate --from'),
    });
    await workspace.expect(0, 'state', 'migrate', '--from', OTHER);
    await expectNoChanges(workspace);
    expect(await usable()).toEqual({ old: true, new: false });
  });

  test('a move back that is killed as well is finished with the newer of the two', async () => {
    await workspace.expect(0, 'state', 'migrate', '--from', FILE);
    await workspace.configure(config('file'));
    const env = { SLUICE_FAILPOINT: 'in_state_write@3' };
    const back = await workspace.run(['state', 'migrate', '--from', OTHER], { env });
    expect(back.signal).toBe('SIGKILL');
    // Each place points at the other now.
    expect(await usable()).toEqual({ old: false, new: false });
    await workspace.configure(moved());
    await workspace.expect(0, 'state', 'migrate', '--from', FILE);
    await expectNoChanges(workspace);
    expect(await usable()).toEqual({ old: false, new: true });
    await workspace.configure(config('file'));
    await workspace.expect(0, 'state', 'migrate', '--from', OTHER);
    await expectNoChanges(workspace);
    expect(await usable()).toEqual({ old: true, new: false });
  });
});

describe('import', () => {
  beforeEach(async () => {
    await workspace.configure(config('file'));
    await workspace.expect(0, 'apply', '--yes');
    const { stdout } = await workspace.expect(0, 'state', 'export');
    await writeFile(workspace.file('kept.json'), stdout);
  });

  test('brings back what was exported, where there is nothing any more', async () => {
    await rm(workspace.stateFile);
    await workspace.expect(0, 'state', 'import', 'kept.json', '--yes');
    await expectNoChanges(workspace);
  });

  test('over a damaged state takes --force', async () => {
    await writeFile(workspace.stateFile, '{ damaged');
    const refused = await workspace.expect(1, 'state', 'import', 'kept.json', '--yes');
    expect(reportedInText(refused)?.code).toBe('STATE_UNREADABLE');
    await workspace.expect(0, 'state', 'import', 'kept.json', '--yes', '--force');
    await expectNoChanges(workspace);
  });

  test.each<{ name: string; edit: (text: string) => string; message: RegExp }>([
    {
      name: 'another lineage',
      edit: (text) => text.replace(/"lineage": "[^"]*"/, '"lineage": "x"'),
      message: /lineage x/,
    },
    { name: 'an older serial', edit: (text) => text.replace(/"serial": \d+/, '"serial": 0'), message: /it is older/ },
  ])('$name is refused without --force', async ({ edit, message }) => {
    await writeFile(workspace.file('kept.json'), edit(await readFile(workspace.file('kept.json'), 'utf8')));
    const refused = await workspace.expect(1, 'state', 'import', 'kept.json', '--yes');
    expect(reportedInText(refused)).toMatchObject({
      code: 'STATE_IN_THE_WAY',
      message: expect.stringMatching(message),
    });
    await workspace.expect(0, 'state', 'import', 'kept.json', '--yes', '--force');
  });

  test('needs consent', async () => {
    const refused = await workspace.expect(64, 'state', 'import', 'kept.json');
    expect(reportedInText(refused)?.code).toBe('CONSENT_NEEDED');
  });
});

describe('forget', () => {
  test('takes a source out of the state alone, after consent, and says what stays', async () => {
    await workspace.configure(config('file'));
    await workspace.expect(0, 'apply', '--yes', '--sync');
    expect(reportedInText(await workspace.expect(64, 'state', 'forget', 'shop'))?.code).toBe('CONSENT_NEEDED');
    const done = await workspace.expect(0, 'state', 'forget', 'shop', '--yes');
    expect(done.stdout).toContain(`select pg_drop_replication_slot('${workspace.slot}')`);
    expect(done.stdout).toContain(`publication "${workspace.publication}"`);
    expect(await workspace.onServer()).toMatchObject({
      slots: [workspace.slot],
      publications: [workspace.publication],
    });
    expect(await workspace.json('state', 'list')).toMatchObject({ entries: [] });
    expect(reportedInText(await workspace.expect(64, 'state', 'forget', 'shop', '--yes'))?.code).toBe(
      'ADDRESS_UNKNOWN',
    );
  });

  test('takes one table out', async () => {
    await workspace.configure(config('file'));
    await workspace.expect(0, 'apply', '--yes');
    const done = await workspace.expect(0, 'state', 'forget', 'shop:public.users', '--yes');
    expect(done.stdout).toContain(`public.users in publication "${workspace.publication}"`);
    const left = await workspace.json('state', 'show', 'shop:publication');
    expect(left).toMatchObject({ value: { tables: [] } });
  });
});

test('unlock shows whose lock it is, and takes it away only with --force', async () => {
  await workspace.configure(config('file'));
  await workspace.expect(0, 'apply', '--yes');
  expect((await workspace.expect(0, 'state', 'unlock')).stdout).toContain('not locked');
  const lock = {
    host: 'elsewhere',
    pid: 9,
    started: null,
    command: 'sluice daemon',
    acquired_at: new Date().toISOString(),
    token: 'a-1',
  };
  await writeFile(`${workspace.stateFile}.lock`, JSON.stringify(lock));
  const refused = await workspace.expect(75, 'state', 'unlock');
  expect(reportedInText(refused)).toMatchObject({
    code: 'STATE_LOCKED',
    message: expect.stringContaining('"sluice daemon" (pid 9 on elsewhere)'),
  });
  expect(reportedInText(await workspace.expect(64, 'state', 'unlock', '--force'))?.code).toBe('CONSENT_NEEDED');
  expect((await workspace.expect(0, 'state', 'unlock', '--force', '--yes')).stdout).toContain('sluice daemon');
  await workspace.expect(0, 'sync');
});
