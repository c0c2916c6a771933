import { Places } from './places.js';

/** Things that one at a time may have, by name. Who waits is served in the order of asking. */
export class Turns {
  /** By name, those that are taken. */
  readonly #places = new Map<string, Places>();

  isTaken(name: string): boolean {
    return this.#places.has(name);
  }

  /** The names of all that is taken. */
  taken(): readonly string[] {
    return [...this.#places.keys()];
  }

  /** Waits as long as it takes. @returns gives it back; @throws the signal's reason */
  async take(name: string, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    const place = this.#places.get(name) ?? new Places(1);
    this.#places.set(name, place);
    const giveBack = await place.take(signal);
    return () => {
      giveBack();
      if (!place.isFull) this.#places.delete(name);
    };
  }

  async run<T>(name: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const giveBack = await this.take(name, signal);
    try {
      return await work();
    } finally {
      giveBack();
    }
  }
}
