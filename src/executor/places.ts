/** Room for so many at once; who comes when all of it is taken waits, in the order of coming. */
export class Places {
  readonly #count: number;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  /** @param count null: no limit */
  constructor(count: number | null) {
    this.#count = count ?? Number.POSITIVE_INFINITY;
  }

  get isFull(): boolean {
    return this.#taken >= this.#count;
  }

  get isWaitedFor(): boolean {
    return this.#waiting.length > 0;
  }

  /** Waits as long as it takes. @returns gives the place back; @throws the signal's reason */
  async take(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.isFull) await this.#handedOver(signal);
    else this.#taken += 1;
    let given = false;
    return () => {
      if (!given) this.#pass();
      given = true;
    };
  }

  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const giveBack = await this.take(signal);
    try {
      return await work();
    } finally {
      giveBack();
    }
  }

  #handedOver(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const mine = (): void => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      const onAbort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(mine), 1);
        reject(signal.reason);
      };
      this.#waiting.push(mine);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  #pass(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#taken -= 1;
    else next();
  }
}
