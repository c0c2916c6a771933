import { spawn } from 'node:child_process';
import path from 'node:path';
import type { AlertHook, Config } from '../config/config.js';
import { absolutePath } from '../config/path.js';
import { isWebAddress } from '../config/read-alerts.js';
import { resolveSecret, type SecretDeps } from '../config/secret.js';
import { asSluiceError, assertNever, SluiceError } from '../error/sluice-error.js';
import type { Clock } from '../executor/engine.js';
import type { AlertEvent } from './alert.js';

/** A receiver that restarts or is briefly overloaded is there again within this. */
const RETRY_DELAYS_MS = [1_000, 5_000];
/** SIGTERM has to be through within 10 s (law 10): what was not delivered by then stands in the log. */
const CLOSE_MS = 4_000;
/** What the environment of one program may hold depends on the system; Linux takes 128 KiB a value. */
const MAX_ENV_BYTES = 100_000;

export interface AlertSenderDeps {
  readonly config: Pick<Config, 'alerts' | 'file'>;
  readonly clock: Clock;
  readonly secrets: SecretDeps;
  /** A hook that failed for good. The error holds no secret. */
  readonly onFailure: (hook: string, event: AlertEvent, error: SluiceError) => void;
}

/** Hands events to the hooks of `alerts:` in the background: no hook is waited for, none keeps another from its event. */
export class AlertSender {
  readonly #deps: AlertSenderDeps;
  readonly #pending = new Set<Promise<void>>();
  readonly #closed = new AbortController();

  constructor(deps: AlertSenderDeps) {
    this.#deps = deps;
  }

  send(event: AlertEvent): void {
    for (const [index, hook] of this.#deps.config.alerts.entries()) {
      if (!hook.on.includes(event.kind)) continue;
      const delivery = this.#deliver(hook, event)
        .catch((error: unknown) => this.#deps.onFailure(`alerts[${index}] (${hook.type})`, event, asSluiceError(error)))
        .finally(() => this.#pending.delete(delivery));
      this.#pending.add(delivery);
    }
  }

  /** Ends when everything sent so far was delivered or given up. */
  async settled(): Promise<void> {
    await Promise.all(this.#pending);
  }

  /** Waits for deliveries under way, for {@link CLOSE_MS} at most. */
  async close(): Promise<void> {
    if (this.#pending.size > 0) {
      const done = new AbortController();
      const late = this.#deps.clock.sleep(CLOSE_MS, done.signal).catch(() => undefined);
      await Promise.race([this.settled(), late]);
      done.abort();
    }
    this.#closed.abort();
    await this.settled();
  }

  async #deliver(hook: AlertHook, event: AlertEvent): Promise<void> {
    for (let attempt = 0; ; attempt += 1) {
      const outcome = await this.#attempt(hook, event);
      if (outcome === null) return;
      const delayMs = RETRY_DELAYS_MS[attempt];
      if (!outcome.again || delayMs === undefined || this.#closed.signal.aborted) throw outcome.error;
      try {
        await this.#deps.clock.sleep(delayMs, this.#closed.signal);
      } catch {
        throw outcome.error;
      }
    }
  }

  async #attempt(hook: AlertHook, event: AlertEvent): Promise<Failure | null> {
    const deadline = new AbortController();
    const timer = new AbortController();
    this.#deps.clock.sleep(hook.timeoutMs, timer.signal).then(
      () => deadline.abort(),
      () => {}, // ended in time
    );
    const signal = AbortSignal.any([deadline.signal, this.#closed.signal]);
    try {
      switch (hook.type) {
        case 'webhook':
          return await this.#post(hook, event, signal);
        case 'command':
          return await this.#run(hook, event, signal);
        default:
          return assertNever(hook);
      }
    } finally {
      timer.abort();
    }
  }

  async #post(
    hook: Extract<AlertHook, { type: 'webhook' }>,
    event: AlertEvent,
    signal: AbortSignal,
  ): Promise<Failure | null> {
    const { secrets } = this.#deps;
    const url = await resolveSecret(hook.url, secrets);
    if (!isWebAddress(url)) return failed('the address does not begin with https:// or http://', false);
    const headers: Record<string, string> = { 'content-type': 'application/json', 'user-agent': 'sluice' };
    for (const [name, value] of Object.entries(hook.headers)) {
      headers[name.toLowerCase()] = await resolveSecret(value, secrets);
    }
    let response: Response;
    try {
      // A redirect would carry the headers to somebody who was not named.
      response = await fetch(url, {
        method: 'POST',
        headers,
        body: JSON.stringify(event),
        redirect: 'manual',
        signal,
      });
      await response.body?.cancel();
    } catch (error) {
      if (signal.aborted) return failed(`no answer within ${hook.timeoutMs / 1_000} s`, true);
      return failed(`the request failed${reasonOf(error)}`, true);
    }
    if (response.ok) return null;
    const again = response.status >= 500 || response.status === 429 || response.status === 408;
    return failed(`the answer was HTTP ${response.status}`, again);
  }

  /** What it prints is not read: it may hold anything. */
  async #run(
    hook: Extract<AlertHook, { type: 'command' }>,
    event: AlertEvent,
    signal: AbortSignal,
  ): Promise<Failure | null> {
    const { config, secrets } = this.#deps;
    const [program, ...args] = hook.command;
    const file = program.includes('/') ? absolutePath(program, path.dirname(config.file), secrets.homeDir) : program;
    const json = JSON.stringify(event);
    const env = {
      ...secrets.env,
      ...(Buffer.byteLength(json) > MAX_ENV_BYTES ? {} : { SLUICE_ALERT: json }),
    };
    return await new Promise((resolve) => {
      const child = spawn(file, args, { env, stdio: ['pipe', 'ignore', 'ignore'] });
      const kill = () => child.kill('SIGKILL');
      signal.addEventListener('abort', kill);
      const end = (failure: Failure | null): void => {
        signal.removeEventListener('abort', kill);
        resolve(failure);
      };
      child.on('error', (error) => end(failed(`the program could not be started${reasonOf(error)}`, false)));
      child.on('exit', (code, killedBy) => {
        if (code === 0) end(null);
        else if (signal.aborted) end(failed(`the program did not end within ${hook.timeoutMs / 1_000} s`, false));
        else end(failed(`the program ended with ${code === null ? killedBy : `exit code ${code}`}`, false));
      });
      // A program need not read what it is given.
      child.stdin.on('error', () => {});
      child.stdin.end(json);
      if (signal.aborted) kill();
    });
  }
}

interface Failure {
  readonly error: SluiceError;
  /** Another attempt may fare better. */
  readonly again: boolean;
}

function failed(what: string, again: boolean): Failure {
  return { again, error: new SluiceError({ code: 'ALERT_FAILED', message: `the alert was not delivered: ${what}` }) };
}

/** The system's own word for it (ECONNREFUSED, ENOENT); messages may quote the address, which may be a secret. */
function reasonOf(error: unknown): string {
  const inner: unknown = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return inner instanceof Error && 'code' in inner && typeof inner.code === 'string' ? ` (${inner.code})` : '';
}
