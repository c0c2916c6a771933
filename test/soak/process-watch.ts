import { readdir, readFile, readlink } from 'node:fs/promises';

/** What a process holds at one moment, from Linux' own account of it. */
export interface Held {
  /** MiB in memory. */
  readonly rssMb: number;
  /** Open descriptors by what they are: socket, pipe, anon_inode, or the path of a file. */
  readonly descriptors: readonly string[];
}

/** Null where the process is gone, or the machine has no /proc. */
export async function heldBy(pid: number): Promise<Held | null> {
  try {
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(status) ?? [];
    if (kib === undefined) return null;
    const names = await readdir(`/proc/${pid}/fd`);
    const targets = await Promise.all(names.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => null)));
    return {
      rssMb: Number(kib) / 1_024,
      descriptors: targets.filter((target) => target !== null).map((target) => target.replace(/:\[.*\]$/, '')),
    };
  } catch {
    return null;
  }
}

/** Looks at a process every second until it is stopped. */
export class ProcessWatch {
  readonly #samples: Held[] = [];
  readonly #timer: NodeJS.Timeout;

  constructor(pid: number) {
    this.#timer = setInterval(async () => {
      const held = await heldBy(pid);
      if (held !== null) this.#samples.push(held);
    }, 1_000);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  get count(): number {
    return this.#samples.length;
  }

  /** The median of a part of the samples, in the order in which they were taken. @param part 0, 1, 2: a third of them */
  medianOfThird(part: 0 | 1 | 2, measure: (held: Held) => number): number {
    const third = Math.floor(this.#samples.length / 3);
    const values = this.#samples.slice(part * third, (part + 1) * third).map(measure);
    return values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
  }
}
