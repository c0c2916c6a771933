export type PathSegment = string | number;
export type ConfigPath = readonly PathSegment[];

/** A mistake before it is given its place in the file. */
export interface Issue {
  readonly level: 'error' | 'warning';
  readonly code: 'CONFIG_INVALID';
  readonly path: ConfigPath;
  /** Which end of the entry the caret shows; a number is an offset in the text (syntax errors have no path). */
  readonly at: 'key' | 'value' | number;
  /** What is wrong and what was expected. Never holds a secret or the value of a variable. */
  readonly message: string;
}

/** A mistake with its place, ready to print. */
export interface Problem {
  readonly level: 'error' | 'warning';
  readonly code: 'CONFIG_INVALID';
  /** As it was given on the command line. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1, in UTF-16 units. */
  readonly column: number;
  /** `sources.shop.tables["public.users"].method`; empty for a mistake of the whole file. */
  readonly path: string;
  readonly message: string;
  /** The offending line with secrets blotted out. */
  readonly sourceLine: string;
  /** Where the caret goes below `sourceLine`, from 0. */
  readonly caret: number;
}

/** A path as it stands in messages: plain names with dots, others in brackets. */
export function formatPath(path: ConfigPath): string {
  let text = '';
  for (const segment of path) {
    if (typeof segment === 'number') text += `[${segment}]`;
    else if (/^[A-Za-z_][A-Za-z0-9_-]*$/.test(segment)) text += text === '' ? segment : `.${segment}`;
    else text += `[${JSON.stringify(segment)}]`;
  }
  return text;
}

/**
 * The text for people: a line `file:line:column  path  message` for each problem, then the offending line and a caret.
 * No trailing newline.
 */
export function formatProblems(problems: readonly Problem[]): string {
  return problems.map(formatProblem).join('\n');
}

function formatProblem(problem: Problem): string {
  const message = problem.level === 'warning' ? `warning: ${problem.message}` : problem.message;
  const place = `${problem.file}:${problem.line}:${problem.column}`;
  const head = [place, problem.path, message].filter((part) => part !== '').join('  ');
  if (problem.sourceLine.trim() === '') return head;
  // Tabs are kept, so that the caret stands below its character however wide they are shown.
  const indent = problem.sourceLine.slice(0, problem.caret).replaceAll(/[^\t]/g, ' ');
  return `${head}\n    ${problem.sourceLine}\n    ${indent}^`;
}
