import type { Writable } from 'node:stream';

/** Beyond it whoever reads is behind: how far the work is waits until they have caught up. */
const BEHIND_BYTES = 64 * 1024;
/** Beyond it nobody reads any more. */
const MOST_BYTES = 8 * 1024 * 1024;

/** Writes lines for a reader that may be slow, or stopped: nobody waits for it, and what waits for it is bounded. */
export class LineSink {
  readonly #stream: Writable;
  readonly #giveUp: () => void;
  /** The last line of each key, for when the reader has caught up. */
  readonly #waiting = new Map<string, string>();

  /** @param giveUp called once too much waits for the reader */
  constructor(stream: Writable, giveUp: () => void) {
    this.#stream = stream;
    this.#giveUp = giveUp;
    stream.on('drain', () => this.#catchUp());
  }

  write(line: string): void {
    this.#catchUp();
    if (this.#stream.destroyed) return;
    this.#stream.write(line);
    if (this.#stream.writableLength > MOST_BYTES) this.#giveUp();
  }

  /** As write, of a line that the next one of the same key makes needless: it may be left out for a slow reader. */
  progress(key: string, line: string): void {
    if (this.#stream.writableLength <= BEHIND_BYTES) {
      this.write(line);
      return;
    }
    // At the end, so that the keys come in the order of their last lines.
    this.#waiting.delete(key);
    this.#waiting.set(key, line);
  }

  end(line: string): void {
    this.write(line);
    this.#stream.end();
  }

  #catchUp(): void {
    const lines = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const line of lines) if (!this.#stream.destroyed) this.#stream.write(line);
  }
}
