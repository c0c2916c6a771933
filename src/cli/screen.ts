import type { Size } from './view/watch-frame.js';
import type { Key } from './watch-keys.js';

/** A terminal that a command has for itself. Tests give one of their own. */
export interface Screen {
  /** Read anew each time, as windows are resized. */
  size(): Size;
  /** Puts lines in the place of what is there. */
  draw(lines: readonly string[]): void;
  onKey(listener: (key: Key) => void): void;
  onResize(listener: () => void): void;
  /** Gives the terminal back as it was. Calling it again does nothing. */
  close(): void;
}
