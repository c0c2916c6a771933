import type { ReaderThread, SnapshotTaken } from './reader/reader-thread.js';
import { snapshotOf, type TablePlan } from './table-plan.js';

/** The threads that read one table together: the first takes the snapshot, the others join it. */
export class SnapshotReaders {
  readonly first: ReaderThread;
  readonly #openMore: () => Promise<ReaderThread | null>;
  readonly #parallel: number;
  readonly #opened: ReaderThread[] = [];
  #joined: ReaderThread[] = [];

  /**
   * @param openMore opens a thread beside the first, null where the server has no room for its session; called when a table
   *   is large enough for it, and kept until close()
   */
  constructor(first: ReaderThread, parallel: number, openMore: () => Promise<ReaderThread | null>) {
    this.first = first;
    this.#parallel = parallel;
    this.#openMore = openMore;
  }

  /** Those that see the snapshot. */
  get joined(): readonly ReaderThread[] {
    return [this.first, ...this.#joined];
  }

  /** @param partitionsOf oid of a partitioned table whose leaves are wanted; null: none are */
  async begin(plan: TablePlan, partitionsOf: number | null = null): Promise<SnapshotTaken> {
    this.#joined = [];
    return this.first.beginSnapshot({ ...snapshotOf(plan), partitionsOf });
  }

  /** Brings as many threads into the snapshot as there is work for. */
  async join(plan: TablePlan, tasks: number): Promise<void> {
    const wanted = Math.min(this.#parallel, tasks) - this.joined.length;
    if (wanted <= 0) return;
    const snapshot = await this.first.exportSnapshot();
    const idle = this.#opened.filter((reader) => !this.#joined.includes(reader));
    for (let tried = 0; tried < wanted; tried += 1) {
      const reader = idle[tried] ?? (await this.#open());
      if (reader === null) return;
      const { schema, name, lock } = snapshotOf(plan);
      const request = { schema, name, lock, snapshot };
      if (await reader.joinSnapshot(request)) this.#joined.push(reader);
    }
  }

  async #open(): Promise<ReaderThread | null> {
    const reader = await this.#openMore();
    if (reader !== null) this.#opened.push(reader);
    return reader;
  }

  async end(): Promise<void> {
    for (const reader of this.joined) await reader.endSnapshot();
    this.#joined = [];
  }

  /** After a failure: leaves the transactions. */
  async reset(): Promise<void> {
    this.#joined = [];
    for (const reader of [this.first, ...this.#opened]) await reader.resetSession();
  }

  /** Ends the threads that were opened here; the first one is the caller's. */
  async close(): Promise<void> {
    for (const reader of this.#opened.splice(0)) await reader.close();
  }
}
