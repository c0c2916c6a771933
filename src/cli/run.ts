import type { Config } from '../config/config.js';
import { logEvent } from '../daemon/event-log.js';
import type { Log } from '../daemon/log.js';
import { asSluiceError, SluiceError } from '../error/sluice-error.js';
import type { Clock, Engine, EngineDeps, Host } from '../executor/engine.js';
import type {
  Command,
  ConfigReading,
  Context,
  Files,
  Format,
  GlobalOptions,
  LiveEvent,
  LogLevel,
  Page,
  Question,
} from './command.js';
import { ConfigRefused } from './config-refused.js';
import { readCommandLine, requestedFormat, type Selection } from './program.js';
import { paintFor, type Sink, type Terminal } from './terminal.js';
import { errorJson, errorText } from './view/error-view.js';
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
  readonly createEngine: (deps: EngineDeps) => Promise<Engine>;
  openLog(level: Exclude<LogLevel, 'silent'>): Promise<Log>;
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
    if (format !== 'json' || debug) stderr.write(errorText(error, errorPaint, debug));
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
    if (typeof outcome.verdict === 'number') return outcome.verdict;
    // The JSON document of the result carries its error already.
    if (format !== 'json' || debug) stderr.write(errorText(outcome.verdict, errorPaint, debug));
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
    clock: deps.clock,
    host,
    signal,
    files: deps.files,
    version: deps.version,
    readSchema: () => deps.readSchema(),
    readConfig,
    loadConfig,
    createEngine: deps.createEngine,
    withEngine: async (use) => {
      const engine = await deps.createEngine({ config: await loadConfig(), clock: deps.clock, host, onEvent: show });
      return useAndClose(engine, use);
    },
    live: show,
    confirm: (question) => confirm(question, deps.terminal, signal),
    openLog: async (defaultLevel) => {
      const level = globals.logLevel ?? defaultLevel;
      return level === 'silent' ? SILENT : (log ?? deps.openLog(level));
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
