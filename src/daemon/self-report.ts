import type { Config } from '../config/config.js';
import type { PlainError } from '../error/sluice-error.js';
import type { EngineEvent } from '../executor/engine.js';
import type { HeldTable } from '../executor/table-holds.js';
import type { DaemonBlock, HeldSource } from './control-protocol.js';
import { RunningLoads } from './running-loads.js';

/** What a daemon can tell of its work from memory. */
export class SelfReport {
  readonly #process: { readonly pid: number; readonly version: string; readonly startedAt: Date };
  #config: Config;
  #inUseSince: Date;
  #pending: DaemonBlock['pending_plan'] = null;
  #planError: PlainError | null = null;
  readonly #held = new Map<string, HeldSource>();
  /** By source. */
  readonly #heldTables = new Map<string, readonly HeldTable[]>();
  readonly #loads = new RunningLoads();

  constructor(facts: { pid: number; version: string; config: Config; now: Date }) {
    this.#process = { pid: facts.pid, version: facts.version, startedAt: facts.now };
    this.#config = facts.config;
    this.#inUseSince = facts.now;
  }

  /** Another config takes over: what was known of the work with the one before is no longer true. */
  configIs(config: Config, now: Date): void {
    this.#config = config;
    this.#inUseSince = now;
    this.#pending = null;
    this.#planError = null;
    this.#held.clear();
    this.#heldTables.clear();
    this.#loads.clear();
  }

  /** @param waiting addresses with their actions; null: nothing waits */
  planned(waiting: readonly string[] | null, now: Date): void {
    this.#planError = null;
    this.#pending = waiting === null ? null : { since: now.toISOString(), changes: waiting };
  }

  planFailed(error: PlainError): void {
    this.#planError = error;
  }

  /** @param hold null: it is synced again */
  sourceIs(source: string, hold: SourceHold | null): void {
    if (hold === null) this.#held.delete(source);
    else this.#held.set(source, { source, error: hold.error, retry_at: hold.retryAt?.toISOString() ?? null });
  }

  tablesAre(source: string, held: readonly HeldTable[]): void {
    this.#heldTables.set(source, held);
  }

  onEvent(event: EngineEvent, now: Date): void {
    this.#loads.onEvent(event, now);
  }

  /** @param configError why the file as it is now is not used */
  block(configError: PlainError | null): DaemonBlock {
    return {
      pid: this.#process.pid,
      version: this.#process.version,
      started_at: this.#process.startedAt.toISOString(),
      config: {
        file: this.#config.file,
        hash: this.#config.hash,
        in_use_since: this.#inUseSince.toISOString(),
        valid: configError === null,
        error: configError,
      },
      pending_plan: this.#pending,
      plan_error: this.#planError,
      held_sources: [...this.#held.values()],
      held_tables: [...this.#heldTables.values()].flat().map(({ address, error, attempts, retryAt }) => ({
        address,
        error,
        attempts,
        retry_at: retryAt.toISOString(),
      })),
      loads: this.#loads.list(),
    };
  }
}

/** Why a source is not synced. */
export interface SourceHold {
  readonly error: PlainError;
  /** Null: until a person acts. */
  readonly retryAt: Date | null;
}
