interface Waiter {
  readonly weight: number;
  readonly enter: () => void;
}

/** Lets work in up to a total weight (requests: one each; buffers: their bytes); the rest waits in order of arrival. */
export class Gate {
  private free: number;
  private readonly waiting: Waiter[] = [];

  constructor(private readonly limit: number) {
    this.free = limit;
  }

  /**
   * Runs `work` when there is room for it. What weighs more than the gate lets in at all goes in alone.
   * @throws the signal's reason when it aborts before there was room; what `work` throws
   */
  async run<Result>(weight: number, work: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    const held = Math.min(weight, this.limit);
    await this.enter(held, signal);
    try {
      return await work();
    } finally {
      this.free += held;
      this.admit();
    }
  }

  private enter(weight: number, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.waiting.splice(this.waiting.indexOf(waiter), 1);
        // Whoever stands behind it may fit now.
        this.admit();
        reject(signal?.reason);
      };
      const waiter: Waiter = {
        weight,
        enter: () => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.waiting.push(waiter);
      this.admit();
    });
  }

  private admit(): void {
    for (let next = this.waiting[0]; next !== undefined && next.weight <= this.free; next = this.waiting[0]) {
      this.waiting.shift();
      this.free -= next.weight;
      next.enter();
    }
  }
}
