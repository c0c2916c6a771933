import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { withSource } from '../../src/state/edit.js';
import type { ProcessTable } from '../../src/state/process-table.js';
import { sampleSource, sampleState } from '../../src/state/sample-state.js';
import type { StateDocument } from '../../src/state/state.js';
import { CURRENT_FORMAT, type StateFormat, stateText } from '../../src/state/stored-state.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { BACKENDS, makePlace, type Place } from './backends.js';

/** What every place that a state is kept in has to do, the same for all three. */

const never = new AbortController().signal;
const first: StateDocument = { ...sampleState(), serial: 0 };
/** Nothing runs on this machine but the processes 1 and 2. */
const processes: ProcessTable = { exists: (pid) => pid === 1 || pid === 2, startedAt: (pid) => `boot/${pid}` };

let postgres: TestPostgres;
let place: Place;

beforeAll(async () => {
  postgres = await startPostgres({ major: 17 });
});
afterAll(() => postgres.stop());

describe.each(BACKENDS)('%s', (backend) => {
  beforeEach(async () => {
    place = await makePlace(backend, () => postgres);
  });
  afterEach(() => place.remove());

  const open = (pid = 1) => place.open({ host: 'here', pid, command: `sluice test ${pid}`, processes });

  test('is empty, takes a document and gives it back', async () => {
    const { store } = open();
    expect(await store.read()).toBeNull();
    const written = await store.write(first, null);
    expect(written).toEqual({ ...first, serial: 1 });
    expect(await open(2).store.read()).toEqual(written);
  });

  test('keeps the version before', async () => {
    const { store } = open();
    const one = await store.write(first, null);
    const oneText = await place.raw();
    const two = await store.write(withSource(one, 'other', sampleSource()), one);
    expect(two.serial).toBe(2);
    expect(await place.raw('backup')).toBe(oneText);
  });

  describe('compare and swap', () => {
    test.each<{ name: string; expected: { lineage: string; serial: number } | null; next?: Partial<StateDocument> }>([
      { name: 'an older serial', expected: { lineage: 'a-lineage', serial: 0 } },
      { name: 'a newer serial', expected: { lineage: 'a-lineage', serial: 2 } },
      { name: 'another lineage', expected: { lineage: 'other', serial: 1 } },
      {
        name: 'a document of another lineage',
        expected: { lineage: 'a-lineage', serial: 1 },
        next: { lineage: 'other' },
      },
      { name: 'nothing was expected', expected: null },
    ])('refuses where $name', async ({ expected, next }) => {
      const { store } = open();
      const stored = await store.write(first, null);
      await expect(store.write({ ...stored, ...next }, expected)).rejects.toMatchObject({
        code: 'STATE_CONFLICT',
        message: expect.stringContaining('found serial 1 of lineage a-lineage'),
      });
      expect(await store.read()).toEqual(stored);
    });

    test('of two writers of the very same document one wins, and the other is told', async () => {
      const [a, b] = [open(1).store, open(2).store];
      const stored = await a.write(first, null);
      const results = await Promise.allSettled([a.write(stored, stored), b.write(stored, stored)]);
      expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
      const [loser] = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
      expect(loser).toMatchObject({ code: 'STATE_CONFLICT' });
      expect((await a.read())?.serial).toBe(2);
    });

    test('of two first writers one wins', async () => {
      const results = await Promise.allSettled([open(1).store.write(first, null), open(2).store.write(first, null)]);
      expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
      expect((await open().store.read())?.serial).toBe(1);
    });

    test('writers that try again lose no write', async () => {
      await open().store.write(first, null);
      const count = async (pid: number): Promise<void> => {
        const { store } = open(pid);
        for (let done = 0; done < 5; ) {
          const state = await store.read();
          const wrote = await store.write(state ?? first, state).catch((error: unknown) => {
            expect(error).toMatchObject({ code: 'STATE_CONFLICT' });
            return null;
          });
          if (wrote !== null) done += 1;
        }
      };
      await Promise.all([count(1), count(2)]);
      expect((await open().store.read())?.serial).toBe(11);
    });
  });

  describe('what cannot be understood is refused, never overwritten, and says how to mend it', () => {
    test.each<{ name: string; damage: (text: string) => string; code: string; message: RegExp }>([
      { name: 'cut JSON', damage: (text) => text.slice(0, -20), code: 'STATE_UNREADABLE', message: /not JSON/ },
      { name: 'nothing', damage: () => '', code: 'STATE_UNREADABLE', message: /not JSON/ },
      {
        name: 'a wrong word deep inside',
        damage: (text) => text.replace('"method": "cdc"', '"method": "magic"'),
        code: 'STATE_UNREADABLE',
        message: /sources\.shop\.tables\.public\.users\.method is not one of cdc/,
      },
      { name: 'a newer format', damage: () => '{"format_version": 99}', code: 'STATE_NEWER', message: /format 99/ },
      {
        name: 'a state that was moved',
        damage: () => '{"moved_to": "s3://b/k", "moved_at": "2026-01-01T00:00:00.000Z"}',
        code: 'STATE_MOVED',
        message: /was moved to s3:\/\/b\/k at 2026/,
      },
    ])('$name', async ({ damage, code, message }) => {
      const { store } = open();
      const one = await store.write(first, null);
      const two = await store.write(one, one);
      const damaged = damage((await place.raw()) ?? '');
      await place.overwrite(damaged);
      const refusal = { code, message: expect.stringMatching(message), hint: expect.stringMatching(/.+/) };
      await expect(store.read()).rejects.toMatchObject(refusal);
      await expect(store.write(two, two)).rejects.toMatchObject(refusal);
      await expect(store.write(first, null)).rejects.toMatchObject(refusal);
      expect(await place.raw()).toBe(damaged);
      // The backup is the version before, whole, and can be put back.
      const backup = (await place.raw('backup')) ?? '';
      await place.overwrite(backup);
      expect(await store.read()).toEqual(one);
    });
  });

  test('a document of an older format is read, and kept as it was by the first write', async () => {
    const old = JSON.stringify({ ...first, format_version: 0, serial: 4, sources: undefined, origins: first.sources });
    // A format that there might have been.
    const format: StateFormat = {
      upgrades: new Map([
        ...CURRENT_FORMAT.upgrades,
        [0, ({ origins, ...rest }) => ({ ...rest, format_version: 1, sources: origins })],
      ]),
    };
    await open().store.write(first, null);
    await place.overwrite(old);
    const { store } = place.open({ host: 'here', pid: 1, processes }, format);
    const read = await store.read();
    expect(read).toEqual({ ...first, serial: 4 });
    if (read === null) expect.fail('it was read');
    expect(await place.raw(), 'reading writes nothing').toBe(old);
    const five = await store.write(read, read);
    await store.write(five, five);
    expect(await place.raw('format-0.backup')).toBe(old);
    expect(JSON.parse((await place.raw()) ?? '')).toMatchObject({ format_version: 2, serial: 6 });
    // Who does not know that format leaves it alone.
    await place.overwrite(old);
    await expect(open().store.read()).rejects.toMatchObject({ code: 'STATE_UNREADABLE' });
    expect(await place.raw()).toBe(old);
  });

  test('put: over nothing only where there is nothing, over anything what was there is kept', async () => {
    const { store } = open();
    const document = { ...first, serial: 7 };
    await store.put(document, 'nothing');
    expect(await store.read()).toEqual(document);
    await expect(store.put(document, 'nothing')).rejects.toMatchObject({ code: 'STATE_CONFLICT' });
    await place.overwrite('{ damaged');
    await store.put({ ...document, serial: 8 }, 'anything');
    expect((await store.read())?.serial).toBe(8);
    expect(await place.raw('backup')).toBe('{ damaged');
  });

  test('a state that was left says where it went, and stays as the backup', async () => {
    const { store } = open();
    const written = await store.write(first, null);
    const text = await place.raw();
    await expect(store.leave({ ...written, serial: 9 }, 'elsewhere', new Date())).rejects.toMatchObject({
      code: 'STATE_CONFLICT',
    });
    await store.leave(written, 'elsewhere', new Date('2026-03-01T00:00:00Z'));
    await expect(open(2).store.read()).rejects.toMatchObject({
      code: 'STATE_MOVED',
      message: expect.stringContaining('elsewhere at 2026-03-01'),
    });
    await expect(store.write(written, written)).rejects.toMatchObject({ code: 'STATE_MOVED' });
    await expect(store.put(written, 'nothing')).rejects.toMatchObject({ code: 'STATE_MOVED' });
    expect(await place.raw('backup')).toBe(text);
    expect(await store.note()).toEqual({
      movedTo: 'elsewhere',
      at: '2026-03-01T00:00:00.000Z',
      document: written,
    });
    const back = { ...written, serial: 5 };
    await store.put(back, 'note');
    expect(await store.read()).toEqual(back);
    expect(await store.note()).toBeNull();
    await expect(store.put(back, 'note'), 'a state is no note').rejects.toMatchObject({ code: 'STATE_CONFLICT' });
  });

  describe('lock', () => {
    test('one at a time; a refusal names holder and age', async () => {
      const [a, b] = [open(1).lock, open(2).lock];
      const held = await a.acquire(0, never);
      expect(await b.status()).toMatchObject({
        holder: { pid: 1, host: 'here', command: 'sluice test 1' },
        dead: false,
      });
      await expect(b.acquire(0, never)).rejects.toMatchObject({
        code: 'STATE_LOCKED',
        message: expect.stringMatching(/"sluice test 1" \(pid 1 on here\) for \d+ s/),
        hint: expect.stringContaining('state unlock'),
      });
      await held.release();
      await held.release();
      expect(await b.status()).toBeNull();
      const next = await b.acquire(0, never);
      await next.release();
      expect(held.lost.aborted).toBe(false);
    });

    test('who waits gets it when it is given back, and the holder learns of the wish', async () => {
      const [a, b] = [open(1).lock, open(2).lock];
      const held = await a.acquire(0, never);
      expect(await open(1).lock.wanted()).toBe(false);
      const waiting = b.acquire(20_000, never);
      await expect.poll(() => open(1).lock.wanted(), { timeout: 5_000 }).toBe(true);
      await held.release();
      const next = await waiting;
      expect(next.holder.pid).toBe(2);
      await next.release();
      expect(await open(1).lock.wanted()).toBe(false);
    });

    test('who waits in vain ends, and so does who is stopped', async () => {
      const [a, b] = [open(1).lock, open(2).lock];
      const held = await a.acquire(0, never);
      await expect(b.acquire(300, never)).rejects.toMatchObject({ code: 'STATE_LOCKED' });
      const stop = new AbortController();
      const waiting = b.acquire(60_000, stop.signal);
      setTimeout(() => stop.abort(new Error('stopped')), 100);
      await expect(waiting).rejects.toThrow();
      await held.release();
      await (await b.acquire(0, never)).release();
    });

    test('unlock frees it only with force while its holder lives', async () => {
      const [a, b] = [open(1).lock, open(2).lock];
      expect(await b.unlock(false)).toBeNull();
      const held = await a.acquire(0, never);
      await expect(b.unlock(false)).rejects.toMatchObject({ code: 'STATE_LOCKED' });
      expect(await b.unlock(true)).toMatchObject({ pid: 1, command: 'sluice test 1' });
      expect(await b.status()).toBeNull();
      const next = await b.acquire(0, never);
      await held.release();
      expect(await a.status(), 'giving back what was taken away leaves the next holder alone').toMatchObject({
        holder: { pid: 2 },
      });
      await next.release();
    });
  });
});

test('an exported document has the same text from wherever it is', async () => {
  const texts = [];
  for (const backend of BACKENDS) {
    const one = await makePlace(backend, () => postgres);
    const { store } = one.open();
    texts.push(stateText(await store.write(first, null)));
    await one.remove();
  }
  expect(new Set(texts).size).toBe(1);
});
