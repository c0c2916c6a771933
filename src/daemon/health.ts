import type { PlainError } from '../error/sluice-error.js';

/** One reason not to be ready; `code` where an error is behind it. */
export interface NotReady {
  readonly reason: 'starting' | 'not_planned' | 'engine_stopped' | 'stopping';
  readonly message: string;
}

export interface Readiness {
  readonly ready: boolean;
  readonly reasons: readonly NotReady[];
  readonly config: { readonly file: string; readonly valid: boolean; readonly error: PlainError | null };
}

/** What the daemon knows of itself. That a source lags or a server is away is for metrics and alerts, not for this. */
export class DaemonHealth {
  #phase: 'starting' | 'running' | 'stopping' = 'starting';
  #engineAlive = false;
  #planned = false;
  #planTrouble: PlainError | null = null;
  #configError: PlainError | null = null;

  constructor(private readonly file: string) {}

  /** The engine of a config has begun its work; it has not planned yet. */
  engineStarted(): void {
    if (this.#phase === 'starting') this.#phase = 'running';
    this.#engineAlive = true;
  }

  engineEnded(): void {
    this.#engineAlive = false;
  }

  /** The config was compared with what is there. Stays so: a later plan that fails takes nothing back. */
  planned(): void {
    this.#planned = true;
    this.#planTrouble = null;
  }

  planFailed(error: PlainError): void {
    this.#planTrouble = error;
  }

  /** Null: the file as it is now is the one in use. */
  configIs(error: PlainError | null): void {
    this.#configError = error;
  }

  get configError(): PlainError | null {
    return this.#configError;
  }

  stopping(): void {
    this.#phase = 'stopping';
  }

  readiness(): Readiness {
    const reasons: NotReady[] = [];
    if (this.#phase === 'starting') reasons.push({ reason: 'starting', message: 'the daemon starts' });
    if (this.#phase === 'stopping') reasons.push({ reason: 'stopping', message: 'the daemon stops' });
    if (this.#phase === 'running' && !this.#engineAlive) {
      reasons.push({
        reason: 'engine_stopped',
        message: 'the engine does not run: another config takes over, or it failed',
      });
    }
    if (!this.#planned) {
      const why = this.#planTrouble === null ? '' : `: ${this.#planTrouble.code} ${this.#planTrouble.message}`;
      reasons.push({ reason: 'not_planned', message: `the config has not been compared with what is there${why}` });
    }
    return {
      ready: reasons.length === 0,
      reasons,
      config: { file: this.file, valid: this.#configError === null, error: this.#configError },
    };
  }
}
