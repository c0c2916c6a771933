import { AsyncLocalStorage } from 'node:async_hooks';
import { assertNever, toPlain } from '../error/sluice-error.js';
import type { Clock, Engine, EngineEvent } from '../executor/engine.js';
import { type Call, outcomeOf } from './call-protocol.js';
import type { Log } from './log.js';
import type { DaemonSession } from './session.js';

interface Asker {
  readonly tell: (event: EngineEvent) => void;
}

/** Work that commands ask the daemon for, beside its own loop, with the events that are each one's. */
export class AskedWork {
  readonly #log: Log;
  readonly #clock: Clock;
  /**
   * An engine has one listener for all that it does; which work an event belongs to is told by the asynchronous context
   * that it comes from.
   */
  readonly #context = new AsyncLocalStorage<Asker>();
  readonly #askers = new Set<Asker>();

  constructor(deps: { readonly log: Log; readonly clock: Clock }) {
    this.#log = deps.log;
    this.#clock = deps.clock;
  }

  /** To be called with every event of the daemon's engines. */
  hear(event: EngineEvent): void {
    const asker = this.#context.getStore();
    if (asker !== undefined && this.#askers.has(asker)) asker.tell(event);
    // A destination that is held by others is waited for by all that use it; whose turn noticed it is chance.
    else if (event.kind === 'waiting') for (const each of this.#askers) each.tell(event);
  }

  /** @returns the call's result, for JSON. @throws what the engine throws, DAEMON_STOPPED */
  async run(session: DaemonSession, call: Call, tell: Asker['tell'], signal: AbortSignal): Promise<unknown> {
    const asker: Asker = { tell };
    const startedMs = this.#clock.monotonicMs();
    const fields = { call: call.call, ...subjectOf(call) };
    const duration = (): { duration_ms: number } => ({
      duration_ms: Math.round(this.#clock.monotonicMs() - startedMs),
    });
    this.#log.info(fields, 'asked for by a command');
    this.#askers.add(asker);
    try {
      const result = await this.#context.run(asker, () =>
        session.call((engine, during) => carryOut(engine, call, during), signal),
      );
      this.#log.info({ ...fields, ...duration() }, 'what was asked for is done');
      if (call.call !== 'sync') session.stateChanged();
      return result;
    } catch (error) {
      this.#log.warn({ ...fields, ...duration(), error: toPlain(error) }, 'what was asked for has failed');
      throw error;
    } finally {
      this.#askers.delete(asker);
    }
  }
}

async function carryOut(engine: Engine, call: Call, signal: AbortSignal): Promise<unknown> {
  switch (call.call) {
    case 'sync':
      return engine.sync(call.request, signal);
    case 'apply':
      return (await engine.apply(call.plan, signal)).map(outcomeOf);
    case 'resync':
      return engine.resync(call.addresses, call.reason, signal);
    case 'pause':
      return engine.pause(call.addresses, signal);
    case 'resume':
      return engine.resume(call.addresses, signal);
    default:
      return assertNever(call);
  }
}

function subjectOf(call: Call): object {
  switch (call.call) {
    case 'sync':
      return { address: call.request.address };
    case 'apply':
      return { plan: call.plan.id };
    case 'resync':
    case 'pause':
    case 'resume':
      return { addresses: call.addresses };
    default:
      return assertNever(call);
  }
}
