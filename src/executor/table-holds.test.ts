import { beforeEach, describe, expect, test } from 'vitest';
import type { ErrorCode } from '../error/codes.js';
import { sampleSource, sampleTable } from '../state/sample-state.js';
import { emptyTableRun } from './empty-run.js';
import type { TableRun } from './engine.js';
import { TableHolds } from './table-holds.js';

const NOW = new Date('2026-03-02T12:00:00Z');
const later = (ms: number): Date => new Date(NOW.getTime() + ms);
const KEY = 'public.users';
const STATE = sampleSource({ tables: { [KEY]: sampleTable({}), 'public.orders': sampleTable({}) } });

let holds: TableHolds;
beforeEach(() => {
  holds = new TableHolds();
});

function note(code: ErrorCode | null, at = NOW, kind: TableRun['kind'] = 'snapshot', state = STATE): void {
  const error = code === null ? null : { code, message: 'it failed' };
  holds.note({ source: 'shop', tables: [emptyTableRun(`shop:${KEY}`, kind, error)] }, state, at);
}

const verdict = (at: Date, state = STATE) => holds.verdicts('shop', state, at).get(KEY);

describe('a table that failed', () => {
  test('is left alone, ever longer, then tried, and forgotten once it goes well', () => {
    note('SOURCE_SQL_FAILED');
    expect([verdict(NOW), verdict(later(499)), verdict(later(500))]).toEqual(['leave', 'leave', 'try']);
    note('SOURCE_SQL_FAILED', later(500));
    expect([verdict(later(1_499)), verdict(later(1_500))]).toEqual(['leave', 'try']);
    expect(holds.of('shop')).toMatchObject([{ address: `shop:${KEY}`, attempts: 2 }]);
    note(null, later(1_500));
    expect([verdict(later(1_500)), holds.of('shop')]).toEqual([undefined, []]);
  });

  test('keeps its wait while others of its source are synced', () => {
    note('SOURCE_SQL_FAILED');
    holds.note({ source: 'shop', tables: [emptyTableRun('shop:public.orders', 'snapshot', null)] }, STATE, later(100));
    expect(verdict(later(100))).toBe('leave');
  });

  test('is tried at once where an apply or a resync has changed it', () => {
    note('KEY_NOT_REPRESENTABLE');
    expect(verdict(NOW)).toBe('leave');
    const changed = sampleSource({ tables: { [KEY]: sampleTable({ generation: 7 }) } });
    expect(verdict(NOW, changed)).toBe('try');
  });

  test('by what the catalog says is loaded as soon as that is mended', () => {
    note('PUBLICATION_INCOMPLETE', NOW, 'snapshot');
    expect(verdict(NOW)).toBe('leave_unless_mended');
  });

  test('in its stream is loaded at once; where that fails too it waits', () => {
    note('VALUE_MALFORMED', NOW, 'stream');
    expect(verdict(NOW)).toBe('try');
    note('VALUE_MALFORMED', NOW, 'snapshot');
    expect([verdict(later(3_599_999)), verdict(later(3_600_000))]).toEqual(['leave', 'try']);
  });

  test('is held no more once it is paused or gone', () => {
    note('SOURCE_SQL_FAILED');
    holds.note({ source: 'shop', tables: [] }, sampleSource({ tables: { [KEY]: sampleTable({ paused: true }) } }), NOW);
    expect(holds.of('shop')).toEqual([]);
    note('SOURCE_SQL_FAILED');
    holds.note({ source: 'shop', tables: [] }, sampleSource({ tables: {} }), NOW);
    expect(holds.of('shop')).toEqual([]);
  });
});
