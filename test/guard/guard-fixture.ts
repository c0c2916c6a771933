import { type ChildProcess, spawn } from 'node:child_process';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { TestPostgres } from '../postgres/server.js';

/** What tests of the guard need beside a Sluice: WAL, readers of a slot, holders of a file, somebody to tell. */

const POLL_MS = 50;
const DEADLINE_MS = 90_000;

/** Waits for something to become true; what it was waiting for is in the error. */
export async function until(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error(`not within ${DEADLINE_MS / 1_000} s: ${what}`);
    await sleep(POLL_MS);
  }
}

/** Writes so much WAL that belongs to no table; the commit at the end flushes it. */
export async function writeWal(postgres: TestPostgres, mib: number, database: string): Promise<void> {
  await postgres.query(
    `select count(pg_logical_emit_message(false, 'test', repeat('x', 1024 * 1024))) from generate_series(1, ${mib})`,
    [],
    database,
  );
  await postgres.query("select pg_logical_emit_message(true, 'test', 'end')", [], database);
}

export async function slotNames(postgres: TestPostgres): Promise<readonly string[]> {
  const rows = await postgres.query<{ name: string }>(
    'select slot_name::text as name from pg_replication_slots order by 1',
  );
  return rows.map(({ name }) => name);
}

export async function publicationNames(postgres: TestPostgres, database: string): Promise<readonly string[]> {
  const sql = 'select pubname::text as name from pg_publication order by 1';
  return (await postgres.query<{ name: string }>(sql, [], database)).map(({ name }) => name);
}

/** Reads from a slot as a walsender does, until it is ended or hangs up. */
export async function readSlotAs(
  postgres: TestPostgres,
  name: string,
  at: { readonly database: string; readonly slot: string; readonly publication: string },
): Promise<{ end(): Promise<void>; readonly ended: Promise<void> }> {
  const settings: pg.ClientConfig & { replication: string } = {
    host: postgres.host,
    port: postgres.port,
    user: postgres.user,
    password: postgres.password,
    database: at.database,
    application_name: name,
    replication: 'database',
  };
  const client = new pg.Client(settings);
  const ended = new Promise<void>((resolve) => {
    client.on('end', () => resolve());
    client.on('error', () => resolve());
  });
  await client.connect();
  client.connection.query(
    `START_REPLICATION SLOT "${at.slot}" LOGICAL 0/0 (proto_version '1', publication_names '${at.publication}')`,
  );
  const isActive = async (): Promise<boolean> => {
    const sql = 'select active from pg_replication_slots where slot_name = $1';
    return (await postgres.query<{ active: boolean }>(sql, [at.slot]))[0]?.active === true;
  };
  await until(`${name} reads from ${at.slot}`, isActive);
  return {
    ended,
    end: async () => {
      client.connection.stream.destroy();
      await ended;
    },
  };
}

/** Another process that has a DuckDB file open, as somebody who looks at it with the command line does. */
export async function holdDuckDb(file: string): Promise<{ release(): Promise<void> }> {
  const script = `import { DuckDBInstance } from '@duckdb/node-api';
    for (;;) {
      try { globalThis.held = await DuckDBInstance.create(process.argv[1]); break; }
      catch { await new Promise((resolve) => setTimeout(resolve, 20)); }
    }
    console.log('held');
    setInterval(() => {}, 1000);`;
  const child: ChildProcess = spawn(process.execPath, ['--input-type=module', '-e', script, file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once('data', () => resolve());
    child.once('exit', () => reject(new Error('the holder of the file ended')));
  });
  return {
    release: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

export interface Received {
  readonly body: unknown;
  readonly headers: IncomingHttpHeaders;
}

/** A webhook on this machine that keeps what it was sent. */
export class Webhook {
  readonly received: Received[] = [];
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @param answer the status of each answer in turn; 204 after the last */
  static async start(answer: readonly number[] = []): Promise<Webhook> {
    const statuses = [...answer];
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        hook.received.push({ body: JSON.parse(Buffer.concat(chunks).toString()), headers: request.headers });
        response.writeHead(statuses.shift() ?? 204).end();
      });
    });
    const hook = new Webhook(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return hook;
  }

  get url(): string {
    const address: AddressInfo | string | null = this.#server.address();
    return typeof address === 'object' && address !== null ? `http://127.0.0.1:${address.port}/hook` : '';
  }

  get kinds(): readonly unknown[] {
    return this.received.map(({ body }) => fieldOf(body, 'kind'));
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

export function fieldOf(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}
