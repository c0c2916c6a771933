import { ERROR_CODES, isErrorCode } from '../../src/error/codes.js';
import type { Run } from './workspace.js';

/** An error as the CLI told it, in either form. */
export interface Reported {
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
  readonly cause: string | null;
}

/** The error block of the human form: `error CODE: message`, then indented lines. */
export function reportedInText(run: Run): Reported | null {
  const lines = run.stderr.split('\n');
  const at = lines.findIndex((line) => /^error [A-Z_]+: /.test(line));
  const [, code = '', message = ''] = /^error ([A-Z_]+): (.*)$/.exec(lines[at] ?? '') ?? [];
  if (code === '') return null;
  const field = (name: string): string | null => {
    const from = lines.findIndex((line, index) => index > at && line.startsWith(`  ${name}:`));
    if (from === -1) return null;
    const more = lines.slice(from + 1);
    const end = more.findIndex((line) => !line.startsWith('         '));
    return [lines[from]?.slice(`  ${name}:`.length), ...more.slice(0, end === -1 ? more.length : end)]
      .map((line) => line?.trim())
      .join('\n');
  };
  return { code, message, hint: field('hint'), cause: field('cause') };
}

/** The error of a JSON document: of the command, else the plan's first blocker, else the sync's first failure. */
export function reportedInJson(run: Run): Reported | null {
  const document: unknown = JSON.parse(run.stdout);
  const found = [
    at(document, 'error'),
    first(at(document, 'blockers')),
    first(at(at(document, 'plan'), 'blockers')),
    ...items(at(document, 'results')).map((result) => at(result, 'error')),
    ...items(at(document, 'sources')).flatMap((source) => [
      at(source, 'error'),
      ...items(at(source, 'tables')).map((table) => at(table, 'error')),
    ]),
    // doctor's findings
    items(document).find((finding) => at(finding, 'level') === 'error'),
    items(at(document, 'findings')).find((finding) => at(finding, 'level') === 'error'),
  ].find((each) => typeof at(each, 'code') === 'string');
  if (found === undefined) return null;
  return {
    code: text(at(found, 'code')) ?? '',
    message: text(at(found, 'message')) ?? '',
    hint: text(at(found, 'hint')),
    cause: text(at(found, 'cause')),
  };
}

export function exitCodeOf(code: string): number {
  if (!isErrorCode(code)) throw new Error(`${code} is no error code`);
  return ERROR_CODES[code].exit;
}

export function at(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return new Map<string, unknown>(Object.entries(value)).get(key);
}

export function items(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function first(value: unknown): unknown {
  return items(value)[0];
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
