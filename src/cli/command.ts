import type { Config } from '../config/config.js';
import type { Log } from '../daemon/log.js';
import { assertNever, type SluiceError, toPlain } from '../error/sluice-error.js';
import type { Clock, Engine, EngineDeps, EngineEvent, Host } from '../executor/engine.js';
import type { Plan } from '../planner/change.js';
import type { Paint } from './terminal.js';
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
}

export type OptionSpec =
  | { readonly kind: 'flag'; readonly name: string; readonly description: string }
  | { readonly kind: 'value'; readonly name: string; readonly placeholder: string; readonly description: string }
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

export type Format = 'human' | 'json' | 'csv';
export const FORMATS: readonly Format[] = ['human', 'json', 'csv'];

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
export type LiveEvent = EngineEvent | { readonly kind: 'plan_made'; readonly plan: Plan };

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
  /** As readConfig, where a config is a must. @throws ConfigRefused with every problem of the file */
  loadConfig(): Promise<Config>;
  readonly createEngine: (deps: EngineDeps) => Promise<Engine>;
  /** Loads the config, opens an engine whose events go to the live view, and closes it again whatever happens. */
  withEngine<T>(use: (engine: Engine) => Promise<T>): Promise<T>;
  readonly live: (event: LiveEvent) => void;
  /** Asks a person. @throws CONSENT_NEEDED where none can be asked */
  readonly confirm: (question: Question) => Promise<boolean>;
  /** Opens the log on stderr at --log-level, else at the given level. */
  openLog(defaultLevel: LogLevel): Promise<Log>;
}

export interface Views<Result> {
  readonly human: (result: Result, page: Page) => string;
  /** Arrays are empty, never null; `format_version` is added in front. */
  readonly json: (result: Result) => Readonly<Record<string, unknown>>;
  readonly csv?: (result: Result) => string;
}

export interface CommandSpec<Args, Result> {
  /** Two words for a command in a group: `cdc setup-sql`. */
  readonly name: string;
  readonly summary: string;
  /** Paragraphs for --help; what the summary leaves open. */
  readonly description: string;
  readonly arguments: readonly ArgumentSpec[];
  readonly options: readonly OptionSpec[];
  readonly examples: readonly Example[];
  /** @throws USAGE */
  readonly parse: (input: Input) => Args;
  readonly run: (args: Args, context: Context) => Promise<Result>;
  readonly views: Views<Result>;
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
  readonly arguments: readonly ArgumentSpec[];
  readonly options: readonly OptionSpec[];
  readonly examples: readonly Example[];
  readonly formats: readonly Format[];
  /** `args` is what was parsed, for tests and traces. @throws USAGE */
  prepare(input: Input): { readonly args: unknown; run(context: Context): Promise<Outcome> };
}

export function command<Args, Result>(spec: CommandSpec<Args, Result>): Command {
  const { views } = spec;
  return {
    name: spec.name,
    summary: spec.summary,
    description: spec.description,
    arguments: spec.arguments,
    options: spec.options,
    examples: spec.examples,
    formats: views.csv === undefined ? ['human', 'json'] : FORMATS,
    prepare(input) {
      const args = spec.parse(input);
      return {
        args,
        async run(context) {
          const result = await spec.run(args, context);
          const verdict = spec.verdict?.(result) ?? 0;
          return {
            verdict,
            render: (format, page) => renderResult(views, result, verdict, format, page),
          };
        },
      };
    },
  };
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
    default:
      return assertNever(format);
  }
}
