import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { StateAccess } from '../../src/executor/state-access.js';
import { withSource } from '../../src/state/edit.js';
import { sampleSource, sampleState } from '../../src/state/sample-state.js';
import type { StateDocument } from '../../src/state/state.js';
import { systemStoreDeps } from '../lake/store-deps.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { makePlace, type Place } from './backends.js';
import { Gate } from './gate.js';

/** A state in Postgres, where the connection is cut at a bad moment or the role may not do what is needed. */

const never = new AbortController().signal;
const first: StateDocument = { ...sampleState(), serial: 0 };

let postgres: TestPostgres;
let way: Way;
let place: Place;

beforeAll(async () => {
  postgres = await startPostgres({ major: 17 });
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  way = await Way.to(postgres.port);
  place = await makePlace('postgres', () => postgres, { connection: { port: way.port } });
});
afterEach(async () => {
  await place.remove();
  await way.close();
});

/** The way to the server, which can be cut before a statement or after it, when its answer comes back. */
class Way {
  port = 0;
  cut: { readonly on: string; readonly when: 'before' | 'after'; readonly forGood?: boolean } | null = null;
  struck = 0;
  #closed = false;
  readonly #sockets = new Set<Socket>();

  private constructor(private readonly server: Server) {}

  static async to(serverPort: number): Promise<Way> {
    const server = createServer();
    const way = new Way(server);
    server.on('connection', (near) => way.#join(near, connect(serverPort, '127.0.0.1')));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    way.port = typeof address === 'object' && address !== null ? address.port : 0;
    return way;
  }

  #join(near: Socket, far: Socket): void {
    const end = (): void => {
      near.destroy();
      far.destroy();
    };
    if (this.#closed) {
      end();
      return;
    }
    let doomed = false;
    for (const socket of [near, far]) {
      this.#sockets.add(socket);
      socket.on('error', end).on('close', end);
    }
    near.on('data', (bytes) => {
      if (this.cut !== null && bytes.includes(this.cut.on)) {
        doomed = true;
        this.struck += 1;
        this.#closed = this.cut.forGood === true;
        if (this.cut.when === 'before') return end();
        this.cut = null;
      }
      far.write(bytes);
    });
    far.on('data', (bytes) => {
      // ReadyForQuery, the last five bytes of an answer, comes when the statement is committed.
      if (!doomed) near.write(bytes);
      else if (bytes.subarray(-6, -1).equals(Buffer.from([0x5a, 0, 0, 0, 5]))) end();
    });
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

const UPDATE = 'with old as materialized';
const INSERT = "values ('state', $1";

describe('the connection is cut', () => {
  test('after a first write took effect: known as our own', async () => {
    const { store } = place.open();
    way.cut = { on: INSERT, when: 'after' };
    expect((await store.write(first, null)).serial).toBe(1);
    expect(way.struck).toBe(1);
    expect((await place.open().store.read())?.serial).toBe(1);
  });

  test('after a later one: known as our own, exactly one serial more, and the backup is the version before', async () => {
    const { store } = place.open();
    const one = await store.write(first, null);
    const oneText = await place.raw();
    way.cut = { on: UPDATE, when: 'after' };
    const two = await store.write(withSource(one, 'other', sampleSource()), one);
    expect(way.struck).toBe(1);
    expect(two.serial).toBe(2);
    expect(await place.open().store.read()).toEqual(two);
    expect(await place.raw('backup')).toBe(oneText);
    expect((await store.write(two, two)).serial, 'and it goes on').toBe(3);
  });

  test('before: not written, told as such, and it goes on', async () => {
    const { store } = place.open();
    const one = await store.write(first, null);
    const text = await place.raw();
    way.cut = { on: UPDATE, when: 'before' };
    await expect(store.write(one, one)).rejects.toMatchObject({
      code: expect.stringMatching(/^SOURCE_/),
      message: expect.stringContaining('broke'),
    });
    expect(way.struck).toBe(1);
    expect(await place.raw()).toBe(text);
    way.cut = null;
    expect((await store.write(one, one)).serial).toBe(2);
  });

  test('for good: whether it was written is unknown, and the error says so', async () => {
    const { store } = place.open();
    const one = await store.write(first, null);
    way.cut = { on: UPDATE, when: 'after', forGood: true };
    await expect(store.write(one, one)).rejects.toMatchObject({
      code: expect.stringMatching(/^SOURCE_/),
      message: expect.stringContaining('whether it was written cannot be seen'),
      hint: expect.stringContaining('sluice plan'),
    });
  });

  test('by the server while the write waits for a row: not written', async () => {
    const { store } = place.open();
    const one = await store.write(first, null);
    const text = await place.raw();
    const blocker = await postgres.client(database());
    await blocker.query(`begin; update ${TABLE} set written_at = now() where name = 'state'`);
    const writing = store.write(one, one);
    writing.catch(() => undefined);
    await expect.poll(() => terminate("wait_event_type = 'Lock'")).toBe(1);
    await expect(writing).rejects.toMatchObject({ code: expect.stringMatching(/^SOURCE_/) });
    await blocker.query('rollback');
    await blocker.end();
    expect(await place.raw()).toBe(text);
  });

  test('between two statements: nobody notices', async () => {
    const { store } = place.open();
    const one = await store.write(first, null);
    expect(await terminate("application_name like '%state'")).toBe(1);
    expect(await store.read()).toEqual(one);
    expect((await store.write(one, one)).serial).toBe(2);
  });
});

describe('the session of the lock is killed under its holder', () => {
  test('the work ends before it writes, and another process gets the lock', async () => {
    const a = place.open({ pid: 1 });
    const one = await a.store.write(first, null);
    const access = new StateAccess(a.lock, systemStoreDeps.clock);
    const begun = new Gate();
    const work = access.change(never, async (signal) => {
      begun.open();
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      signal.throwIfAborted();
      return await a.store.write(one, one);
    });
    work.catch(() => undefined);
    await begun.opened;
    expect(await terminate("application_name like '%state lock'")).toBe(1);
    await expect(work).rejects.toMatchObject({
      code: 'STATE_LOCKED',
      message: expect.stringContaining('was lost: the session that held it ended'),
    });
    const b = place.open({ pid: 2 });
    const theirs = await b.lock.acquire(0, never);
    expect((await b.store.read())?.serial).toBe(1);
    await theirs.release();
  });

  test('who waits for it gets it', async () => {
    const held = await place.open({ pid: 1 }).lock.acquire(0, never);
    const b = place.open({ pid: 2 }).lock;
    const waiting = b.acquire(20_000, never);
    await expect.poll(() => b.wanted()).toBe(true);
    await terminate("application_name like '%state lock' and wait_event_type is distinct from 'Lock'");
    const theirs = await waiting;
    await expect.poll(() => held.lost.aborted).toBe(true);
    await held.release();
    expect(await b.status(), 'who lost it does not give it back').not.toBeNull();
    await theirs.release();
  });
});

const TABLE = '"our ""state""".sluice_state';

function database(): string {
  return place.config.connections['meta']?.database ?? '';
}

async function terminate(which: string): Promise<number> {
  const rows = await postgres.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = $1 and pid <> pg_backend_pid() and backend_type = 'client backend' and ${which}`,
    [database()],
  );
  return rows.length;
}
