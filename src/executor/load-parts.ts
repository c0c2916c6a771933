import type { HeapRange } from '../destination/load-progress.js';
import { abandonReceiver, interruptReceiver } from '../thread/batch-channel.js';
import { failpoint } from '../thread/failpoint.js';
import { claimedTasks, openMergedChannel } from '../thread/merged-channel.js';
import type { OpenDestination } from './destinations.js';
import type { Clock } from './engine.js';
import type { CopySummary } from './reader/reader-thread.js';
import { settleAll, settleBoth } from './settle.js';
import type { SnapshotReaders } from './snapshot-readers.js';
import { decodedColumns, type TablePlan } from './table-plan.js';

/** One COPY of a load. */
export interface LoadTask {
  readonly sql: string;
  /** What it reads, where that is recorded. */
  readonly range: HeapRange | null;
}

export interface PartDeps {
  readonly plan: TablePlan;
  readonly readers: SnapshotReaders;
  readonly destination: OpenDestination;
  readonly clock: Clock;
  /**
   * How long rows are read before they are made durable, with what was read of the source; null: nothing of that is
   * recorded, as the load is never gone on with.
   */
  readonly saveEveryMs: number | null;
  readonly onProgress: (rows: number, bytes: number) => void;
}

/** The statements of a part travel to each thread: 32 GiB of ordinary blocks in one are plenty. */
const MAX_TASKS = 1_024;

/** The rows of a load, read by several threads, part by part: each part is one transaction of the destination. */
export class LoadParts {
  readonly #deps: PartDeps;
  readonly rejected: number[];
  rows = 0;
  bytes = 0;

  constructor(deps: PartDeps) {
    this.#deps = deps;
    this.rejected = deps.plan.columns.map(() => 0);
  }

  /**
   * Reads everything.
   * @param tasks may be paused at any row, for a neighbour that needs the destination; where it is recorded what was read,
   *   a range is read to its end first
   */
  async read(into: 'load' | 'changed', tasks: readonly LoadTask[]): Promise<void> {
    for (let next = 0; next < tasks.length; ) {
      next += await this.#part(into, tasks.slice(next, next + MAX_TASKS));
      await failpoint(into === 'load' ? 'after_load_part' : 'after_changed_part');
    }
  }

  /** @returns how many of the tasks were done */
  async #part(into: 'load' | 'changed', tasks: readonly LoadTask[]): Promise<number> {
    const { plan, readers, destination, clock, saveEveryMs } = this.#deps;
    const threads = readers.joined.slice(0, tasks.length);
    const channel = openMergedChannel(threads.length);
    const { control } = channel;
    await destination.writer.openPart({
      address: plan.address,
      channel: channel.receiver,
      into,
      ranges: tasks.flatMap(({ range }) => (saveEveryMs === null || range === null ? [] : [range])),
      interruptible: saveEveryMs === null,
    });
    const progress = threads.map(() => ({ rows: 0, bytes: 0 }));
    const copying = threads.flatMap((reader, position): Promise<CopySummary>[] => {
      const sender = channel.senders[position];
      if (sender === undefined) return [];
      const request = {
        address: into === 'load' ? plan.address : null,
        statements: tasks.map(({ sql }) => sql),
        columns: decodedColumns(plan),
        channel: sender,
        control,
      };
      return [
        reader.copyRanges(request, ({ rows, bytes }) => {
          progress[position] = { rows, bytes };
          this.#tell(progress);
        }),
      ];
    });
    const writing = destination.continueLoad(plan.address, control);
    // A thread passes its own failure through its channel; one that ended cannot, and the writer's is for all to know.
    for (const side of [...copying, writing]) side.catch(() => abandonReceiver(control));
    const ended = new AbortController();
    if (saveEveryMs !== null) {
      clock.sleep(saveEveryMs, ended.signal).then(
        () => interruptReceiver(control),
        () => undefined, // the part has ended
      );
    }
    try {
      const [summaries] = await settleBoth(settleAll(copying), writing);
      for (const summary of summaries) this.#add(into, summary);
    } finally {
      ended.abort();
    }
    return claimedTasks(control, tasks.length);
  }

  #add(into: 'load' | 'changed', summary: CopySummary): void {
    this.bytes += summary.bytes;
    if (into === 'load') this.rows += summary.rows;
    for (const [position, count] of summary.rejected.entries()) {
      this.rejected[position] = (this.rejected[position] ?? 0) + count;
    }
  }

  #tell(progress: readonly { readonly rows: number; readonly bytes: number }[]): void {
    const sum = (pick: (one: { readonly rows: number; readonly bytes: number }) => number): number =>
      progress.reduce((total, one) => total + pick(one), 0);
    this.#deps.onProgress(this.rows + sum((one) => one.rows), this.bytes + sum((one) => one.bytes));
  }
}
