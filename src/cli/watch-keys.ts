import type { WatchState } from './view/watch-frame.js';

/** A key as far as `status --watch` tells them apart; everything else is text. */
export type Key =
  | { readonly kind: 'up' | 'down' | 'page_up' | 'page_down' | 'home' | 'end' }
  | { readonly kind: 'enter' | 'escape' | 'backspace' | 'interrupt' }
  | { readonly kind: 'text'; readonly text: string };

/** What the screen shows of the list: how far it can be scrolled, and lines a page. */
export interface Scroll {
  readonly last: number;
  readonly page: number;
}

/** What a key does; null: it ends the watch. */
export function pressed(state: WatchState, key: Key, scroll: Scroll): WatchState | null {
  if (key.kind === 'interrupt') return null;
  if (state.typing) return typed(state, key);
  // Lines may have gone since the last key.
  const at = Math.min(state.scrolled, scroll.last);
  const to = (line: number): WatchState => ({ ...state, scrolled: Math.min(Math.max(0, line), scroll.last) });
  switch (key.kind) {
    case 'up':
      return to(at - 1);
    case 'down':
      return to(at + 1);
    case 'page_up':
      return to(at - scroll.page);
    case 'page_down':
      return to(at + scroll.page);
    case 'home':
      return to(0);
    case 'end':
      return to(scroll.last);
    case 'escape':
      return { ...state, filter: '', scrolled: 0 };
    case 'enter':
    case 'backspace':
      return state;
    case 'text':
      return command(state, key.text, to, { ...scroll, at });
  }
}

function command(
  state: WatchState,
  text: string,
  to: (line: number) => WatchState,
  { at, last, page }: Scroll & { readonly at: number },
): WatchState | null {
  switch (text) {
    case 'q':
      return null;
    case '/':
      return { ...state, typing: true, filter: '', scrolled: 0 };
    // As in less.
    case 'k':
      return to(at - 1);
    case 'j':
      return to(at + 1);
    case ' ':
      return to(at + page);
    case 'g':
      return to(0);
    case 'G':
      return to(last);
    default:
      return state;
  }
}

function typed(state: WatchState, key: Key): WatchState {
  switch (key.kind) {
    case 'text':
      return { ...state, filter: state.filter + key.text, scrolled: 0 };
    case 'backspace':
      return { ...state, filter: [...state.filter].slice(0, -1).join(''), scrolled: 0 };
    case 'enter':
      return { ...state, typing: false };
    case 'escape':
      return { ...state, typing: false, filter: '', scrolled: 0 };
    default:
      return state;
  }
}
