import { describe, expect, test } from 'vitest';
import { isVisible, parseSnapshot } from './snapshot-visibility.js';

const EPOCH_3 = 3n << 32n;

describe('isVisible', () => {
  test.each([
    { name: 'below xmin', snapshot: '100:200:150', xid: 99, visible: true },
    { name: 'xmin itself has ended where it is not listed', snapshot: '100:200:150', xid: 100, visible: true },
    { name: 'running', snapshot: '100:200:150,160', xid: 160, visible: false },
    { name: 'ended between the two', snapshot: '100:200:150,160', xid: 155, visible: true },
    { name: 'the last that had ended', snapshot: '100:200:150', xid: 199, visible: true },
    { name: 'xmax had not begun', snapshot: '100:200:150', xid: 200, visible: false },
    { name: 'later', snapshot: '100:200:', xid: 5000, visible: false },
    { name: 'nothing was running', snapshot: '200:200:', xid: 199, visible: true },
    {
      name: 'the epoch is the snapshot’s',
      snapshot: `${EPOCH_3 + 100n}:${EPOCH_3 + 200n}:${EPOCH_3 + 150n}`,
      xid: 150,
      visible: false,
    },
    {
      name: 'an old transaction of the epoch before',
      snapshot: `${EPOCH_3 + 100n}:${EPOCH_3 + 200n}:`,
      xid: 4_294_967_000,
      visible: true,
    },
    {
      name: 'one still running of the epoch before',
      snapshot: `${EPOCH_3 - 296n}:${EPOCH_3 + 200n}:${EPOCH_3 - 296n}`,
      xid: 4_294_967_000,
      visible: false,
    },
    { name: 'a new one of the epoch after', snapshot: `${EPOCH_3 - 300n}:${EPOCH_3 - 10n}:`, xid: 7, visible: false },
  ])('$name', ({ snapshot, xid, visible }) => {
    expect(isVisible(xid, parseSnapshot(snapshot))).toBe(visible);
  });
});

test('parseSnapshot', () => {
  expect(parseSnapshot('10:20:')).toEqual({ xmin: 10n, xmax: 20n, xip: [] });
  expect(parseSnapshot('10:20:10,14')).toEqual({ xmin: 10n, xmax: 20n, xip: [10n, 14n] });
});

test.each(['', '10:20', '10:20:,', '20:10:', '10:20:x', ' 10:20:', '10:20:1,'])('"%s" is no snapshot', (text) => {
  expect(() => parseSnapshot(text)).toThrowError(expect.objectContaining({ code: 'PROTOCOL_VIOLATION' }));
});
