import type { Config } from '../config/config.js';
import type { ChangeResult, Engine, EngineEvent, SyncReport, SyncRequest } from '../executor/engine.js';
import type { StateDesk } from '../executor/state-desk.js';
import type { Plan } from '../planner/change.js';
import type { Pausing, Resuming } from '../state/pause.js';
import { callDaemon } from './call-client.js';
import { type Call, changeEvent, changeResults } from './call-protocol.js';
import { aPausing, aResuming, aSyncReport } from './engine-shapes.js';
import { aText, listOf, type Shape } from './shape.js';

export interface DaemonEngineDeps {
  /** Of this process, for all that only looks, and where the daemon cannot be asked. */
  readonly local: Engine;
  readonly onEvent: (event: EngineEvent) => void;
  /** Told why the work is done here after all. */
  readonly onApart: (why: string) => void;
}

/** The engine of a command beside a daemon with the same config: what changes something is done by the daemon's. */
export class DaemonEngine implements Engine {
  readonly config: Config;
  readonly #deps: DaemonEngineDeps;

  constructor(deps: DaemonEngineDeps) {
    this.#deps = deps;
    this.config = deps.local.config;
  }

  get state(): StateDesk {
    return this.#deps.local.state;
  }

  sync(request: SyncRequest, signal: AbortSignal): Promise<SyncReport> {
    return this.#ask({ call: 'sync', request }, aSyncReport, signal, (local) => local.sync(request, signal));
  }

  apply(plan: Plan, signal: AbortSignal): Promise<readonly ChangeResult[]> {
    return this.#ask({ call: 'apply', plan }, changeResults(plan), signal, (local) => local.apply(plan, signal));
  }

  resync(addresses: readonly string[], reason: string, signal: AbortSignal): Promise<readonly string[]> {
    return this.#ask({ call: 'resync', addresses, reason }, listOf(aText), signal, (local) =>
      local.resync(addresses, reason, signal),
    );
  }

  pause(addresses: readonly string[], signal: AbortSignal): Promise<readonly Pausing[]> {
    return this.#ask({ call: 'pause', addresses }, listOf(aPausing), signal, (local) => local.pause(addresses, signal));
  }

  resume(addresses: readonly string[], signal: AbortSignal): Promise<readonly Resuming[]> {
    return this.#ask({ call: 'resume', addresses }, listOf(aResuming), signal, (local) =>
      local.resume(addresses, signal),
    );
  }

  /** @param instead where the daemon has gone meanwhile, or is too old to be asked; it has done nothing then */
  async #ask<T>(call: Call, read: Shape<T>, signal: AbortSignal, instead: (local: Engine) => Promise<T>): Promise<T> {
    const { local, onEvent, onApart } = this.#deps;
    const end = await callDaemon(
      this.config.daemon.socket,
      { configHash: this.config.hash, call },
      (line) => {
        if (line.kind === 'event') onEvent(line.event);
        else if (call.call === 'apply') onEvent(changeEvent(call.plan, line));
      },
      signal,
    );
    if (end.kind === 'result') return read(end.result);
    if (end.error.code !== 'DAEMON_NOT_RUNNING') onApart(end.error.message);
    return instead(local);
  }

  plan: Engine['plan'] = (...given) => this.#deps.local.plan(...given);
  verify: Engine['verify'] = (...given) => this.#deps.local.verify(...given);
  follow: Engine['follow'] = (...given) => this.#deps.local.follow(...given);
  heldTables: Engine['heldTables'] = (...given) => this.#deps.local.heldTables(...given);
  status: Engine['status'] = (...given) => this.#deps.local.status(...given);
  optimize: Engine['optimize'] = (...given) => this.#deps.local.optimize(...given);
  vacuum: Engine['vacuum'] = (...given) => this.#deps.local.vacuum(...given);
  maintain: Engine['maintain'] = (...given) => this.#deps.local.maintain(...given);
  doctor: Engine['doctor'] = (...given) => this.#deps.local.doctor(...given);
  discover: Engine['discover'] = (...given) => this.#deps.local.discover(...given);
  setupSql: Engine['setupSql'] = (...given) => this.#deps.local.setupSql(...given);
  queryPages: Engine['queryPages'] = (...given) => this.#deps.local.queryPages(...given);
  queryBatches: Engine['queryBatches'] = (...given) => this.#deps.local.queryBatches(...given);
  query: Engine['query'] = (...given) => this.#deps.local.query(...given);
  guard: Engine['guard'] = (...given) => this.#deps.local.guard(...given);
  keepClean: Engine['keepClean'] = (...given) => this.#deps.local.keepClean(...given);
  halts: Engine['halts'] = () => this.#deps.local.halts();
  alertErrored: Engine['alertErrored'] = (...given) => this.#deps.local.alertErrored(...given);
  close: Engine['close'] = () => this.#deps.local.close();
}
