import { asSluiceError, type PlainError, SluiceError, toPlain } from '../error/sluice-error.js';
import { lagFacts } from '../guard/wal-lag.js';
import { emptyRun } from './empty-run.js';
import type { Clock, SourceRun } from './engine.js';
import { Mutex } from './mutex.js';
import { placeTrouble } from './place-check.js';
import type { SourceWork } from './source-work.js';
import type { StateAccess } from './state-access.js';
import { syncSource } from './sync-source.js';

/** After the abort: a page that is being written may end, and the slot is given back in order (law 10). */
const DRAIN_MS = 6_000;
/** Between two sessions, so that one that ends at once does not take a whole core. */
const AGAIN_MS = 250;
/** A source without anything to follow: an apply may bring it. */
const NOTHING_MS = 60_000;

export interface FollowDeps {
  readonly source: string;
  readonly access: StateAccess;
  readonly work: SourceWork;
}

/** Which sources an engine follows, and who wants one for itself for a while. */
export class Followers {
  readonly #followed = new Map<string, number>();
  readonly #claims = new Map<string, number>();
  readonly #streaming = new Set<string>();
  /** By source: a sync and a follower of it exclude each other. */
  readonly #turns = new Map<string, Mutex>();
  #lookedAgain = new AbortController();

  /** Some follower has the source, or will take up again. */
  has(source: string): boolean {
    return (this.#followed.get(source) ?? 0) > 0;
  }

  /** Its follower has loaded and caught up, and would end soon after a claim. */
  isStreaming(source: string): boolean {
    return this.#streaming.has(source);
  }

  setStreaming(source: string, streaming: boolean): void {
    if (streaming) this.#streaming.add(source);
    else this.#streaming.delete(source);
  }

  isClaimed(source: string): boolean {
    return (this.#claims.get(source) ?? 0) > 0;
  }

  /** Those that found nothing to follow look again at once: somebody has changed the state. */
  lookAgain(): void {
    this.#lookedAgain.abort();
    this.#lookedAgain = new AbortController();
  }

  /** @throws the signal's reason */
  async sleep(ms: number, clock: Clock, signal: AbortSignal): Promise<void> {
    try {
      await clock.sleep(ms, AbortSignal.any([signal, this.#lookedAgain.signal]));
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof Error) || error.name !== 'AbortError') throw error;
    }
  }

  async following<T>(source: string, work: () => Promise<T>): Promise<T> {
    this.#followed.set(source, (this.#followed.get(source) ?? 0) + 1);
    try {
      return await work();
    } finally {
      this.#followed.set(source, (this.#followed.get(source) ?? 1) - 1);
    }
  }

  /** One at a time with the source. */
  inTurn<T>(source: string, work: () => Promise<T>): Promise<T> {
    let turn = this.#turns.get(source);
    if (turn === undefined) {
      turn = new Mutex();
      this.#turns.set(source, turn);
    }
    return turn.run(work);
  }

  /** take() asks the follower to end and resolves once it has; until giveBack() none takes up again. */
  claimOf(
    source: string,
    signal: AbortSignal,
  ): { readonly take: () => Promise<boolean>; readonly giveBack: () => void } {
    let release: (() => void) | null = null;
    let claimed = false;
    return {
      take: async () => {
        claimed = true;
        const followed = this.has(source);
        this.#claims.set(source, (this.#claims.get(source) ?? 0) + 1);
        await new Promise<void>((resolve) => {
          const held = new Promise<void>((free) => {
            release = free;
          });
          this.inTurn(source, () => {
            resolve();
            return held;
          }).catch(() => undefined);
        });
        signal.throwIfAborted();
        return followed;
      },
      giveBack: () => {
        if (!claimed) return;
        this.#claims.set(source, (this.#claims.get(source) ?? 1) - 1);
        release?.();
      },
    };
  }
}

/** Follows until the signal aborts or there is trouble. @throws SluiceError ADDRESS_UNKNOWN, STATE_UNREADABLE */
export function followSource(deps: FollowDeps, signal: AbortSignal): Promise<SourceRun> {
  return deps.work.followers.following(deps.source, () => new Follower(deps, signal).run());
}

class Follower {
  readonly #deps: FollowDeps;
  /** Ends the following in order. */
  readonly #signal: AbortSignal;
  /** Ends everything at once. */
  readonly #hard = new AbortController();
  readonly #totals = { transactions: 0, changes: 0, confirmedLsn: null as string | null };
  #last: Pick<SourceRun, 'tables' | 'lag' | 'drift' | 'newColumns'> = {
    tables: [],
    lag: null,
    drift: [],
    newColumns: [],
  };
  #following = false;

  constructor(deps: FollowDeps, signal: AbortSignal) {
    this.#deps = deps;
    this.#signal = signal;
  }

  async run(): Promise<SourceRun> {
    const { clock, followers } = this.#deps.work;
    const startedMs = clock.monotonicMs();
    const onAbort = (): void => this.#drain();
    this.#signal.addEventListener('abort', onAbort, { once: true });
    let error: PlainError | null = null;
    try {
      while (!this.#signal.aborted && error === null) {
        this.#following = false;
        const run = await this.#session();
        if (run !== null) {
          this.#add(run);
          error = run.error;
        }
        const nothing = run !== null && !this.#everFollowed(run);
        if (error === null && !this.#signal.aborted)
          await followers.sleep(nothing ? NOTHING_MS : AGAIN_MS, clock, this.#signal);
      }
    } catch (cause) {
      if (!this.#signal.aborted) throw cause;
    } finally {
      this.#signal.removeEventListener('abort', onAbort);
      this.#hard.abort();
    }
    const durationMs = clock.monotonicMs() - startedMs;
    const { source } = this.#deps;
    return { ...emptyRun(source, error, durationMs), ...this.#totals, ...this.#last };
  }

  /** From one time that somebody else needs the state to the next. Null: somebody needs it already. */
  #session(): Promise<SourceRun | null> {
    const { access, source, work } = this.#deps;
    const { followers } = work;
    return access.follow(source, this.#signal, async () => {
      if (followers.isClaimed(source)) return null;
      return followers.inTurn(source, async () => ((await this.#isEnough()) ? null : this.#sync()));
    });
  }

  async #sync(): Promise<SourceRun> {
    const { source, work } = this.#deps;
    const { destinations } = work;
    const settings = work.config.sources[source];
    const document = await work.applied();
    const state = document.sources[source];
    if (settings === undefined || state === undefined) {
      throw new SluiceError({
        code: 'ADDRESS_UNKNOWN',
        address: source,
        message: `source "${source}" has not been applied, so there is nothing to follow`,
        hint: 'run: sluice apply',
      });
    }
    const notHere = await placeTrouble(work.config, document, source);
    if (notHere !== null) return emptyRun(source, toPlain(notHere));
    const { lag, halted } = await work.lookAtLag(source, state, this.#hard.signal);
    const facts = lag === null ? null : lagFacts(lag);
    if (halted !== null) return { ...emptyRun(source, toPlain(halted)), lag: facts };
    const name = state.destination;
    // While it loads and catches up the file is needed all the time; afterwards only for each page.
    const { destination, letGo: release } = await destinations.hold(name);
    const letGo = async (): Promise<void> => {
      release();
      await destinations.release(name);
    };
    const deps = work.syncDeps(source, destination);
    const publish = async (): Promise<void> => {
      for (const [address, { message }] of await work.publishCopies(new Set([name]))) {
        deps.onEvent({ kind: 'notice', address, message });
      }
    };
    try {
      const run = await syncSource(
        {
          ...work.requestOf(settings, state),
          only: null,
          force: false,
          untilCaughtUp: false,
          followedElsewhere: false,
          held: work.heldTables(source, state),
          following: {
            flush: settings.cdc.flush,
            onFollowing: async () => {
              this.#following = true;
              work.followers.setStreaming(source, true);
              await letGo();
              await publish();
            },
            isEnough: () => this.#isEnough(),
            betweenPages: async () => {
              await destinations.release(name);
              await publish();
            },
          },
        },
        { ...deps, claim: async () => false },
        this.#hard.signal,
      );
      const ended = { ...run, error: await work.haltSince(source, state, run.error), lag: facts };
      work.noteEnd(ended, state);
      return ended;
    } catch (cause) {
      if (this.#signal.aborted) throw cause;
      const error = toPlain(asSluiceError(cause));
      return emptyRun(source, error);
    } finally {
      work.followers.setStreaming(source, false);
      await letGo();
    }
  }

  async #isEnough(): Promise<boolean> {
    const { access, source, work } = this.#deps;
    return this.#signal.aborted || work.followers.isClaimed(source) || (await access.isWanted(source));
  }

  /** A sync is broken off, as any sync is; following ends by itself, in time or at once. */
  #drain(): void {
    if (!this.#following) {
      this.#hard.abort(this.#signal.reason);
      return;
    }
    this.#deps.work.clock.sleep(DRAIN_MS, this.#hard.signal).then(
      () => this.#hard.abort(this.#signal.reason),
      () => undefined, // it has ended
    );
  }

  #everFollowed(run: SourceRun): boolean {
    return this.#following || run.error !== null;
  }

  #add(run: SourceRun): void {
    this.#totals.transactions += run.transactions;
    this.#totals.changes += run.changes;
    this.#totals.confirmedLsn = run.confirmedLsn ?? this.#totals.confirmedLsn;
    const { tables, lag, drift, newColumns } = run;
    this.#last = { tables, lag, drift, newColumns };
  }
}
