import { parseDuration } from './duration.js';
import { absolutePath } from './path.js';
import type { ConfigPath, Issue } from './problem.js';

/**
 * What the readers share while they turn the raw file into a Config: they report every mistake they see and go on with
 * a stand-in, and the Config is used only where nothing was reported.
 */
export class Reading {
  readonly issues: Issue[] = [];
  private readonly brokenPaths: ReadonlySet<string>;

  constructor(
    private readonly options: {
      /** Places that were reported before: what depends on them is not judged. */
      readonly broken: readonly ConfigPath[];
      /** Folder of the config file; relative paths start there. */
      readonly baseDir: string;
      readonly homeDir: string;
      readonly variablesAt: (path: ConfigPath) => readonly string[];
    },
  ) {
    this.brokenPaths = new Set(options.broken.map((path) => JSON.stringify(path)));
  }

  problem(path: ConfigPath, message: string, at: 'key' | 'value' = 'value'): void {
    if (!this.isBroken(path)) this.issues.push({ level: 'error', code: 'CONFIG_INVALID', path, at, message });
  }

  warning(path: ConfigPath, message: string, at: 'key' | 'value' = 'value'): void {
    if (!this.isBroken(path)) this.issues.push({ level: 'warning', code: 'CONFIG_INVALID', path, at, message });
  }

  /** Whether the value at the path, or something it stands in, was reported before. */
  isBroken(path: ConfigPath): boolean {
    return path.some((_, index) => this.brokenPaths.has(JSON.stringify(path.slice(0, index + 1))));
  }

  /** Whether the value stands in the file itself, so that a message may quote it. */
  isWritten(path: ConfigPath): boolean {
    return this.options.variablesAt(path).length === 0;
  }

  /** Quotes a value, or names the variables it came from. */
  quote(path: ConfigPath, value: string): string {
    return describeText(value, this.options.variablesAt(path));
  }

  absolutePath(path: string): string {
    return absolutePath(path, this.options.baseDir, this.options.homeDir);
  }

  /** Milliseconds; the schema has judged the form. */
  duration(path: ConfigPath, text: string | undefined, fallback: string, minimumMs = 0): number {
    const ms = parseDuration(text ?? fallback) ?? 0;
    if (ms < minimumMs && text !== undefined) {
      this.problem(path, `expected at least ${minimumMs / 1000}s, found ${this.quote(path, text)}`);
    } else if (ms > LONGEST_MS) {
      this.problem(path, `expected at most ${LONGEST_DAYS}d, found ${this.quote(path, text ?? fallback)}`);
    }
    return ms;
  }
}

/** Ten years: far beyond any use, and far below where sums of milliseconds lose precision. */
const LONGEST_DAYS = 3650;
const LONGEST_MS = LONGEST_DAYS * 86_400_000;

export function describeText(value: string, variables: readonly string[]): string {
  if (variables.length === 0) return JSON.stringify(value);
  return `the value of ${variables.map((name) => `\${${name}}`).join(' and ')}`;
}

/** The entries of a mapping that may have lost some. */
export function entriesOf<T>(map: { readonly [key: string]: T | undefined } | undefined): [string, T][] {
  return Object.entries(map ?? {}).flatMap(([key, value]): [string, T][] =>
    value === undefined ? [] : [[key, value]],
  );
}
