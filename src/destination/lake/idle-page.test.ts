import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { writeStream } from '../duckdb/facts-store.js';
import { heldTable } from '../duckdb/held-changes.js';
import { stageName } from '../duckdb/pages.js';
import { DuckDbSession } from '../duckdb/session.js';
import type { TargetTable } from '../target-table.js';
import type { CommitPage } from '../writer.js';
import { canWait, IDLE_MS, LOOKS_DDL, rememberLook, withLooks } from './idle-page.js';

const RECORDED = new Date('2026-01-01T00:00:00.000Z');
const IDENTITY = { source: 's', slot: 'slot', slotCreatedLsn: '0/10', systemIdentifier: '7', timelineId: 1 };
const STREAM = { confirmedLsn: '0/1000', confirmedAt: RECORDED.toISOString(), unseen: [] };
const TABLE: TargetTable = {
  ...{ address: 's:a.b', schema: 'a', name: 'b', method: 'cdc', output: 'consolidated', deletes: 'hard' },
  ...{ columns: [], key: ['id'], metadataPrefix: '_ph_', generation: 1 },
};
const PAGE: CommitPage = {
  ...IDENTITY,
  ...{ confirmedLsn: '0/2000', confirmedAt: '2026-01-01T00:05:00.000Z', runId: 'r', transactions: 0, unseen: [] },
  ...{ startedAt: '2026-01-01T00:05:00.000Z', isIdle: true },
  tables: [{ index: 0, table: TABLE, mode: 'merge', truncates: [], mismatch: null }],
};
const SOON = new Date('2026-01-01T00:05:00.000Z');

let session: DuckDbSession;
beforeEach(async () => {
  const settings = { path: ':memory:', memoryLimitMb: 128, threads: 1, busyWaitMs: 0 };
  session = await DuckDbSession.open(settings, () => undefined);
  await session.prepareLayout();
  await session.run(LOOKS_DDL);
  await writeStream(session, { ...IDENTITY, ...STREAM, updatedAt: RECORDED.toISOString() });
});
afterEach(() => session.close());

const later = (ms: number): Date => new Date(RECORDED.getTime() + ms);

describe('whether a page can wait', () => {
  test.each<{ name: string; page?: Partial<CommitPage>; now?: Date; sql?: string; waits: boolean }>([
    { name: 'nothing happened a moment ago', waits: true },
    { name: 'it is not idle', page: { isIdle: false }, waits: false },
    { name: 'the position was recorded just under the time', now: later(IDLE_MS - 1), waits: true },
    { name: 'the position was recorded long ago', now: later(IDLE_MS), waits: false },
    { name: 'just under a segment of WAL', page: { confirmedLsn: '0/1000FFF' }, waits: true },
    { name: 'a segment of WAL', page: { confirmedLsn: '0/1001000' }, waits: false },
    { name: 'another slot', page: { slot: 'other' }, waits: false },
    { name: 'a slot made anew', page: { slotCreatedLsn: '0/20' }, waits: false },
    { name: 'another timeline', page: { timelineId: 2 }, waits: false },
    { name: 'a source of which nothing is recorded', page: { source: 'new' }, waits: false },
    { name: 'changes are staged', sql: `CREATE TEMP TABLE ${stageName(0)} (id INTEGER)`, waits: false },
    { name: 'held changes wait for a page', sql: `CREATE TABLE ${heldTable('s:a.b')} (id INTEGER)`, waits: false },
  ])('$name', async ({ page, now, sql, waits }) => {
    if (sql !== undefined) await session.run(sql);
    expect(await canWait(session, { ...PAGE, ...page }, now ?? SOON)).toBe(waits);
  });
});

test('a look makes a stream fresher and leaves its position', async () => {
  const stream = { ...IDENTITY, ...STREAM, updatedAt: RECORDED.toISOString() };
  const facts = { exists: true, streams: [stream, { ...stream, source: 'other' }], tables: [], foreignTables: [] };
  expect((await withLooks(session, facts)).streams).toEqual(facts.streams);
  await rememberLook(session, PAGE, SOON);
  const looked = { ...stream, updatedAt: '2026-01-01T00:05:00.000000Z', confirmedAt: '2026-01-01T00:05:00.000000Z' };
  expect((await withLooks(session, facts)).streams).toEqual([looked, { ...stream, source: 'other' }]);
});
