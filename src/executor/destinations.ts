import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Config, DestinationConfig } from '../config/config.js';
import type { SecretDeps } from '../config/secret.js';
import { openDuckDbWriter } from '../destination/duckdb/duckdb-writer.js';
import { IDLE_MS } from '../destination/lake/idle-page.js';
import { type LakeThreadSettings, openLakeWriter } from '../destination/lake/lake-writer.js';
import { resolveS3Settings } from '../destination/lake/store/resolve-s3.js';
import type { DestinationWriter } from '../destination/writer.js';
import { SluiceError } from '../error/sluice-error.js';
import { type Dialect, dialectOf } from '../source/dialect.js';
import { clearInterrupt, interruptReceiver } from '../thread/batch-channel.js';
import type { Clock } from './engine.js';
import { Mutex } from './mutex.js';
import { Places } from './places.js';
import { metered, type TrafficSum, yieldingLoads } from './writer-calls.js';

/** How long a sync waits for a file that another process holds, before it ends with DESTINATION_BUSY. */
const BUSY_WAIT_MS = 30_000;

const DUCKDB_IDLE = { everyMs: 15_000, atEnd: true } as const;
const LAKE_IDLE = { everyMs: IDLE_MS, atEnd: false } as const;

/** How long a load has the writer's thread while others wait for it. A row group that is cut off is written less well. */
const SLICE_MS = 1_000;

/** A destination as one piece of work sees it: its writer and what keeps callers from getting in each other's way. */
export interface OpenDestination {
  readonly name: string;
  readonly dialect: Dialect;
  readonly writer: DestinationWriter;
  /**
   * When a position that moved without any changes is written while a stream is followed: it costs a write, and frees WAL.
   * A lake asks to be paid for each.
   */
  readonly idle: { readonly everyMs: number; readonly atEnd: boolean };
  /** Held from staging a page to its commit, and by the last step of a load: what a table's mode is must not change in between. */
  readonly pages: Mutex;
  /**
   * Continues a load until the channel of its part ends; other calls to the writer come in between, and other loads take
   * turns with it. A part that cannot be paused ends early instead: the senders look at the control array
   * (merged-channel.ts).
   */
  continueLoad(address: string, control: SharedArrayBuffer): Promise<number>;
  /** Around a whole load: no more of them go on at once than `parallel_loads` says. @param onWait told before a wait */
  withLoadPlace<T>(onWait: (what: string) => void, signal: AbortSignal, work: () => Promise<T>): Promise<T>;
}

/** What all who work with a destination share. */
interface Shared {
  readonly name: string;
  readonly dialect: Dialect;
  readonly inner: DestinationWriter;
  readonly idle: OpenDestination['idle'];
  readonly pages: Mutex;
  /** By address: the load that has the thread, if any. */
  readonly running: Map<string, SharedArrayBuffer>;
  /** With the thread, between loads. */
  readonly loadTurns: Places;
  readonly loadPlaces: Places;
  /** Those that work with it: the file stays open between their steps. */
  users: number;
}

/** Opens destinations when they are first used and keeps them until close(). */
export class Destinations {
  readonly #config: Config;
  readonly #secrets: SecretDeps;
  readonly #clock: Clock;
  readonly #onWait: (destination: string, what: string) => void;
  readonly #open = new Map<string, Promise<Shared>>();

  constructor(
    config: Config,
    deps: { readonly secrets: SecretDeps; readonly clock: Clock },
    onWait: (destination: string, what: string) => void,
  ) {
    this.#config = config;
    this.#secrets = deps.secrets;
    this.#clock = deps.clock;
    this.#onWait = onWait;
  }

  /** For a look or a single call: others may let go of the file at any time, to be opened anew by the next one. */
  async get(name: string): Promise<OpenDestination> {
    return this.#viewOf(await this.#shared(name), null);
  }

  #shared(name: string): Promise<Shared> {
    let open = this.#open.get(name);
    if (open === undefined) {
      open = this.#start(name);
      this.#open.set(name, open);
    }
    return open;
  }

  async #start(name: string): Promise<Shared> {
    const settings = this.#config.destinations[name];
    if (settings === undefined) {
      throw new SluiceError({ code: 'CONFIG_INVALID', message: `destination "${name}" is not in the config` });
    }
    return {
      name,
      dialect: dialectOf(settings),
      inner: await openWriter(settings, this.#secrets, (what) => this.#onWait(name, what)),
      idle: settings.type === 'duckdb' ? DUCKDB_IDLE : LAKE_IDLE,
      pages: new Mutex(),
      running: new Map(),
      loadTurns: new Places(1),
      loadPlaces: new Places(settings.parallelLoads),
      users: 0,
    };
  }

  #viewOf(shared: Shared, traffic: TrafficSum | null): OpenDestination {
    const { name, dialect, idle, pages, running } = shared;
    const inner = traffic === null ? shared.inner : metered(shared.inner, traffic);
    return {
      name,
      dialect,
      writer: yieldingLoads(inner, running),
      idle,
      pages,
      continueLoad: async (address, control) => {
        for (;;) {
          const { state, rows } = await this.#slice(shared, control, address, () => inner.continueLoad(address));
          if (state === 'done') return rows;
          clearInterrupt(control);
        }
      },
      withLoadPlace: (onWait, signal, work) => {
        if (shared.loadPlaces.isFull) onWait(`waiting for another load into ${name} to end (parallel_loads)`);
        return shared.loadPlaces.run(signal, work);
      },
    };
  }

  /** A load's turn with the thread: until it is through, or others have waited long enough. */
  async #slice<T>(shared: Shared, control: SharedArrayBuffer, address: string, work: () => Promise<T>): Promise<T> {
    const { running, loadTurns } = shared;
    const ended = new AbortController();
    return loadTurns.run(ended.signal, async () => {
      running.set(address, control);
      const over = this.#endSlice(loadTurns, control, ended.signal);
      try {
        return await work();
      } finally {
        running.delete(address);
        ended.abort();
        await over;
      }
    });
  }

  async #endSlice(loadTurns: Places, control: SharedArrayBuffer, ended: AbortSignal): Promise<void> {
    try {
      do await this.#clock.sleep(SLICE_MS, ended);
      while (!loadTurns.isWaitedFor);
      interruptReceiver(control);
    } catch {
      // It was through before.
    }
  }

  /**
   * Keeps the file open while `work` goes on; others let go of it only after that.
   * @param traffic adds up what the work asks of an object store
   */
  async using<T>(
    name: string,
    work: (destination: OpenDestination) => Promise<T>,
    traffic: TrafficSum | null = null,
  ): Promise<T> {
    const { destination, letGo } = await this.hold(name, traffic);
    try {
      return await work(destination);
    } finally {
      letGo();
    }
  }

  /** Keeps the file open until it is let go of. */
  async hold(
    name: string,
    traffic: TrafficSum | null = null,
  ): Promise<{ readonly destination: OpenDestination; readonly letGo: () => void }> {
    const shared = await this.#shared(name);
    shared.users += 1;
    let holds = true;
    const letGo = (): void => {
      if (holds) shared.users -= 1;
      holds = false;
    };
    return { destination: this.#viewOf(shared, traffic), letGo };
  }

  /** Runs `work` between two pages and only while nobody holds the file; null where somebody does. */
  async whenIdle<T>(name: string, work: (destination: OpenDestination) => Promise<T>): Promise<T | null> {
    const shared = await this.#shared(name);
    if (shared.users > 0) return null;
    return shared.pages.run(async () => (shared.users > 0 ? null : work(this.#viewOf(shared, null))));
  }

  /** Lets go of a file that nobody works with, until it is used again. */
  async release(name: string): Promise<void> {
    await this.whenIdle(name, ({ writer }) => writer.release());
  }

  /** {@link release} for all. */
  async releaseAll(): Promise<void> {
    for (const name of this.#open.keys()) await this.release(name);
  }

  async close(): Promise<void> {
    for (const open of this.#open.values()) await this.#viewOf(await open, null).writer.close();
    this.#open.clear();
  }
}

async function openWriter(
  settings: DestinationConfig,
  secrets: SecretDeps,
  onWait: (what: string) => void,
): Promise<DestinationWriter> {
  if (settings.type !== 'duckdb') return openLakeWriter(await lakeThreadSettings(settings, secrets), onWait);
  const { path, memoryLimitMb } = settings;
  const threads = settings.threads ?? defaultThreads(memoryLimitMb);
  return openDuckDbWriter({ path, memoryLimitMb, threads, busyWaitMs: BUSY_WAIT_MS }, onWait);
}

/** What the thread of a lake has to know, secrets too. @throws SluiceError SECRET_MISSING */
export async function lakeThreadSettings(
  settings: Exclude<DestinationConfig, { type: 'duckdb' }>,
  secrets: SecretDeps,
): Promise<LakeThreadSettings> {
  const { memoryLimitMb, workPath } = settings;
  const threads = settings.threads ?? defaultThreads(memoryLimitMb);
  return {
    store:
      settings.type === 's3'
        ? { type: 's3', s3: await resolveS3Settings(settings, secrets) }
        : { type: 'local', path: settings.path },
    session: { path: join(workPath, 'work.duckdb'), memoryLimitMb, threads, busyWaitMs: BUSY_WAIT_MS },
    workFolder: workPath,
    cacheMb: settings.cacheMb,
    targetFileMb: settings.targetFileMb,
    format: settings.format,
    deletes: settings.deletes ?? 'dv',
    maintenance: {
      smallFileMb: settings.maintenance.smallFileMb,
      deletedRatio: settings.maintenance.deletedRatio,
      retentionMs: settings.maintenance.retentionMs,
      clusterByKey: settings.clusterByKey,
    },
  };
}

/** More threads than this bring little for one table's load. */
const MAX_DEFAULT_THREADS = 4;
/** With less memory a thread, DuckDB's threads spend their time waiting for each other's blocks (measured: 14.9 s against 6.4 s). */
const MEMORY_PER_THREAD_MB = 64;

function defaultThreads(memoryLimitMb: number): number {
  const affordable = Math.floor(memoryLimitMb / MEMORY_PER_THREAD_MB);
  return Math.max(1, Math.min(availableParallelism(), MAX_DEFAULT_THREADS, affordable));
}
