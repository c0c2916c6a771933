import { describe, expect, test } from 'vitest';
import type { StreamFacts } from '../destination/facts.js';
import { parseTimelineHistory } from '../source/timeline-history.js';
import { SERVER, sampleSlot } from './sample-world.js';
import { findBreak, isTrusted, type StreamView } from './stream-break.js';

const STREAM: StreamFacts = {
  source: 'shop',
  slot: 'sluice_shop',
  systemIdentifier: '7000000000000000001',
  slotCreatedLsn: '0/1000',
  timelineId: 1,
  unseen: [],
  confirmedLsn: '0/5000',
  confirmedAt: '2026-01-01T00:00:00.000Z',
  updatedAt: '2026-01-01T00:00:00.000Z',
};
const VIEW: StreamView = {
  slot: { name: 'sluice_shop', created_lsn: '0/1000' },
  state: { system_identifier: '7000000000000000001', database: 'shop' },
  server: { ...SERVER, currentWalLsn: '0/6000' },
  slots: [sampleSlot({ confirmedFlushLsn: '0/5000' })],
  stream: STREAM,
  history: null,
  continues: true,
};
const slot = (fields: Parameters<typeof sampleSlot>[0]) => ({
  slots: [sampleSlot({ confirmedFlushLsn: '0/5000', ...fields })],
});
const server = (fields: Partial<StreamView['server']>) => ({ server: { ...VIEW.server, ...fields } });
const stream = (fields: Partial<StreamFacts>) => ({ stream: { ...STREAM, ...fields } });
const onTimeline2 = (history: string | null) => ({
  ...server({ timelineId: 2 }),
  history: history === null ? null : parseTimelineHistory(2, history),
});

describe('the stream goes on', () => {
  test.each<{ name: string; view: Partial<StreamView> }>([
    { name: 'where all is as it was', view: {} },
    { name: 'from a slot that a crash left behind', view: slot({ confirmedFlushLsn: '0/4000' }) },
    { name: 'where the server has written nothing since', view: server({ currentWalLsn: '0/5000' }) },
    { name: 'where the role may not read the identifier', view: server({ systemIdentifier: null }) },
    { name: 'on a timeline that shares all of it', view: onTimeline2('1\t0/5000\tpromoted') },
    { name: 'from what an older Sluice recorded', view: stream({ slotCreatedLsn: null, timelineId: null }) },
    { name: 'from a slot whose WAL is only endangered', view: slot({ walStatus: 'unreserved' }) },
  ])('$name', ({ view }) => {
    expect(findBreak({ ...VIEW, ...view })).toBeNull();
    expect(isTrusted({ ...VIEW, ...view })).toBe(true);
  });
});

describe('the stream breaks', () => {
  test.each<{ name: string; view: Partial<StreamView>; code: string; remedy: 'renew' | 'by_hand' }>([
    { name: 'another cluster', view: server({ systemIdentifier: '8' }), code: 'SYSTEM_CHANGED', remedy: 'by_hand' },
    { name: 'another database', view: server({ database: 'other' }), code: 'SYSTEM_CHANGED', remedy: 'by_hand' },
    { name: 'a standby', view: server({ inRecovery: true }), code: 'SERVER_UNSUITABLE', remedy: 'by_hand' },
    { name: 'no slot', view: { slots: [] }, code: 'SLOT_MISSING', remedy: 'renew' },
    { name: 'another plugin', view: slot({ plugin: 'wal2json' }), code: 'SLOT_OCCUPIED', remedy: 'by_hand' },
    {
      name: 'a physical slot',
      view: slot({ plugin: null, database: null, confirmedFlushLsn: null }),
      code: 'SLOT_OCCUPIED',
      remedy: 'by_hand',
    },
    { name: 'a slot of another database', view: slot({ database: 'other' }), code: 'SLOT_OCCUPIED', remedy: 'by_hand' },
    { name: 'a temporary slot', view: slot({ temporary: true }), code: 'SLOT_OCCUPIED', remedy: 'by_hand' },
    { name: 'a two-phase slot', view: slot({ twoPhase: true }), code: 'SLOT_OCCUPIED', remedy: 'by_hand' },
    { name: 'WAL removed', view: slot({ walStatus: 'lost' }), code: 'SLOT_LOST', remedy: 'renew' },
    { name: 'invalidated', view: slot({ invalidationReason: 'idle_timeout' }), code: 'SLOT_LOST', remedy: 'renew' },
    { name: 'never completed', view: slot({ confirmedFlushLsn: null }), code: 'SLOT_LOST', remedy: 'renew' },
    { name: 'moved on by somebody', view: slot({ confirmedFlushLsn: '0/5001' }), code: 'SLOT_AHEAD', remedy: 'renew' },
    {
      name: 'a position of the slot before',
      view: stream({ slotCreatedLsn: '0/900' }),
      code: 'SLOT_AHEAD',
      remedy: 'renew',
    },
    {
      name: 'the WAL ends before it',
      view: server({ currentWalLsn: '0/4FFF' }),
      code: 'SERVER_BEHIND',
      remedy: 'renew',
    },
    {
      name: 'left the timeline before it',
      view: onTimeline2('1\t0/4FFF\tpromoted'),
      code: 'TIMELINE_CHANGED',
      remedy: 'renew',
    },
    {
      name: 'an unrelated timeline',
      view: onTimeline2('7\t0/9000\tpromoted'),
      code: 'TIMELINE_CHANGED',
      remedy: 'renew',
    },
    { name: 'a timeline nobody tells of', view: onTimeline2(null), code: 'TIMELINE_CHANGED', remedy: 'renew' },
  ])('$name: $code', ({ view, code, remedy }) => {
    expect(findBreak({ ...VIEW, ...view })).toMatchObject({ code, remedy });
    expect(isTrusted({ ...VIEW, ...view })).toBe(false);
  });

  test('where every table is about to be loaded, its position does not matter, but the slot does', () => {
    const waiting = { ...VIEW, continues: false };
    expect(findBreak({ ...waiting, ...server({ currentWalLsn: '0/1' }) })).toBeNull();
    expect(findBreak({ ...waiting, ...slot({ confirmedFlushLsn: '0/9000' }) })).toBeNull();
    expect(findBreak({ ...waiting, slots: [] })?.code).toBe('SLOT_MISSING');
  });

  test('nothing is trusted where nothing is recorded', () => {
    expect(isTrusted({ ...VIEW, stream: null })).toBe(false);
  });
});
