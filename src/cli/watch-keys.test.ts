import { describe, expect, test } from 'vitest';
import { keyOf } from './process-screen.js';
import type { WatchState } from './view/watch-frame.js';
import { type Key, pressed } from './watch-keys.js';

const STATE: WatchState = {
  title: 'sources.yaml',
  everyMs: 2_000,
  seen: null,
  seenAt: null,
  trouble: null,
  filter: '',
  typing: false,
  scrolled: 10,
};
const SCROLL = { last: 30, page: 20 };
const text = (typed: string): Key => ({ kind: 'text', text: typed });

test.each<{ key: Key; from?: number; to: number }>([
  { key: { kind: 'up' }, to: 9 },
  { key: { kind: 'down' }, to: 11 },
  { key: { kind: 'page_up' }, to: 0 },
  { key: { kind: 'page_down' }, to: 30 },
  { key: { kind: 'page_down' }, from: 5, to: 25 },
  { key: { kind: 'home' }, to: 0 },
  { key: { kind: 'end' }, to: 30 },
  { key: text('j'), to: 11 },
  { key: text('k'), to: 9 },
  { key: text(' '), from: 0, to: 20 },
  { key: text('g'), to: 0 },
  { key: text('G'), to: 30 },
  // The list became shorter.
  { key: { kind: 'up' }, from: 99, to: 29 },
  { key: text('x'), to: 10 },
])('$key.kind $key.text scrolls to $to', ({ key, from, to }) =>
  expect(pressed({ ...STATE, scrolled: from ?? STATE.scrolled }, key, SCROLL)).toEqual({ ...STATE, scrolled: to }),
);

test.each<Key>([text('q'), { kind: 'interrupt' }])('$kind $text ends it', (key) =>
  expect(pressed(STATE, key, SCROLL)).toBeNull(),
);

describe('a filter', () => {
  const type = (...keys: readonly Key[]): WatchState | null =>
    keys.reduce<WatchState | null>((state, key) => state && pressed(state, key, SCROLL), STATE);

  test.each<{ name: string; keys: readonly Key[]; filter: string; typing: boolean }>([
    { name: 'is typed', keys: [text('/'), text('q'), text('/')], filter: 'q/', typing: true },
    { name: 'is kept', keys: [text('/'), text('u'), { kind: 'enter' }], filter: 'u', typing: false },
    { name: 'is dropped', keys: [text('/'), text('u'), { kind: 'escape' }], filter: '', typing: false },
    {
      name: 'is dropped later',
      keys: [text('/'), text('u'), { kind: 'enter' }, { kind: 'escape' }],
      filter: '',
      typing: false,
    },
    { name: 'is mended', keys: [text('/'), text('a'), text('😀'), { kind: 'backspace' }], filter: 'a', typing: true },
    { name: 'begins anew', keys: [text('/'), text('a'), { kind: 'enter' }, text('/')], filter: '', typing: true },
  ])('$name', ({ keys, filter, typing }) => expect(type(...keys)).toEqual({ ...STATE, filter, typing, scrolled: 0 }));

  test('Ctrl-C ends the watch while one is typed', () =>
    expect(type(text('/'), text('a'), { kind: 'interrupt' })).toBeNull());
});

test.each<{ sent: string; key: Parameters<typeof keyOf>[1]; is: Key | null }>([
  { sent: '\u0003', key: { name: 'c', ctrl: true }, is: { kind: 'interrupt' } },
  { sent: '\u001a', key: { name: 'z', ctrl: true }, is: null },
  { sent: '\u001b[6~', key: { name: 'pagedown' }, is: { kind: 'page_down' } },
  { sent: '\r', key: { name: 'return' }, is: { kind: 'enter' } },
  { sent: 'q', key: { name: 'q' }, is: text('q') },
  { sent: 'é', key: {}, is: text('é') },
  { sent: '\u001bf', key: { name: 'f', meta: true }, is: null },
  { sent: '\u001bOP', key: { name: 'f1' }, is: null },
])('what the terminal sends for $is', ({ sent, key, is }) => expect(keyOf(sent, key)).toEqual(is));
