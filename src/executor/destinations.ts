import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Config, DestinationConfig } from '../config/config.js';
import type { SecretDeps } from '../config/secret.js';
import { openDuckDbWriter } from '../destination/duckdb/duckdb-writer.js';
import { IDLE_MS } from '../destination/lake/idle-page.js';
import { type LakeThreadSettings, openLakeWriter } from '../destination/lake/lake-writer.js';
import type { StoreTraffic } from '../destination/lake/object-store.js';
import { resolveS3Settings } from '../destination/lake/store/resolve-s3.js';
import type { DestinationWriter } from '../destination/writer.js';
import { SluiceError } from '../error/sluice-error.js';
import { type Dialect, dialectOf } from '../source/dialect.js';
import { clearInterrupt, interruptReceiver } from '../thread/batch-channel.js';
import { Mutex } from './mutex.js';

/** How long a sync waits for a file that another process holds, before it ends with DESTINATION_BUSY. */
const BUSY_WAIT_MS = 30_000;

const DUCKDB_IDLE = { everyMs: 15_000, atEnd: true } as const;
const LAKE_IDLE = { everyMs: IDLE_MS, atEnd: false } as const;

/** A destination while the engine lives: its writer and what keeps callers from getting in each other's way. */
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
  /** Syncs that work with it: the file stays open between their steps. */
  users: number;
  /**
   * Continues a load until the channel of its part ends; other calls to the writer come in between. A part that cannot be
   * paused ends early instead: the senders look at the control array (merged-channel.ts).
   */
  continueLoad(address: string, control: SharedArrayBuffer): Promise<number>;
}

/** Opens destinations when they are first used and keeps them until close(). */
export class Destinations {
  readonly #config: Config;
  readonly #secrets: SecretDeps;
  readonly #onWait: (destination: string, what: string) => void;
  readonly #open = new Map<string, Promise<OpenDestination>>();

  constructor(config: Config, secrets: SecretDeps, onWait: (destination: string, what: string) => void) {
    this.#config = config;
    this.#secrets = secrets;
    this.#onWait = onWait;
  }

  get(name: string): Promise<OpenDestination> {
    let open = this.#open.get(name);
    if (open === undefined) {
      open = this.#start(name);
      this.#open.set(name, open);
    }
    return open;
  }

  async #start(name: string): Promise<OpenDestination> {
    const settings = this.#config.destinations[name];
    if (settings === undefined) {
      throw new SluiceError({ code: 'CONFIG_INVALID', message: `destination "${name}" is not in the config` });
    }
    const inner = await openWriter(settings, this.#secrets, (what) => this.#onWait(name, what));
    const running = new Map<string, SharedArrayBuffer>();
    const writer = yieldingLoads(inner, running);
    return {
      name,
      dialect: dialectOf(settings),
      writer,
      idle: settings.type === 'duckdb' ? DUCKDB_IDLE : LAKE_IDLE,
      pages: new Mutex(),
      users: 0,
      continueLoad: async (address, control) => {
        for (;;) {
          running.set(address, control);
          const { state, rows } = await inner.continueLoad(address).finally(() => running.delete(address));
          if (state === 'done') return rows;
          clearInterrupt(control);
        }
      },
    };
  }

  /** Keeps the file open while `work` goes on; others let go of it only after that. */
  async using<T>(name: string, work: (destination: OpenDestination) => Promise<T>): Promise<T> {
    const open = await this.get(name);
    open.users += 1;
    try {
      return await work(open);
    } finally {
      open.users -= 1;
    }
  }

  /** What was asked of object stores until now, by destination; those that are not open, or no lakes, are not in it. */
  async traffic(): Promise<Map<string, StoreTraffic>> {
    const found = new Map<string, StoreTraffic>();
    for (const [name, open] of this.#open) {
      const traffic = await open.then(({ writer }) => writer.readTraffic()).catch(() => null);
      if (traffic !== null) found.set(name, traffic);
    }
    return found;
  }

  /** Runs `work` between two pages and only while no sync has the file; null where one has. */
  async whenIdle<T>(name: string, work: (destination: OpenDestination) => Promise<T>): Promise<T | null> {
    const open = await this.get(name);
    return open.pages.run(async () => (open.users > 0 ? null : work(open)));
  }

  /** Lets go of every file that nobody works with, until it is used again. */
  async releaseAll(): Promise<void> {
    for (const name of this.#open.keys()) await this.release(name);
  }

  async release(name: string): Promise<void> {
    await this.whenIdle(name, ({ writer }) => writer.release());
  }

  async close(): Promise<void> {
    for (const open of this.#open.values()) await (await open).writer.close();
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

/** Every other call interrupts running loads, which go on after it. */
function yieldingLoads(inner: DestinationWriter, running: ReadonlyMap<string, SharedArrayBuffer>): DestinationWriter {
  const yielding = <Arguments extends readonly unknown[], Result>(call: (...given: Arguments) => Promise<Result>) => {
    return (...given: Arguments): Promise<Result> => {
      const result = call(...given);
      for (const shared of running.values()) interruptReceiver(shared);
      return result;
    };
  };
  return {
    readTraffic: inner.readTraffic,
    readFacts: yielding(inner.readFacts),
    beginLoad: yielding(inner.beginLoad),
    readLoad: yielding(inner.readLoad),
    resumeLoad: yielding(inner.resumeLoad),
    openPart: yielding(inner.openPart),
    rebaseLoad: yielding(inner.rebaseLoad),
    leaveLoad: yielding(inner.leaveLoad),
    continueLoad: inner.continueLoad,
    loadRejected: yielding(inner.loadRejected),
    finishLoad: yielding(inner.finishLoad),
    finishBackfill: yielding(inner.finishBackfill),
    abandonLoad: yielding(inner.abandonLoad),
    stagePage: yielding(inner.stagePage),
    commitPage: yielding(inner.commitPage),
    pruneHeld: yielding(inner.pruneHeld),
    beginShadow: yielding(inner.beginShadow),
    compareShadow: yielding(inner.compareShadow),
    stageRows: yielding(inner.stageRows),
    writeRows: yielding(inner.writeRows),
    recordFailure: yielding(inner.recordFailure),
    requestSnapshot: yielding(inner.requestSnapshot),
    recordPartitions: yielding(inner.recordPartitions),
    addColumns: yielding(inner.addColumns),
    widenColumns: yielding(inner.widenColumns),
    renameColumns: yielding(inner.renameColumns),
    retireTable: yielding(inner.retireTable),
    dropTable: yielding(inner.dropTable),
    moveTable: yielding(inner.moveTable),
    moveStream: yielding(inner.moveStream),
    forgetStream: yielding(inner.forgetStream),
    restartStream: yielding(inner.restartStream),
    release: yielding(inner.release),
    publish: yielding(inner.publish),
    maintenance:
      inner.maintenance === null
        ? null
        : {
            tables: yielding(inner.maintenance.tables),
            compact: yielding(inner.maintenance.compact),
            vacuum: yielding(inner.maintenance.vacuum),
            vacuumSource: yielding(inner.maintenance.vacuumSource),
            readRecord: yielding(inner.maintenance.readRecord),
            writeRecord: yielding(inner.maintenance.writeRecord),
          },
    close: yielding(inner.close),
  };
}
