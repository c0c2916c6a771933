import { isDeepStrictEqual } from 'node:util';
import type { Config } from '../config/config.js';
import { namedFiles } from '../config/named-files.js';
import { asSluiceError, type PlainError, SluiceError, toPlain } from '../error/sluice-error.js';
import type { Clock, Engine, EngineDeps, Host, StatusReport } from '../executor/engine.js';
import { Mutex } from '../executor/mutex.js';
import { newsOnly } from '../executor/news-only.js';
import { AskedWork } from './asked-work.js';
import type { ConfigWatch } from './config-watch.js';
import type { DaemonBlock } from './control-protocol.js';
import type { ControlRoutes, ControlSocket } from './control-socket.js';
import { Doors, type OtherDoors } from './doors.js';
import { logEvent, logPendingCleanup } from './event-log.js';
import { DaemonHealth } from './health.js';
import { type HttpServer, startHttpServer } from './http-server.js';
import type { Log } from './log.js';
import { LogRing } from './log-ring.js';
import { DaemonMetrics } from './metrics.js';
import type { FirstPlan, ReloadOutcome } from './reload.js';
import { SelfReport } from './self-report.js';
import { aborted, DaemonSession } from './session.js';
import { SessionObserver } from './session-observer.js';
import { NO_SERVICE, type ServiceNotifier } from './systemd/notifier.js';

export interface DaemonDeps {
  readonly createEngine: (deps: EngineDeps) => Promise<Engine>;
  readonly config: Config;
  /** Reads the file anew. @throws SluiceError CONFIG_INVALID, CONFIG_UNREADABLE */
  readonly loadConfig: () => Promise<Config>;
  /** Tells of every change of the file, and of those beside it that are named to the watch; null: nobody watches. */
  readonly watchConfig: ((onChange: (files: ReadonlySet<string>) => void) => Promise<ConfigWatch>) | null;
  /** Calls the listener for each SIGHUP; the result takes it off again. */
  readonly onHangup: (listener: () => void) => () => void;
  readonly clock: Clock;
  readonly host: Host;
  readonly log: Log;
  readonly version: string;
  /** The last lines of `log`; default: none are kept. */
  readonly logRing?: LogRing;
  /** The document of `sluice status --format json`. @param daemon its `daemon` block; null: without */
  readonly statusDocument: (report: StatusReport, daemon: DaemonBlock | null) => string;
  /** Opens the door for other commands at `daemon.socket`; default: there is none. */
  readonly openControl?: (path: string, routes: ControlRoutes) => Promise<ControlSocket>;
  /** How often the slots are looked at; default {@link GUARD_EVERY_MS}. */
  readonly guardEveryMs?: number;
  /** How soon what is left of removed sources is tried again first; default {@link CLEAN_UP_EVERY_MS}. */
  readonly cleanUpEveryMs?: number;
  /** Hears how far the daemon is; default: nobody. */
  readonly service?: ServiceNotifier;
}

/** With the 10 s that one look may take, a slot is looked at every 30 s even where every other look fails. */
const GUARD_EVERY_MS = 15_000;

/** It is tried ever later while nothing changes. */
const CLEAN_UP_EVERY_MS = 30_000;

/** Why a reload is made though the config says what is in use. */
const STORE_FILE = 'a file that a store in S3 is opened with has changed';

/** Why a reload is made that somebody waits for. */
const ASKED = 'sluice reload';

/** SIGTERM has to be through within 10 s (law 10); the rest is for the process to end. */
const DRAIN_MS = 8_000;

/**
 * Keeps everything of a config in step until the signal aborts: applies at its start what it may, then runs what is due,
 * and goes over to what the file says whenever that changes. Resolves when the work under way has ended, at the latest
 * {@link DRAIN_MS} after the abort; what was not committed by then is done again by the next start.
 * @throws what the engine's making threw, LISTEN_FAILED, DAEMON_RUNNING, and faults of the loop itself; errors of sources,
 *   syncs and later configs are logged
 */
export async function runDaemon(deps: DaemonDeps, signal: AbortSignal): Promise<void> {
  const { log } = deps;
  const daemon = new Daemon(deps);
  const { service = NO_SERVICE } = deps;
  try {
    await daemon.start();
    const watched = service.watch(signal);
    const stopping = aborted(signal).then(() => service.stopping());
    const ended = await endsInTime(daemon.work(signal), deps.clock, signal);
    await Promise.all([watched, stopping]);
    if (ended) log.info({}, 'daemon stopped');
    else log.warn({ drain_ms: DRAIN_MS }, 'stopped before the work under way had ended; the next start does it again');
  } finally {
    await daemon.close();
  }
}

interface Observed {
  readonly session: DaemonSession;
  readonly observer: SessionObserver;
}

class Daemon {
  readonly #deps: DaemonDeps;
  readonly #metrics: DaemonMetrics;
  readonly #health: DaemonHealth;
  /** One reload at a time. */
  readonly #reloading = new Mutex();
  #current: DaemonSession | null = null;
  /** Takes over when the current one has ended. */
  #next: DaemonSession | null = null;
  readonly #doors: Doors;
  #watch: ConfigWatch | null = null;
  #stopHangups: () => void = () => undefined;
  /** What was logged of a broken file, so that it is logged once. */
  #lastComplaint: string | null = null;
  #stopping = false;
  /** Resolves when {@link #stopping} becomes true, for what waits for a session that may never plan. */
  readonly #stopped: Promise<void>;
  #tellStopped: () => void = () => undefined;
  /** Of the session that runs, or is about to. */
  #observer: SessionObserver | null = null;
  readonly #report: SelfReport;
  readonly #asked: AskedWork;
  readonly #service: ServiceNotifier;

  constructor(deps: DaemonDeps) {
    this.#deps = deps;
    this.#service = deps.service ?? NO_SERVICE;
    this.#metrics = new DaemonMetrics({ version: deps.version, now: () => deps.clock.now() });
    this.#health = new DaemonHealth(deps.config.file);
    const { config, version, host, clock } = deps;
    this.#report = new SelfReport({ pid: host.pid, version, config, now: clock.now() });
    this.#stopped = new Promise((resolve) => {
      this.#tellStopped = resolve;
    });
    this.#asked = new AskedWork({ log: deps.log, clock });
    this.#doors = new Doors({
      listen: (address) => this.#listen(address),
      openControl: (path) => this.#openControl(path),
    });
  }

  /** A reload that is asked for meanwhile waits until all is there. */
  start(): Promise<void> {
    return this.#reloading.run(() => this.#start());
  }

  async #start(): Promise<void> {
    const { config, log, clock, watchConfig, onHangup } = this.#deps;
    await this.#doors.openControl(config);
    const made = await this.#makeSession(config);
    this.#current = made.session;
    this.#observer = made.observer;
    await this.#doors.openHttp(config);
    this.#metrics.configLoaded(clock.now());
    this.#stopHangups = onHangup(() => void this.reload('SIGHUP'));
    log.info({ file: config.file, sources: Object.keys(config.sources) }, 'daemon started');
    await this.#service.ready(readyText(config));
    if (watchConfig === null) return;
    this.#watch = await watchConfig((files) => this.#filesChanged(files));
    await this.#watchNamedFiles(config);
    // It may have changed since it was read.
    void this.reload('start');
  }

  /** Runs one session after the other until the signal aborts. */
  async work(signal: AbortSignal): Promise<void> {
    const onStop = (): void => {
      this.#health.stopping();
      this.#stop();
    };
    signal.addEventListener('abort', onStop, { once: true });
    if (signal.aborted) onStop();
    try {
      while (this.#current !== null) {
        this.#health.engineStarted();
        await this.#current.run(signal);
        this.#health.engineEnded();
        const next = this.#next;
        this.#next = null;
        if (signal.aborted || next === null) {
          await next?.engine.close();
          return;
        }
        this.#current = next;
        this.#metrics.forgetSources();
        this.#report.configIs(next.config, this.#deps.clock.now());
      }
    } finally {
      this.#health.engineEnded();
      // A fault ends it as well.
      this.#stop();
      signal.removeEventListener('abort', onStop);
    }
  }

  async close(): Promise<void> {
    this.#stop();
    this.#stopHangups();
    await this.#watch?.close();
    await this.#doors.close();
  }

  #stop(): void {
    this.#stopping = true;
    this.#tellStopped();
  }

  /**
   * What connections are opened with is read for each of them anew, so what was held back for it may go now. A store in
   * S3 keeps what it was opened with, so that another session is needed.
   */
  #filesChanged(files: ReadonlySet<string>): void {
    const running = this.#current;
    if (running === null || files.has(running.config.file)) {
      void this.reload('the file has changed');
    } else if (namedFiles(running.config).ofStores.some((file) => files.has(file))) {
      void this.reload(STORE_FILE);
    } else {
      this.#deps.log.info({ files: [...files] }, 'a file that the config names has changed');
      running.tryAgain();
    }
  }

  async #watchNamedFiles(config: Config): Promise<void> {
    const { ofConnections, ofStores } = namedFiles(config);
    await this.#watch?.beside([...new Set([...ofConnections, ...ofStores])]);
  }

  /** Reads the file and goes over to it, where it is right and says something else than what is in use. Never throws. */
  reload(because: string): Promise<ReloadOutcome> {
    return this.#reloading.run(async () => {
      const outcome = await this.#reload(because);
      const now = this.#deps.clock.now();
      switch (outcome.kind) {
        case 'unchanged':
          this.#metrics.configLoaded(now);
          this.#health.configIs(null);
          break;
        case 'applied':
          this.#metrics.configReloaded('applied', now);
          this.#health.configIs(null);
          break;
        case 'refused':
        case 'failed':
          // The stop says nothing about the file.
          if (outcome.error.code === 'CANCELLED') break;
          this.#metrics.configReloaded(outcome.kind, now);
          this.#health.configIs(outcome.error);
          this.#complain(outcome.error);
      }
      return outcome;
    });
  }

  async #reload(because: string): Promise<ReloadOutcome> {
    const { log } = this.#deps;
    const running = this.#current;
    let config: Config;
    try {
      config = await this.#deps.loadConfig();
    } catch (error) {
      return { kind: 'refused', error: toPlain(asSluiceError(error)) };
    }
    if (running !== null && because !== STORE_FILE && isDeepStrictEqual(config, running.config)) {
      if (this.#lastComplaint !== null) log.info({ file: config.file }, 'the config is right again, as it is in use');
      else if (because !== 'start') log.info({ file: config.file, because }, 'the config says what is in use');
      this.#lastComplaint = null;
      return { kind: 'unchanged', plan: because === ASKED ? await this.#planOfRunning() : null };
    }
    let made: Observed;
    let doors: OtherDoors | null = null;
    try {
      this.#insistOnGoingOn();
      doors = await this.#doors.prepare(config);
      made = await this.#makeSession(config);
    } catch (error) {
      await doors?.discard();
      return { kind: 'failed', error: toPlain(asSluiceError(error)) };
    }
    if (this.#stopping) {
      await Promise.allSettled([doors.discard(), made.session.engine.close()]);
      return { kind: 'failed', error: toPlain(stops()) };
    }
    // From here to finish() without a pause: a stop in between would leave a session that nobody ends.
    this.#next = made.session;
    this.#observer = made.observer;
    running?.finish();
    log.info({ file: config.file, because, sources: Object.keys(config.sources) }, 'going over to the changed config');
    this.#lastComplaint = null;
    await Promise.all([doors.use(), this.#service.reloading(), this.#watchNamedFiles(config)]);
    const plan = await Promise.race([made.observer.firstPlan, this.#stopped.then(() => null)]);
    if (plan === null) return { kind: 'failed', error: toPlain(stops()) };
    await this.#service.ready(readyText(config));
    return { kind: 'applied', plan };
  }

  /** The watch may have been faster than whoever asks; what the config came to is news to them all the same. */
  async #planOfRunning(): Promise<FirstPlan | null> {
    const observer = this.#observer;
    if (observer === null) return null;
    const plan = await Promise.race([observer.firstPlan, this.#stopped.then(() => null)]);
    return plan === null ? null : observer.lastPlan;
  }

  /** @throws SluiceError CANCELLED */
  #insistOnGoingOn(): void {
    if (this.#stopping) throw stops();
  }

  #complain(error: PlainError): void {
    const { log, config } = this.#deps;
    const complaint = JSON.stringify(error);
    if (complaint === this.#lastComplaint) return;
    this.#lastComplaint = complaint;
    void this.#service.status('the changed config is not used; the last good one goes on');
    log.error({ file: config.file, error }, 'the changed config is not used; the last good one goes on');
  }

  async #makeSession(config: Config): Promise<Observed> {
    const { clock, host, log, createEngine } = this.#deps;
    const { guardEveryMs = GUARD_EVERY_MS, cleanUpEveryMs = CLEAN_UP_EVERY_MS } = this.#deps;
    // A sync comes round every few minutes, and what it notices of a server rarely changes.
    const isNews = newsOnly();
    const engine = await createEngine({
      config,
      clock,
      host,
      onEvent: (event) => {
        this.#metrics.onEvent(event);
        this.#report.onEvent(event, clock.now());
        if (isNews(event)) logEvent(log, event);
        this.#asked.hear(event);
      },
    });
    const observer = new SessionObserver({
      health: this.#health,
      metrics: this.#metrics,
      report: this.#report,
      clock,
    });
    const session = new DaemonSession({
      engine,
      clock,
      log,
      guardEveryMs,
      cleanUpEveryMs,
      onPendingCleanup: (pending) => {
        this.#metrics.pendingCleanup(pending);
        logPendingCleanup(log, pending);
      },
      observer,
    });
    return { session, observer };
  }

  async #listen(listen: string): Promise<HttpServer> {
    const server = await startHttpServer(listen, {
      health: this.#health,
      metrics: this.#metrics,
      status: async (signal) => this.#deps.statusDocument(await this.#status(signal), null),
    });
    this.#deps.log.info({ url: server.url }, 'serving health, metrics and status');
    return server;
  }

  async #openControl(path: string): Promise<ControlSocket | null> {
    const facts = (): DaemonBlock => this.#report.block(this.#health.configError);
    return (
      (await this.#deps.openControl?.(path, {
        facts,
        status: async (signal) => this.#deps.statusDocument(await this.#status(signal), facts()),
        reload: () => this.reload(ASKED),
        log: this.#deps.logRing ?? new LogRing(),
        call: async ({ call, configHash }, tell, signal) =>
          this.#asked.run(await this.#sessionOf(configHash), call, tell, signal),
      })) ?? null
    );
  }

  /** @throws SluiceError DAEMON_STOPPED where the config in use is another one, or the daemon stops */
  async #sessionOf(configHash: string): Promise<DaemonSession> {
    // It can be asked before all is there.
    if (this.#current === null && !this.#stopping) await this.#reloading.run(async () => undefined);
    const session = this.#current;
    if (session !== null && !this.#stopping && session.config.hash === configHash) return session;
    throw new SluiceError({
      code: 'DAEMON_STOPPED',
      message: `the daemon ${session === null || this.#stopping ? 'stops' : 'has gone over to another config'}`,
      hint: 'run it again',
    });
  }

  async #status(signal: AbortSignal): Promise<StatusReport> {
    if (this.#current === null) throw stops();
    return this.#current.engine.status(signal);
  }
}

function stops(): SluiceError {
  return new SluiceError({
    code: 'CANCELLED',
    message: 'the daemon stops before the config is planned',
    hint: 'its next start reads the file as it is then',
  });
}

function readyText(config: Config): string {
  const sources = Object.keys(config.sources).length;
  return `${sources} ${sources === 1 ? 'source' : 'sources'} of ${config.file}`;
}

/** False when the work goes on longer after the abort than it may. */
async function endsInTime(work: Promise<void>, clock: Clock, signal: AbortSignal): Promise<boolean> {
  const timer = new AbortController();
  const late = aborted(signal).then(async () => {
    await clock.sleep(DRAIN_MS, timer.signal);
    return false;
  });
  // Cancelled when the work is through; and work that is given up on may fail unseen.
  late.catch(() => undefined);
  work.catch(() => undefined);
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    timer.abort();
  }
}
