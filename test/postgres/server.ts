import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { freePort } from '../free-port.js';
import {
  type Account,
  copyTree,
  installation,
  makeOnce,
  type PostgresMajor,
  serverAccount,
  sharedTemporaryFolder,
} from './binaries.js';

export interface PostgresOptions {
  readonly major: PostgresMajor;
  /** Lines for postgresql.conf, over the defaults below. */
  readonly settings?: Readonly<Record<string, string>>;
  /** The whole of pg_hba.conf; absent: passwords (scram) for everybody. */
  readonly hba?: string;
  /** PEM texts. Absent: the server offers no TLS. `ca` verifies client certificates. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca?: string };
  /** Runs initdb anew, so that the system identifier differs from other servers' (all others share one a major). */
  readonly ownIdentity?: boolean;
}

export interface TestPostgres {
  readonly major: PostgresMajor;
  readonly host: '127.0.0.1';
  readonly port: number;
  readonly user: 'postgres';
  readonly password: string;
  readonly database: 'postgres';
  readonly url: string;
  /** Owned by this server: data/, the unix socket and postgres.log. */
  readonly dir: string;
  /** Runs one statement (or several, without parameters) as superuser on a connection that is kept; returns the rows. */
  query<Row extends pg.QueryResultRow = pg.QueryResultRow>(
    sql: string,
    params?: readonly unknown[],
    database?: string,
  ): Promise<Row[]>;
  /** A new connection as superuser; the caller ends it. */
  client(database?: string): Promise<pg.Client>;
  urlOf(database: string): string;
  createDatabase(name: string): Promise<void>;
  /** fast: sessions are ended and data written; immediate: like a crash. Removes `dir`. */
  stop(mode?: StopMode): Promise<void>;
  /** The same data on the same port. */
  restart(mode?: StopMode): Promise<void>;
  /** Restarts, with a copy of the data made in between: a backup, or what a standby had at that moment. */
  keepCopy(name: string): Promise<void>;
  /**
   * Another server takes this one's place, with the data of a copy. crash: like a restored disk snapshot, on the same
   * timeline; recovery: like a backup that was recovered, on a new one; standby: a hot standby that may be promoted.
   */
  replaceByCopy(name: string, as: 'crash' | 'recovery' | 'standby'): Promise<void>;
  /** Appends lines to postgresql.conf and restarts. */
  configure(settings: Readonly<Record<string, string>>): Promise<void>;
}

export type StopMode = 'fast' | 'immediate';

const PASSWORD = 'sluice-test';
const START_TIMEOUT_MS = 60_000;
/** After that a fast stop becomes an immediate one: a walsender whose reader does not answer can hold it for ever. */
const FAST_STOP_MS = 15_000;
const POLL_MS = 15;

const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  wal_level: 'logical',
  max_replication_slots: '20',
  max_wal_senders: '20',
  max_connections: '60',
  shared_buffers: '64MB',
  fsync: 'off',
  full_page_writes: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
};

const HBA = `
local all all scram-sha-256
host all all all scram-sha-256
local replication all scram-sha-256
host replication all all scram-sha-256
`;

/**
 * Starts a real server on 127.0.0.1 with data of its own. It dies with this process, however that ends.
 * Works as root and as a plain user; several may be started at once.
 */
export async function startPostgres(options: PostgresOptions): Promise<TestPostgres> {
  const account = await serverAccount();
  const programs = await installation(options.major, account);
  const dir = await mkdtemp(path.join(await sharedTemporaryFolder(account), 'sluice-pg-'));
  try {
    if (account !== null) await chown(dir, account.uid, account.gid);
    await makeData(options, programs, path.join(dir, 'data'), account);
    return await Server.start(options, programs, dir, account);
  } catch (error) {
    await rm(dir, { recursive: true, force: true });
    throw error;
  }
}

/** initdb takes two seconds, copying its result a tenth of that. */
async function makeData(
  options: PostgresOptions,
  programs: string,
  data: string,
  account: Account | null,
): Promise<void> {
  if (options.ownIdentity === true) {
    await initialise(programs, data, account);
  } else {
    const template = await makeOnce(account, `data-${path.basename(programs)}-${account?.uid ?? 'own'}`, (folder) =>
      initialise(programs, folder, account),
    );
    await copyTree(template, data, account);
  }
  const own = async (name: string, text: string) => {
    const file = path.join(data, name);
    await writeFile(file, text, { mode: 0o600 });
    await chmod(file, 0o600);
    if (account !== null) await chown(file, account.uid, account.gid);
  };
  await own('pg_hba.conf', options.hba ?? HBA);
  const settings: Record<string, string> = { ...SETTINGS, unix_socket_directories: path.dirname(data) };
  if (options.tls !== undefined) {
    await own('server.crt', options.tls.cert);
    await own('server.key', options.tls.key);
    settings['ssl'] = 'on';
    if (options.tls.ca !== undefined) {
      await own('client-ca.crt', options.tls.ca);
      settings['ssl_ca_file'] = 'client-ca.crt';
    }
  }
  await appendSettings(data, { ...settings, ...options.settings });
}

async function appendSettings(data: string, settings: Readonly<Record<string, string>>): Promise<void> {
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`);
  appendFileSync(path.join(data, 'postgresql.conf'), `\n${lines.join('')}`);
}

async function initialise(programs: string, data: string, account: Account | null): Promise<void> {
  // The template's folder must belong to the server's account, which may not create one beside it.
  await mkdir(data, { mode: 0o700 });
  if (account !== null) await chown(data, account.uid, account.gid);
  const passwordFile = `${data}.password`;
  await writeFile(passwordFile, `${PASSWORD}\n`, { mode: 0o644 });
  try {
    // The locale C exists everywhere; UTF-8 is wanted as the encoding all the same.
    const flags = ['--locale=C', '--encoding=UTF8', '--auth=scram-sha-256', '--username=postgres', '--no-sync'];
    await run(
      path.join(programs, 'bin', 'initdb'),
      [...flags, `--pwfile=${passwordFile}`, `--pgdata=${data}`],
      account,
    );
  } finally {
    await rm(passwordFile, { force: true });
  }
}

/** A clean environment: PGDATA, PGPORT or a foreign locale of the caller must not reach the server. */
function spawnOptions(account: Account | null): SpawnOptions {
  return {
    env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C', TZ: 'UTC' },
    cwd: path.parse(process.cwd()).root,
    ...(account === null ? {} : { uid: account.uid, gid: account.gid }),
  };
}

async function run(program: string, args: readonly string[], account: Account | null): Promise<void> {
  const child = spawn(program, args, { ...spawnOptions(account), stdio: ['ignore', 'ignore', 'pipe'] });
  let complaint = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    complaint += chunk.toString();
  });
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`${path.basename(program)}: ${complaint}`)),
    );
  });
}

class Server implements TestPostgres {
  readonly host = '127.0.0.1';
  readonly user = 'postgres';
  readonly password = PASSWORD;
  readonly database = 'postgres';
  readonly major: PostgresMajor;
  #process: ChildProcess | null = null;
  #watchdog: ChildProcess | null = null;
  readonly #clients = new Map<string, Promise<pg.Client>>();

  static async start(
    options: PostgresOptions,
    programs: string,
    dir: string,
    account: Account | null,
  ): Promise<Server> {
    for (let attempt = 1; ; attempt++) {
      const server = new Server(options.major, programs, dir, account, await freePort(20_000, 12_000));
      if (await server.#launch()) return server;
      // Somebody may have taken the port between our look and the server's bind.
      if (attempt === 5) throw new Error(`Postgres ${options.major} does not start:\n${await server.#log()}`);
    }
  }

  private constructor(
    major: PostgresMajor,
    readonly programs: string,
    readonly dir: string,
    readonly account: Account | null,
    readonly port: number,
  ) {
    this.major = major;
  }

  get url(): string {
    return this.urlOf(this.database);
  }

  urlOf(database: string): string {
    return `postgresql://${this.user}:${this.password}@${this.host}:${this.port}/${encodeURIComponent(database)}`;
  }

  async client(database: string = this.database): Promise<pg.Client> {
    const { host, port, user, password } = this;
    const client = new pg.Client({ host, port, user, password, database, application_name: 'test' });
    client.on('error', () => {}); // a stop ends idle sessions; whoever uses the client next learns it from the query
    await client.connect();
    return client;
  }

  async query<Row extends pg.QueryResultRow>(
    sql: string,
    params: readonly unknown[] = [],
    database: string = this.database,
  ): Promise<Row[]> {
    let pending = this.#clients.get(database);
    if (pending === undefined) {
      pending = this.client(database);
      this.#clients.set(database, pending);
      pending.then(
        (client) => client.once('end', () => this.#clients.delete(database)),
        () => this.#clients.delete(database),
      );
    }
    const client = await pending;
    // Without parameters the simple protocol: it takes several statements at once.
    const result = params.length === 0 ? await client.query<Row>(sql) : await client.query<Row>(sql, [...params]);
    // Several statements give a list of results, whatever the declared type says.
    const last: unknown = Array.isArray(result) ? result.at(-1) : result;
    return isResult<Row>(last) ? last.rows : [];
  }

  async createDatabase(name: string): Promise<void> {
    await this.query(`create database ${pg.escapeIdentifier(name)}`);
  }

  async restart(mode: StopMode = 'fast'): Promise<void> {
    await this.#halt(mode);
    await this.#relaunch();
  }

  async #relaunch(): Promise<void> {
    if (!(await this.#launch())) throw new Error(`Postgres does not start again:\n${await this.#log()}`);
  }

  async keepCopy(name: string): Promise<void> {
    await this.#halt('fast');
    await copyTree(path.join(this.dir, 'data'), path.join(this.dir, name), this.account);
    await this.#relaunch();
  }

  async replaceByCopy(name: string, as: 'crash' | 'recovery' | 'standby'): Promise<void> {
    await this.#halt('fast');
    const data = path.join(this.dir, 'data');
    await rm(data, { recursive: true });
    await copyTree(path.join(this.dir, name), data, this.account);
    if (as !== 'crash') {
      // Nothing is archived: recovery ends with the WAL that the copy holds.
      await appendSettings(data, { restore_command: 'false' });
      const signal = path.join(data, `${as}.signal`);
      await writeFile(signal, '');
      if (this.account !== null) await chown(signal, this.account.uid, this.account.gid);
    }
    await this.#relaunch();
    // It takes readers already while it recovers.
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (
      as === 'recovery' &&
      (await this.query<{ on: boolean }>('select pg_is_in_recovery() as on'))[0]?.on !== false
    ) {
      if (performance.now() > deadline) throw new Error(`Postgres does not end its recovery:\n${await this.#log()}`);
      await sleep(POLL_MS);
    }
  }

  async configure(settings: Readonly<Record<string, string>>): Promise<void> {
    await appendSettings(path.join(this.dir, 'data'), settings);
    await this.restart();
  }

  async stop(mode: StopMode = 'fast'): Promise<void> {
    await this.#halt(mode);
    await rm(this.dir, { recursive: true, force: true });
  }

  /** @returns false when the server ended before it was ready */
  async #launch(): Promise<boolean> {
    const data = path.join(this.dir, 'data');
    const log = await open(path.join(this.dir, 'postgres.log'), 'a');
    const child = spawn(path.join(this.programs, 'bin', 'postgres'), ['-D', data, '-p', String(this.port)], {
      ...spawnOptions(this.account),
      stdio: ['ignore', log.fd, log.fd],
    });
    let failure: Error | null = null;
    child.once('error', (error) => {
      failure = error;
    });
    await log.close();
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (!(await isReady(data, child.pid))) {
      if (failure !== null) throw failure;
      if (child.exitCode !== null || child.signalCode !== null) return false;
      if (performance.now() > deadline) {
        child.kill('SIGKILL');
        throw new Error(`Postgres is not ready after ${START_TIMEOUT_MS} ms:\n${await this.#log()}`);
      }
      await sleep(POLL_MS);
    }
    child.unref();
    this.#process = child;
    this.#watchdog = startWatchdog(this.dir);
    return true;
  }

  async #halt(mode: StopMode): Promise<void> {
    const ending = [...this.#clients.values()].map((client) => client.then((open) => open.end()).catch(() => {}));
    this.#clients.clear();
    await Promise.all(ending);
    this.#watchdog?.kill('SIGKILL');
    this.#watchdog = null;
    const child = this.#process;
    this.#process = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    child.ref();
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill(mode === 'fast' ? 'SIGINT' : 'SIGQUIT');
    const patience = setTimeout(() => child.kill('SIGQUIT'), FAST_STOP_MS);
    await ended;
    clearTimeout(patience);
  }

  async #log(): Promise<string> {
    return (await readFile(path.join(this.dir, 'postgres.log'), 'utf8')).slice(-4_000);
  }
}

function isResult<Row extends pg.QueryResultRow>(value: unknown): value is pg.QueryResult<Row> {
  return typeof value === 'object' && value !== null && 'rows' in value && Array.isArray(value.rows);
}

/** Line 8 of postmaster.pid tells the state, line 1 whose it is (the way pg_ctl waits). */
async function isReady(data: string, pid: number | undefined): Promise<boolean> {
  const lines = await readFile(path.join(data, 'postmaster.pid'), 'utf8').then(
    (text) => text.split('\n'),
    () => [],
  );
  return lines[0] === String(pid) && lines[7]?.trim() === 'ready';
}

/**
 * A shell that ends the server and removes its folder when our end of a pipe closes: that also happens when this
 * process is killed and can run nothing more. It deafens itself to signals meant for the whole process group.
 */
function startWatchdog(dir: string): ChildProcess | null {
  if (process.platform === 'win32') return null;
  const script = `trap '' INT TERM HUP QUIT; cat >/dev/null
pid=$(head -n 1 "$0/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null && sleep 0.5; rm -rf "$0"`;
  const watchdog = spawn('/bin/sh', ['-c', script, dir], { stdio: ['pipe', 'ignore', 'ignore'], cwd: '/' });
  watchdog.unref();
  if (watchdog.stdin instanceof Socket) watchdog.stdin.unref();
  return watchdog;
}
