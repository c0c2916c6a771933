import { readFile } from 'node:fs/promises';
import { ERROR_CODES } from '../../src/error/codes.js';
import { type Page, page, prose, sentence } from './markdown.js';

const REGISTRY = new URL('../../src/error/codes.ts', import.meta.url);

const EXITS: Readonly<Record<number, string>> = {
  1: '1 (failure)',
  64: '64 (usage)',
  69: '69 (unavailable)',
  75: '75 (try again)',
  78: '78 (config)',
};
const RETRIES = {
  SOON: 'soon, then ever later, up to once a minute',
  LATER: 'after 10 minutes',
  STOP: 'no: it waits for a person',
};
type Retry = keyof typeof RETRIES;

interface CodeText {
  readonly code: string;
  readonly exit: number;
  readonly retry: Retry;
  readonly text: string;
}

interface Area {
  readonly title: string;
  readonly codes: readonly CodeText[];
}

/** docs/errors.md: what the comments of the registry say. */
export async function errorsPage(): Promise<Page> {
  const areas = readRegistry(await readFile(REGISTRY, 'utf8'));
  const found = areas.flatMap(({ codes }) => codes.map(({ code }) => code));
  const missed = Object.keys(ERROR_CODES).filter((code) => !found.includes(code));
  if (missed.length > 0) throw new Error(`src/error/codes.ts cannot be read at ${missed.join(', ')}`);
  return page('errors.md', 'src/error/codes.ts', [
    '# Errors',
    'Every error has a code, a message with the names in it, mostly a hint that can be pasted, and an exit code. `--format json`\nhas them as `error.code`, `error.message`, `error.hint` and `error.cause`; `--debug` adds stack traces.',
    ...areas.flatMap(({ title, codes }) => [
      `## ${title.slice(0, 1).toUpperCase()}${title.slice(1)}`,
      ...codes.map(entry),
    ]),
  ]);
}

function entry({ code, text, exit, retry }: CodeText): string {
  return `### ${code}\n\n${sentence(prose(text))}\n\nExit code ${EXITS[exit]}. Does the daemon try again: ${RETRIES[retry]}.`;
}

/** The registry is regular: `// --- area`, then for each code its comment and one line. */
function readRegistry(source: string): readonly Area[] {
  const body = source.slice(source.indexOf('export const ERROR_CODES'));
  const pattern =
    /\/\/ --- (?<area>.+)|(?:\/\*\*(?<text>(?:(?!\*\/)[\s\S])*)\*\/\s*)?^ {2}(?<code>[A-Z][A-Z0-9_]*): \{ exit: (?<exit>\d+), retry: (?<retry>[A-Z]+) \},/gm;
  const areas: { title: string; codes: CodeText[] }[] = [];
  for (const { groups } of body.matchAll(pattern)) {
    if (groups?.['area'] !== undefined) areas.push({ title: groups['area'].trim(), codes: [] });
    else areas.at(-1)?.codes.push(codeOf(groups ?? {}));
  }
  return areas.filter(({ codes }) => codes.length > 0);
}

function codeOf(groups: Readonly<Record<string, string | undefined>>): CodeText {
  const { code = '', text, retry = '' } = groups;
  const exit = Number(groups['exit']);
  if (text === undefined) throw new Error(`${code} has no comment in src/error/codes.ts: what it means and what to do`);
  if (EXITS[exit] === undefined || !isRetry(retry)) throw new Error(`${code}: unknown exit or retry rule`);
  return {
    code,
    exit,
    retry,
    text: text
      .replace(/^\s*\* ?/gm, '')
      .replace(/\s+/g, ' ')
      .trim(),
  };
}

function isRetry(text: string): text is Retry {
  return Object.hasOwn(RETRIES, text);
}
