import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { freePort } from '../free-port.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { makeKey, SshServer } from '../ssh/server.js';
import { eventually, type Settings, Workspace } from './workspace.js';

/**
 * Secrets of every kind are markers; every command runs at its most talkative, in order and with each secret refused. None
 * of the markers may stand in what is printed, logged, served or written.
 */

const MARKERS = {
  POSTGRES: 'mk-postgres-3f81c0',
  SSH: 'mk-ssh-77ab12',
  PASSPHRASE: 'mk-passphrase-90cc41',
  KEY_ID: 'MKACCESSKEYID5512',
  KEY: 'mk-secretkey-d1e8aa',
  HOOK: 'mk-hook-41bb09',
  HEADER: 'mk-header-6620fe',
  URL: 'mk-url-0a9d33',
  WRONG: 'mk-wrong-e44c17',
} as const;

const TALKATIVE = ['--debug', '--log-level', 'trace'];
const LONG_MS = 300_000;

let postgres: TestPostgres;
let ssh: SshServer;
/** Where the daemon listens. */
let port: number;
let workspace: Workspace;
/** Everything that was said, with the command that said it. */
const said: { readonly by: string; readonly text: string }[] = [];
const key = makeKey('ed25519', MARKERS.PASSPHRASE);
const keyBody = key.private.split('\n').find((line, i) => i > 2 && line.length > 40) ?? '';

beforeAll(async () => {
  postgres = await startPostgres({ major: 17 });
  await postgres.createDatabase('secrets');
  ssh = await SshServer.start({ password: MARKERS.SSH, authorizedKeys: [key.public] });
  port = await freePort();
  workspace = await Workspace.create(postgres, 'secrets');
  await workspace.source(`create role marked with superuser login replication password '${MARKERS.POSTGRES}';
    create table users (id int primary key, name text);
    insert into users select i, 'user ' || i from generate_series(1, 20) i`);
  await writeFile(workspace.file('id_marked'), key.private, { mode: 0o600 });
});
afterAll(async () => {
  await workspace?.remove();
  await ssh?.stop();
  await postgres?.stop();
});

const ENV = Object.fromEntries(Object.entries(MARKERS).map(([name, value]) => [`MARK_${name}`, value]));
const env = (name: keyof typeof MARKERS): Settings => ({ env: `MARK_${name}` });

/** A config of which parts are another way. */
function config(parts: {
  readonly connection?: Settings;
  readonly tunnel?: Settings;
  readonly destination?: Settings;
}): string {
  const { host, port: postgresPort } = postgres;
  const tunnel = { host: '127.0.0.1', port: ssh.port, user: 'tunnel', host_key: ssh.hostKey, require_tls: false };
  return stringify({
    version: 1,
    connections: {
      db: {
        ...{
          host,
          port: postgresPort,
          database: 'secrets',
          user: 'marked',
          password: env('POSTGRES'),
          tls: { mode: 'disable' },
        },
        tunnel: { ...tunnel, password: env('SSH'), ...parts.tunnel },
        ...parts.connection,
      },
    },
    destinations: { warehouse: parts.destination ?? { type: 'duckdb', path: 'warehouse.duckdb' } },
    alerts: [{ type: 'webhook', url: env('HOOK'), headers: { Authorization: env('HEADER') } }],
    daemon: { http: { listen: `127.0.0.1:${port}` } },
    sources: {
      shop: {
        ...{ connection: 'db', destination: 'warehouse' },
        cdc: { slot: workspace.slot, publication: workspace.publication },
        tables: { 'public.users': { output: 'both', schedule: { every: '1s' } } },
      },
    },
  });
}

/** Runs it in both forms of errors. */
async function say(file: string, ...args: readonly string[]): Promise<void> {
  const run = await workspace.run([...args, '-c', file, ...TALKATIVE], { env: ENV });
  said.push({ by: `${args.join(' ')} -c ${file}`, text: run.output });
}

async function writeConfig(name: string, text: string): Promise<string> {
  await writeFile(workspace.file(name), text);
  return name;
}

test(
  'every command, in order',
  async () => {
    const file = await writeConfig('good.yaml', config({}));
    await say(file, 'validate');
    await say(file, 'doctor');
    await say(file, 'discover');
    await say(file, 'plan', '--out', 'plan.json');
    await say(file, 'plan', '--format', 'json');
    await say(file, 'show', 'plan.json');
    await say(file, 'apply', 'plan.json', '--yes');
    await say(file, 'sync', '--until-caught-up', '--format', 'ndjson');
    for (const format of ['human', 'json']) await say(file, 'status', '--format', format);
    await say(file, 'runs', '--format', 'json');
    await say(file, 'verify');
    await say(file, 'state', 'export');
    await say(file, 'cdc', 'setup-sql');
    await say(file, 'daemon', '--print-unit');
    await say(file, 'plan', '--format', 'markdown');
    await say(file, 'complete', '--', 'sync', '');
    // They did what they were asked for, so that the search is about something.
    expect(said.find(({ by }) => by.startsWith('sync'))?.text).toContain('"address":"shop:public.users"');
    expect(said.find(({ by }) => by.startsWith('verify'))?.text).toContain('equal');
  },
  LONG_MS,
);

test.each<{ name: string; code: RegExp; parts: () => Parameters<typeof config>[0] }>([
  {
    name: 'a refused password',
    code: /SOURCE_LOGIN_REFUSED/,
    parts: () => ({ connection: { password: env('WRONG') } }),
  },
  {
    name: 'a refused password in a URL',
    code: /SOURCE_LOGIN_REFUSED/,
    parts: () => {
      const { host, port: at } = postgres;
      const url = `postgres://marked:\${MARK_URL}@${host}:${at}/secrets`;
      const none = { host: undefined, port: undefined, database: undefined, user: undefined, password: undefined };
      return { connection: { ...none, url, tunnel: undefined } };
    },
  },
  {
    name: 'a refused SSH password',
    code: /TUNNEL_LOGIN_REFUSED/,
    parts: () => ({ tunnel: { password: env('WRONG') } }),
  },
  {
    name: 'a wrong passphrase',
    code: /TUNNEL_KEY_UNUSABLE/,
    parts: () => ({ tunnel: { password: undefined, private_key: { file: 'id_marked' }, passphrase: env('WRONG') } }),
  },
  {
    name: 'a key, and a host that shows another one',
    code: /TUNNEL_HOST_KEY_CHANGED/,
    parts: () => ({
      tunnel: {
        password: undefined,
        private_key: { file: 'id_marked' },
        passphrase: env('PASSPHRASE'),
        host_key: `SHA256:${'A'.repeat(43)}`,
      },
    }),
  },
  {
    name: 'keys of a bucket that is not there',
    code: /STORE_/,
    parts: () => ({
      destination: {
        ...{ type: 's3', bucket: 'lake', endpoint: 'http://127.0.0.1:9', force_path_style: true, max_attempts: 1 },
        ...{ access_key_id: env('KEY_ID'), secret_access_key: env('KEY') },
      },
    }),
  },
])(
  '$name',
  async ({ name, code, parts }) => {
    const file = await writeConfig(`${name.replaceAll(/\W+/g, '-')}.yaml`, config(parts()));
    const before = said.length;
    await say(file, 'doctor');
    await say(file, 'plan');
    await say(file, 'plan', '--format', 'json');
    expect(
      said
        .slice(before)
        .map(({ text }) => text)
        .join('\n'),
    ).toMatch(code);
  },
  LONG_MS,
);

test(
  'a daemon: its log, what it serves, a broken file, its command line and alerts that reach nobody',
  async () => {
    const file = await writeConfig('daemon.yaml', config({}));
    const daemon = workspace.start(['daemon', '-c', file, ...TALKATIVE], { env: ENV });
    await daemon.until((output) => output.includes('serving health'), 'the endpoints');
    const url = /"url":"([^"]+)"/.exec(daemon.output)?.[1] ?? '';
    await daemon.until((output) => output.includes('no changes to apply'), 'the first plan');
    const served = ['/livez', '/readyz', '/metrics', '/status'];
    const readAll = async (): Promise<void> => {
      for (const at of served) said.push({ by: `GET ${at}`, text: await (await fetch(`${url}${at}`)).text() });
    };
    await readAll();
    await say(file, 'logs', '--level', 'debug', '--lines', '5000');
    said.push({ by: 'the command line', text: await readFile(`/proc/${daemon.pid}/cmdline`, 'utf8').catch(() => '') });
    await writeFile(workspace.file(file), config({ tunnel: { pasword: MARKERS.SSH } }));
    await daemon.until((output) => output.includes('CONFIG_INVALID'), 'the mistake');
    await readAll();
    await writeFile(workspace.file(file), config({ connection: { password: env('WRONG') } }));
    await daemon.until((output) => output.includes('SOURCE_LOGIN_REFUSED'), 'the refused login', 60_000);
    await eventually(async () => (await fetch(`${url}/readyz`)).status > 0, 'an answer');
    await readAll();
    await sleep(200);
    daemon.kill('SIGTERM');
    said.push({ by: 'daemon', text: (await daemon.ended).output });
  },
  LONG_MS,
);

test('none of the markers was said or written', async () => {
  expect(said.length).toBeGreaterThan(40);
  const written = await readdir(workspace.folder, { recursive: true, withFileTypes: true });
  const files: { by: string; text: string }[] = [];
  for (const entry of written) {
    const file = path.join(entry.parentPath, entry.name);
    if (!entry.isFile() || entry.name.endsWith('.yaml') || entry.name === 'id_marked') continue;
    files.push({ by: path.relative(workspace.folder, file), text: (await readFile(file)).toString('latin1') });
  }
  expect(files.map(({ by }) => by)).toEqual(
    expect.arrayContaining(['plan.json', '.sluice/state.json', 'warehouse.duckdb']),
  );
  const secrets = [...Object.values(MARKERS), keyBody];
  expect(secrets.every((secret) => secret.length > 10)).toBe(true);
  const shown = [...said, ...files].flatMap(({ by, text }) =>
    secrets.filter((secret) => text.includes(secret)).map((secret) => `${by}: ${secret}`),
  );
  expect(shown).toEqual([]);
});
