import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Pausing, pauseOf, pausings, resumed, withPaused } from './pause.js';
import { sampleSource, sampleState, sampleTable } from './sample-state.js';
import type { StateDocument } from './state.js';

const AT = '2026-03-02T12:00:00.000Z';
const STATE = sampleState({
  shop: sampleSource({
    tables: {
      'public.users': sampleTable(),
      'public.orders': sampleTable(),
      'public.clicks': sampleTable({ method: 'append' }),
    },
  }),
  flat: sampleSource({ slot: null, tables: { 'public.t': sampleTable({ method: 'full_table' }) } }),
});

const always = (position: string) => () => position;

function paused(state: StateDocument, addresses: readonly string[], position = 'p'): StateDocument {
  return pausings(state, addresses).reduce((next, each) => withPaused(next, each, AT, always(position)), state);
}

describe('pausing', () => {
  const quiet = { already: false, heldSlot: null, missesChanges: false };
  test.each<{ name: string; state?: StateDocument; addresses: readonly string[]; expected: readonly Pausing[] }>([
    {
      name: 'a source holds its slot',
      addresses: ['shop'],
      expected: [{ ...quiet, address: 'shop', heldSlot: 'sluice_shop' }],
    },
    { name: 'a source without cdc holds nothing', addresses: ['flat'], expected: [{ ...quiet, address: 'flat' }] },
    {
      name: 'a cdc table beside others misses its changes',
      addresses: ['shop:public.users'],
      expected: [{ ...quiet, address: 'shop:public.users', missesChanges: true }],
    },
    {
      name: 'a table of another method misses nothing',
      addresses: ['shop:public.clicks'],
      expected: [{ ...quiet, address: 'shop:public.clicks' }],
    },
    {
      name: 'all cdc tables together hold the slot',
      addresses: ['shop:public.users', 'shop:public.orders'],
      expected: [
        { ...quiet, address: 'shop:public.users', heldSlot: 'sluice_shop' },
        { ...quiet, address: 'shop:public.orders', heldSlot: 'sluice_shop' },
      ],
    },
    {
      name: 'the last cdc table that streams holds the slot',
      state: paused(STATE, ['shop:public.users']),
      addresses: ['shop:public.orders'],
      expected: [{ ...quiet, address: 'shop:public.orders', heldSlot: 'sluice_shop' }],
    },
    {
      name: 'a table of a paused source misses nothing',
      state: paused(STATE, ['shop']),
      addresses: ['shop:public.users'],
      expected: [{ ...quiet, address: 'shop:public.users', heldSlot: 'sluice_shop' }],
    },
    {
      name: 'what is paused already says so',
      state: paused(STATE, ['shop']),
      addresses: ['shop'],
      expected: [{ ...quiet, address: 'shop', already: true, heldSlot: 'sluice_shop' }],
    },
  ])('$name', ({ state = STATE, addresses, expected }) => expect(pausings(state, addresses)).toEqual(expected));

  test.each(['nope', 'shop:public.nope', 'shop:slot', 'shop:', ''])('"%s" is no address of it', (address) => {
    expect(() => pausings(STATE, [address])).toThrow(expect.objectContaining({ code: 'ADDRESS_UNKNOWN' }));
  });

  test('twice keeps where the stream stood first', () => {
    const twice = paused(paused(STATE, ['shop:public.users'], 'first'), ['shop:public.users'], 'second');
    expect(twice.sources['shop']?.tables['public.users']?.pause).toEqual({ at: AT, stream_position: 'first' });
  });
});

describe('resuming', () => {
  test('a table whose source alone is paused is refused', () => {
    const state = paused(STATE, ['shop']);
    expect(() => resumed(state, 'shop:public.users', always('p'))).toThrow(
      expect.objectContaining({ code: 'PAUSED', address: 'shop', hint: 'run: sluice resume shop' }),
    );
  });

  test('a source leaves tables that were paused by themselves', () => {
    const { state, resuming } = resumed(paused(STATE, ['shop:public.users', 'shop']), 'shop', always('p'));
    expect(resuming.stillPaused).toEqual(['shop:public.users']);
    expect(pauseOf('shop', state.sources['shop'] ?? sampleSource(), 'public.users')).toMatchObject({ code: 'PAUSED' });
    expect(pauseOf('shop', state.sources['shop'] ?? sampleSource(), 'public.orders')).toBeNull();
  });

  test('where nobody knows where the stream stood the table is loaded anew', () => {
    const pausing = { address: 'shop:public.users', already: false, heldSlot: null, missesChanges: true };
    const state = withPaused(STATE, pausing, AT, () => null);
    expect(resumed(state, 'shop:public.users', always('p')).resuming.load).toMatch(/passed by unread/);
  });
});

/** What people do, and a stream that moves whenever somebody may read it. */
test('a table is loaded anew exactly where the stream moved while it was paused', () => {
  const keys = ['public.users', 'public.orders'] as const;
  const step = fc.oneof(
    fc.record({
      act: fc.constantFrom('pause', 'resume'),
      address: fc.constantFrom('shop', ...keys.map((k) => `shop:${k}`)),
    }),
    fc.constant({ act: 'change', address: '' }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      let state = STATE;
      let position = 0;
      const missed = new Set<string>();
      const tableOf = (key: string) => state.sources['shop']?.tables[key];
      for (const { act, address } of steps) {
        const key = address.split(':')[1];
        if (act === 'change') {
          const source = state.sources['shop'];
          const reads = source?.paused === null && keys.some((each) => tableOf(each)?.paused === false);
          if (!reads) continue;
          position += 1;
          for (const each of keys) if (tableOf(each)?.paused === true) missed.add(each);
        } else if (act === 'pause') {
          state = paused(state, [address], String(position));
        } else {
          const whole = state.sources['shop']?.paused !== null;
          if (key !== undefined && whole && tableOf(key)?.paused === false) continue;
          const before = key === undefined ? null : tableOf(key);
          const result = resumed(state, address, always(String(position)));
          state = result.state;
          expect(result.resuming.load !== null).toBe(key !== undefined && missed.has(key));
          if (key === undefined) continue;
          expect(tableOf(key)?.generation).toBe((before?.generation ?? 0) + (missed.has(key) ? 1 : 0));
          missed.delete(key);
        }
      }
    }),
  );
});
