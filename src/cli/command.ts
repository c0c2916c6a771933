import type { Config } from '../config/config.js';
import type { Log } from '../daemon/log.js';
import { assertNever, type SluiceError, toPlain } from '../error/sluice-error.js';
import type { Clock, Engine, EngineDeps, EngineEvent, Host } from '../executor/engine.js';
import type { Plan } from '../planner/change.js';
import type { Completion } from './completion.js';
import type { Interview } from './interview.js';
import type { Screen } from './screen.js';
import type { Paint } from './terminal.js';
import { type EventBody, eventLine } from './view/event-json.js';
import { jsonText } from './view/json.js';

/**
 * A command is declared once, as plain data with three functions: `parse` turns argv into a value, `run` does the work
 * and prints nothing, `views` turn the result into text. Parser, help, docs and completion are made from the data.
 */

export interface ArgumentSpec {
  readonly name: string;
  readonly description: string;
  readonly required: boolean;
  /** Takes all that follow; only the last argument may. */
  readonly variadic?: boolean;
  /** Absent: anything. */
  readonly choices?: readonly string[];
}

export type OptionSpec =
  /** `short` is one letter. */
  | { readonly kind: 'flag'; readonly name: string; readonly short?: string; readonly description: string }
  | {
      readonly kind: 'value';
      readonly name: string;
      readonly short?: string;
      readonly placeholder: string;
      readonly description: string;
      /** Absent: anything. */
      readonly choices?: readonly string[];
    }
  /** May be given several times. */
  | { readonly kind: 'list'; readonly name: string; readonly placeholder: string; readonly description: string };

export interface Example {
  /** Without the leading `sluice`. */
  readonly command: string;
  readonly text: string;
}

/** What the command line held for one command. Names are those of the declaration; asking for others is a fault. */
export interface Input {
  flag(name: string): boolean;
  value(name: string): string | null;
  list(name: string): readonly string[];
  argument(name: string): string | null;
  /** Of a variadic argument. */
  rest(name: string): readonly string[];
}

export const FORMATS = ['human', 'json', 'csv', 'markdown', 'ndjson', 'arrow'] as const;
export type Format = (typeof FORMATS)[number];

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface GlobalOptions {
  readonly config: string;
  readonly format: Format;
  /** Null: the command's own default. */
  readonly logLevel: LogLevel | null;
  readonly debug: boolean;
}

/** What a view knows of the place that its text goes to. */
export interface Page {
  readonly paint: Paint;
  /** Null where lines may be of any length. */
  readonly columns: number | null;
  readonly now: Date;
}

/** What happens while a command runs, for the live view; everything else waits for the result. */
export type LiveEvent =
  | EngineEvent
  | { readonly kind: 'plan_made'; readonly plan: Plan }
  /** One of several looks. */
  | { readonly kind: 'status_seen'; readonly document: Readonly<Record<string, unknown>> }
  /** Of the daemon's log: `record` is the line itself, `text` how people read it. */
  | { readonly kind: 'log_line'; readonly record: object; readonly text: (colors: boolean) => string };

export interface Question {
  /** One line, without the choice of answers. */
  readonly text: string;
  /** The command, for the refusal where nobody can answer. */
  readonly what: string;
}

export interface Files {
  /** Resolves against the working directory. */
  readText(path: string): Promise<string>;
  writeText(path: string, text: string): Promise<void>;
  /**
   * Puts a text in the place of a file that is there: whole or not at all, with its mode, behind a symbolic link.
   * @throws SluiceError CONFIG_UNWRITABLE
   */
  replaceText(path: string, text: string): Promise<void>;
  /** Writes a file that must not be there yet. @throws SluiceError CONFIG_UNWRITABLE */
  createText(path: string, text: string): Promise<void>;
}

/** The config file after loading. `problems` and `warnings` are plain data for JSON, the texts are for people. */
export type ConfigReading =
  | {
      readonly ok: true;
      readonly config: Config;
      readonly warnings: readonly object[];
      readonly warningText: string;
    }
  | {
      readonly ok: false;
      /** Mistakes and warnings. */
      readonly problems: readonly object[];
      readonly mistakes: number;
      readonly text: string;
    };

export type RefusedReading = Extract<ConfigReading, { readonly ok: false }>;

/** All that a command's `run` may touch. */
export interface Context {
  /** As given with --config. */
  readonly configFile: string;
  readonly format: Format;
  readonly clock: Clock;
  readonly host: Host;
  readonly signal: AbortSignal;
  readonly files: Files;
  /** Of the package. */
  readonly version: string;
  /** The JSON Schema of the config file, as text. */
  readSchema(): Promise<string>;
  /** The config or its problems. @throws CONFIG_UNREADABLE */
  readConfig(): Promise<ConfigReading>;
  /** As readConfig, of a text that is to become the file. */
  checkConfig(text: string): Promise<ConfigReading>;
  /** As readConfig, where a config is a must. @throws ConfigRefused with every problem of the file */
  loadConfig(): Promise<Config>;
  /**
   * The config file as it was at a git ref; null where it was not there.
   * @throws BASE_UNREADABLE, ConfigRefused
   */
  loadBaseConfig(ref: string): Promise<Config | null>;
  /** As loadConfig, without its warnings on stderr, and with all problems in the error's message: for a log. */
  loadConfigQuietly(): Promise<Config>;
  /** Calls the listener for each SIGHUP until the result is called; else that signal ends the process. */
  readonly onHangup: (listener: () => void) => () => void;
  /**
   * A config whose `state:` names another place: a file, or the block itself as `{ type: ... }` beside this config.
   * @throws ConfigRefused, CONFIG_UNREADABLE
   */
  readonly loadStateConfig: (from: string) => Promise<Config>;
  readonly createEngine: (deps: EngineDeps) => Promise<Engine>;
  /**
   * Opens an engine whose events go to the live view, and closes it again whatever happens.
   * @param loaded the config; absent: it is loaded
   */
  withEngine<T>(use: (engine: Engine) => Promise<T>, loaded?: Config): Promise<T>;
  /** As withEngine, for what changes something: where a daemon works with this config, its engine does that. */
  withActingEngine<T>(use: (engine: Engine) => Promise<T>): Promise<T>;
  readonly live: (event: LiveEvent) => void;
  /** Asks a person. @throws CONSENT_NEEDED where none can be asked */
  readonly confirm: (question: Question) => Promise<boolean>;
  /** What may stand at the end of a line that is being typed. @param words behind `sluice` */
  readonly complete: (words: readonly string[]) => Promise<Completion>;
  /** The terminal as a whole, for a command that fills it; null where input or output is none. */
  readonly screen: { open(): Screen; readonly paint: Paint } | null;
  /** Nobody reads stdout any more. */
  readonly readerIsGone: () => boolean;
  /** Stdout, for results that are too large to be held: only a command with {@link CommandSpec.streams} writes to it. */
  readonly output: Output;
  /** Several questions to a person; null where nobody can be asked. */
  readonly openInterview: () => Promise<Interview | null>;
  /** Opens the log on stderr at --log-level, else at the given level. @param onLine hears each line, as JSON */
  openLog(defaultLevel: LogLevel, onLine?: (line: string) => void): Promise<Log>;
}

/** Where a command writes its result piece by piece. */
export interface Output {
  readonly page: Page;
  readonly isTty: boolean;
  /** Resolves when there is room for more, so that a slow reader slows the work and fills no memory. */
  write(piece: string | Uint8Array): Promise<void>;
}

export interface Views<Result> {
  readonly human: (result: Result, page: Page) => string;
  /** Arrays are empty, never null; `format_version` is added in front. */
  readonly json: (result: Result) => Readonly<Record<string, unknown>>;
  readonly csv?: (result: Result) => string;
  readonly markdown?: (result: Result) => string;
  /** The events that tell the result, after those of the work itself; run.ts ends them with one of its own. */
  readonly ndjson?: (result: Result) => readonly EventBody[];
}

export interface CommandSpec<Args, Result> {
  /** Two words for a command in a group: `cdc setup-sql`. */
  readonly name: string;
  readonly summary: string;
  /** Paragraphs for --help; what the summary leaves open. */
  readonly description: string;
  /** Left out of help and completion: not for people. */
  readonly hidden?: boolean;
  readonly arguments: readonly ArgumentSpec[];
  readonly options: readonly OptionSpec[];
  readonly examples: readonly Example[];
  /** @throws USAGE */
  readonly parse: (input: Input) => Args;
  readonly run: (args: Args, context: Context) => Promise<Result>;
  /** Absent for a command that {@link streams}. */
  readonly views?: Views<Result>;
  /** The forms that `run` itself writes to the output, piece by piece, in the place of views. */
  readonly streams?: readonly Format[];
  /** The exit code of a result, or the error that it amounts to. Absent: always 0. */
  readonly verdict?: (result: Result) => number | SluiceError;
}

export interface Outcome {
  readonly verdict: number | SluiceError;
  /** The result in a format; null where the command has no such view. */
  render(format: Format, page: Page): string | null;
}

/** A command with its types sealed in, so that commands of any kind stand in one list. */
export interface Command {
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  readonly hidden: boolean;
  readonly arguments: readonly ArgumentSpec[];
  readonly options: readonly OptionSpec[];
  readonly examples: readonly Example[];
  readonly formats: readonly Format[];
  /** `args` is what was parsed, for tests and traces. @throws USAGE */
  prepare(input: Input): { readonly args: unknown; run(context: Context): Promise<Outcome> };
}

export function command<Args, Result>(spec: CommandSpec<Args, Result>): Command {
  const { views, streams = [] } = spec;
  return {
    name: spec.name,
    summary: spec.summary,
    description: spec.description,
    hidden: spec.hidden === true,
    arguments: spec.arguments,
    options: spec.options,
    examples: spec.examples,
    formats: FORMATS.filter((format) => streams.includes(format) || hasView(views, format)),
    prepare(input) {
      const args = spec.parse(input);
      return {
        args,
        async run(context) {
          const result = await spec.run(args, context);
          const verdict = spec.verdict?.(result) ?? 0;
          return {
            verdict,
            render: (format, page) => (views === undefined ? null : renderResult(views, result, verdict, format, page)),
          };
        },
      };
    },
  };
}

function hasView<Result>(views: Views<Result> | undefined, format: Format): boolean {
  return views !== undefined && format !== 'arrow' && views[format] !== undefined;
}

function renderResult<Result>(
  views: Views<Result>,
  result: Result,
  verdict: number | SluiceError,
  format: Format,
  page: Page,
): string | null {
  switch (format) {
    case 'human':
      return views.human(result, page);
    case 'json':
      return jsonText({ ...views.json(result), ...(typeof verdict === 'number' ? {} : { error: toPlain(verdict) }) });
    case 'csv':
      return views.csv?.(result) ?? null;
    case 'arrow':
      return null;
    case 'markdown':
      return views.markdown?.(result) ?? null;
    case 'ndjson':
      return (
        views
          .ndjson?.(result)
          .map((body) => eventLine(body, page.now))
          .join('') ?? null
      );
    default:
      return assertNever(format);
  }
}
