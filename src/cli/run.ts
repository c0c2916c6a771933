import type { Config } from '../config/config.js';
import { DaemonEngine } from '../daemon/daemon-engine.js';
import { removeDeadSocket } from '../daemon/dead-socket.js';
import { logEvent } from '../daemon/event-log.js';
import { findDaemon } from '../daemon/find-daemon.js';
import type { Log } from '../daemon/log.js';
import { asSluiceError, assertNever, SluiceError } from '../error/sluice-error.js';
import type { Clock, Engine, EngineDeps, EngineEvent, Host } from '../executor/engine.js';
import type {
  Command,
  ConfigReading,
  Context,
  Files,
  Format,
  GlobalOptions,
  LiveEvent,
  LogLevel,
  Output,
  Page,
  Question,
} from './command.js';
import { ConfigRefused } from './config-refused.js';
import type { Interview } from './interview.js';
import { completeLine, readCommandLine, requestedFormat, type Selection } from './program.js';
import { paintFor, type Sink, type Terminal } from './terminal.js';
import { errorJson, errorText } from './view/error-view.js';
import { endedBody, eventBody, eventLine } from './view/event-json.js';
import { createLiveView, type LiveView } from './view/live-view.js';
import { planText } from './view/plan-view.js';

/** Everything that the CLI needs from outside. main.ts gives the real things, tests their own. */
export interface CliDeps {
  readonly commands: readonly Command[];
  readonly version: string;
  readonly terminal: Terminal;
  readonly clock: Clock;
  /** Without the command, which the command line tells. */
  readonly host: Omit<Host, 'command'>;
  readonly files: Files;
  readSchema(): Promise<string>;
  /** @throws CONFIG_UNREADABLE */
  readConfig(file: string): Promise<ConfigReading>;
  /** The file as it was at a git ref; null where it was not there. @throws BASE_UNREADABLE */
  readBaseConfig(file: string, ref: string): Promise<ConfigReading | null>;
  /** The same of a text that is to become that file. */
  checkConfig(text: string, file: string): Promise<ConfigReading>;
  /** As readConfig, for a config that names another state. @param file the config that it stands beside */
  readStateConfig(from: string, file: string): Promise<ConfigReading>;
  readonly createEngine: (deps: EngineDeps) => Promise<Engine>;
  /** Null where nobody can be asked. */
  readonly openInterview: ((signal: AbortSignal) => Promise<Interview>) | null;
  openLog(level: Exclude<LogLevel, 'silent'>, onLine?: (line: string) => void): Promise<Log>;
  /** Calls the listener for each SIGHUP; the result takes it off again. */
  onHangup(listener: () => void): () => void;
}

const DEFAULT_HELP_COLUMNS = 80;
/** Wider help is harder to read, not easier. */
const MAX_HELP_COLUMNS = 100;

const SILENT: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/**
 * Runs one command line (without `node` and the script) from argv to exit code. Results go to stdout, everything else
 * to stderr; in JSON format an error is a document on stdout too. Never throws.
 */
export async function runCli(argv: readonly string[], deps: CliDeps, signal: AbortSignal): Promise<number> {
  const { stdout, stderr } = deps.terminal;
  const color = !argv.includes('--no-color');
  const errorPaint = paintFor({ colors: stderr.colors && color });
  const fail = (raw: unknown, format: Format, debug: boolean): number => {
    const error =
      signal.aborted && signal.reason instanceof SluiceError ? cancelled(raw, signal.reason) : asSluiceError(raw);
    if (format === 'json') stdout.write(errorJson(error));
    if (format === 'ndjson') stdout.write(eventLine(endedBody(error.exitCode, error), deps.clock.now()));
    if ((format !== 'json' && format !== 'ndjson') || debug) stderr.write(errorText(error, errorPaint, debug));
    return error.exitCode;
  };

  const debugAsked = argv.includes('--debug');
  let selection: Selection;
  try {
    const columns = Math.min(stdout.columns() ?? DEFAULT_HELP_COLUMNS, MAX_HELP_COLUMNS);
    selection = readCommandLine(argv, { commands: deps.commands, version: deps.version, columns });
  } catch (error) {
    return fail(error, requestedFormat(argv), debugAsked);
  }
  if (selection.kind === 'text') {
    (selection.exitCode === 0 ? stdout : stderr).write(selection.text);
    return selection.exitCode;
  }
  const { command, input, globals } = selection;
  const { format, debug } = globals;
  let live: LiveView | null = null;
  try {
    if (!command.formats.includes(format)) throw noSuchForm(command, format);
    const prepared = command.prepare(input);
    const level = globals.logLevel ?? 'silent';
    const log = level === 'silent' ? null : await deps.openLog(level);
    live = createLiveView(stderr, deps.clock, { color });
    const outcome = await prepared.run(makeContext({ deps, signal, globals, live, log, color, command: command.name }));
    live.stop();
    stdout.write(outcome.render(format, pageOf(stdout, { deps, color })) ?? '');
    const { verdict } = outcome;
    if (format === 'ndjson') {
      const ended = typeof verdict === 'number' ? endedBody(verdict, null) : endedBody(verdict.exitCode, verdict);
      stdout.write(eventLine(ended, deps.clock.now()));
    }
    if (typeof outcome.verdict === 'number') return outcome.verdict;
    // What stdout holds in these forms carries its error already.
    if ((format !== 'json' && format !== 'ndjson') || debug)
      stderr.write(errorText(outcome.verdict, errorPaint, debug));
    return outcome.verdict.exitCode;
  } catch (error) {
    live?.stop();
    return fail(error, format, debug);
  }
}

interface Running {
  readonly deps: CliDeps;
  readonly signal: AbortSignal;
  readonly globals: GlobalOptions;
  readonly live: LiveView;
  /** Null: --log-level was not given, or is silent. */
  readonly log: Log | null;
  readonly color: boolean;
  readonly command: string;
}

function makeContext(running: Running): Context {
  const { deps, signal, globals, live, log } = running;
  const host: Host = { ...deps.host, command: `sluice ${running.command}` };
  const show = (event: LiveEvent): void => {
    const body = globals.format === 'ndjson' ? eventBody(event) : null;
    if (body !== null) deps.terminal.stdout.write(eventLine(body, deps.clock.now()));
    if (event.kind === 'log_line') {
      const { stdout } = deps.terminal;
      if (globals.format === 'human') stdout.write(event.text(stdout.colors && running.color));
      return;
    }
    if (globals.format === 'ndjson' && (event.kind === 'plan_made' || log === null)) return;
    if (event.kind === 'status_seen') return;
    if (event.kind === 'plan_made') {
      // stdout holds exactly one document in the other formats; there the plan is part of the result.
      const sink = globals.format === 'human' ? deps.terminal.stdout : deps.terminal.stderr;
      sink.write(planText(event.plan, pageOf(sink, running)));
      return;
    }
    // Both go to stderr: a log that somebody asked for takes the place of the progress.
    if (log !== null) logEvent(log, event);
    else live.show(event);
  };
  const readConfig = async (): Promise<ConfigReading> => {
    const reading = await deps.readConfig(globals.config);
    if (reading.ok && reading.warningText !== '') deps.terminal.stderr.write(`${reading.warningText.trimEnd()}\n`);
    return reading;
  };
  const loadConfig = async (): Promise<Config> => {
    const reading = await readConfig();
    if (!reading.ok) throw new ConfigRefused(globals.config, reading);
    return reading.config;
  };
  return {
    configFile: globals.config,
    format: globals.format,
    clock: deps.clock,
    host,
    signal,
    files: deps.files,
    version: deps.version,
    readSchema: () => deps.readSchema(),
    readConfig,
    checkConfig: (text) => deps.checkConfig(text, globals.config),
    loadConfig,
    loadBaseConfig: async (ref) => {
      const reading = await deps.readBaseConfig(globals.config, ref);
      if (reading === null) return null;
      if (!reading.ok) throw new ConfigRefused(`${globals.config} at ${ref}`, reading);
      return reading.config;
    },
    loadConfigQuietly: async () => {
      const reading = await deps.readConfig(globals.config);
      if (reading.ok) return reading.config;
      const refused = new ConfigRefused(globals.config, reading);
      throw new SluiceError({ code: refused.code, message: `${refused.message}\n${refused.text.trimEnd()}` });
    },
    onHangup: deps.onHangup,
    loadStateConfig: async (from) => {
      const reading = await deps.readStateConfig(from, globals.config);
      if (!reading.ok) throw new ConfigRefused(from, reading);
      return reading.config;
    },
    createEngine: deps.createEngine,
    withActingEngine: async (use) => {
      const config = await loadConfig();
      await removeDeadSocket(config.daemon.socket);
      const local = await deps.createEngine({ config, clock: deps.clock, host, onEvent: show });
      return useAndClose(local, async () => use(await actingEngine(local, show, signal)));
    },
    withEngine: async (use, loaded) => {
      const config = loaded ?? (await loadConfig());
      await removeDeadSocket(config.daemon.socket);
      const engine = await deps.createEngine({ config, clock: deps.clock, host, onEvent: show });
      return useAndClose(engine, use);
    },
    live: show,
    confirm: (question) => confirm(question, deps.terminal, signal),
    complete: async (words) => completeLine(words, { commands: deps.commands, version: deps.version, columns: 80 }),
    screen: screenOf(running),
    readerIsGone: () => !deps.terminal.stdout.isOpen(),
    output: outputOf(deps.terminal.stdout, running),
    openInterview: async () => deps.openInterview?.(signal) ?? null,
    openLog: async (defaultLevel, onLine) => {
      const level = globals.logLevel ?? defaultLevel;
      if (level === 'silent') return SILENT;
      return onLine === undefined ? (log ?? deps.openLog(level)) : deps.openLog(level, onLine);
    },
  };
}

function screenOf({ deps, color }: Running): Context['screen'] {
  const { openScreen, stdout } = deps.terminal;
  return openScreen === null ? null : { open: openScreen, paint: paintFor({ colors: stdout.colors && color }) };
}

function outputOf(stdout: Sink, running: Running): Output {
  return {
    page: pageOf(stdout, running),
    isTty: stdout.isTty,
    write: async (piece) => {
      stdout.write(piece);
      await stdout.drained();
    },
  };
}

function pageOf(sink: Sink, running: Pick<Running, 'deps' | 'color'>): Page {
  return {
    paint: paintFor({ colors: sink.colors && running.color }),
    columns: sink.columns(),
    now: running.deps.clock.now(),
  };
}

/** The daemon's engine where one works with the same config, else the one of this process. */
async function actingEngine(local: Engine, show: (event: EngineEvent) => void, signal: AbortSignal): Promise<Engine> {
  const onApart = (why: string): void =>
    show({ kind: 'notice', address: 'daemon', message: `${why}; this command works without it` });
  const onReload = (): void =>
    show({ kind: 'waiting', address: 'daemon', what: 'the daemon takes the changed config over' });
  const found = await findDaemon(local.config, onReload, signal);
  switch (found.kind) {
    case 'none':
      return local;
    case 'agrees':
      return new DaemonEngine({ local, onEvent: show, onApart });
    case 'apart':
      onApart(found.why);
      return local;
    default:
      return assertNever(found);
  }
}

/** An error of the work goes before one of closing: it is the likely reason for it. */
async function useAndClose<T>(engine: Engine, use: (engine: Engine) => Promise<T>): Promise<T> {
  let result: T;
  try {
    result = await use(engine);
  } catch (error) {
    await engine.close().catch(() => undefined);
    throw error;
  }
  await engine.close();
  return result;
}

async function confirm(question: Question, terminal: Terminal, signal: AbortSignal): Promise<boolean> {
  if (terminal.ask === null) {
    throw new SluiceError({
      code: 'CONSENT_NEEDED',
      message: `${question.what} needs consent, and there is no terminal to ask on`,
      hint: `run it again with --yes${question.what === 'apply' ? ', or apply a reviewed plan: sluice apply PLAN' : ''}`,
    });
  }
  const answer = await terminal.ask(`${question.text} yes/no: `, signal);
  return /^\s*y(es)?\s*$/i.test(answer ?? '');
}

/** What fails after a stop was asked for fails because of it: the reason is told, the failure is its cause. */
function cancelled(raw: unknown, reason: SluiceError): SluiceError {
  if (raw === reason) return reason;
  const error = asSluiceError(raw);
  if (error.code === 'CANCELLED') return reason;
  return new SluiceError({ code: reason.code, message: reason.message, cause: error });
}

function noSuchForm(command: Command, format: Format): SluiceError {
  return new SluiceError({
    code: 'USAGE',
    message: `${command.name} has no ${format} form`,
    hint: `--format ${command.formats.join(' or --format ')}`,
  });
}
