import { describe, expect, test } from 'vitest';
import type { ErrorCode, RetryRule } from '../error/codes.js';
import { type Hold, holdAfter, isHeld, retryDelayMs } from './retry.js';

const NOW = new Date('2026-03-02T12:00:00Z');
const SOON: RetryRule = { kind: 'backoff', firstMs: 500, maxMs: 60_000 };

describe('retryDelayMs', () => {
  test.each<{ name: string; rule: RetryRule; attempt: number; delayMs: number | null }>([
    { name: 'the first wait', rule: SOON, attempt: 1, delayMs: 500 },
    { name: 'doubles', rule: SOON, attempt: 3, delayMs: 2_000 },
    { name: 'up to its maximum', rule: SOON, attempt: 9, delayMs: 60_000 },
    { name: 'stays there however long it goes on', rule: SOON, attempt: 100_000, delayMs: 60_000 },
    { name: 'a hold is always the same', rule: { kind: 'hold', ms: 600_000 }, attempt: 7, delayMs: 600_000 },
    { name: 'stop is never', rule: { kind: 'stop' }, attempt: 1, delayMs: null },
  ])('$name', (c) => expect(retryDelayMs(c.rule, c.attempt)).toBe(c.delayMs));
});

describe('holdAfter', () => {
  const until = (attempts: number, code: ErrorCode): Hold => ({ kind: 'until', at: NOW, attempts, code });
  test.each<{ name: string; before: Hold | undefined; code: ErrorCode; hold: Hold }>([
    {
      name: 'a first failure',
      before: undefined,
      code: 'SOURCE_UNREACHABLE',
      hold: { kind: 'until', at: new Date('2026-03-02T12:00:00.500Z'), attempts: 1, code: 'SOURCE_UNREACHABLE' },
    },
    {
      name: 'the same again waits longer',
      before: until(3, 'SOURCE_UNREACHABLE'),
      code: 'SOURCE_UNREACHABLE',
      hold: { kind: 'until', at: new Date('2026-03-02T12:00:04Z'), attempts: 4, code: 'SOURCE_UNREACHABLE' },
    },
    {
      name: 'another trouble counts anew',
      before: until(3, 'SOURCE_UNREACHABLE'),
      code: 'SOURCE_TIMEOUT',
      hold: { kind: 'until', at: new Date('2026-03-02T12:00:00.500Z'), attempts: 1, code: 'SOURCE_TIMEOUT' },
    },
    {
      name: 'a refused login is not hammered',
      before: undefined,
      code: 'SOURCE_LOGIN_REFUSED',
      hold: { kind: 'until', at: new Date('2026-03-02T12:10:00Z'), attempts: 1, code: 'SOURCE_LOGIN_REFUSED' },
    },
    {
      name: 'a lost slot stops the source',
      before: until(1, 'SOURCE_UNREACHABLE'),
      code: 'SLOT_LOST',
      hold: { kind: 'stopped', attempts: 1, code: 'SLOT_LOST' },
    },
  ])('$name', (c) => expect(holdAfter(c.before, c.code, NOW)).toEqual(c.hold));
});

describe('isHeld', () => {
  test.each<{ name: string; hold: Hold | undefined; held: boolean }>([
    { name: 'no hold', hold: undefined, held: false },
    { name: 'its time has come', hold: { kind: 'until', at: NOW, attempts: 1, code: 'TIMEOUT' }, held: false },
    {
      name: 'its time is still to come',
      hold: { kind: 'until', at: new Date(NOW.getTime() + 1), attempts: 1, code: 'TIMEOUT' },
      held: true,
    },
    { name: 'stopped', hold: { kind: 'stopped', attempts: 1, code: 'SLOT_LOST' }, held: true },
  ])('$name', (c) => expect(isHeld(c.hold, NOW)).toBe(c.held));
});
