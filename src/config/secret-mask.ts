import { isAlias, isMap, isPair, isScalar, isSeq, type Node } from 'yaml';
import { nearestName } from './nearest.js';

/** Half-open offsets in the text. */
export type Range = readonly [start: number, end: number];

const MASK = '***';
/** Keys whose value is a secret, also where they are misspelled. */
const SECRET_KEYS = ['password', 'passphrase', 'private_key', 'secret_access_key', 'access_key_id'];
const SECRET_WORD = /passw|passphrase|secret|token|private_?key$|access_?key/i;
/** These hold the name of a place where a secret is, not a secret. */
const REFERENCE_KEYS = new Set(['env', 'file', 'credential']);
/** Below `alerts:`. Chat services put the token into the address. */
const ALERT_SECRETS = new Set(['url', 'headers']);
/** Below these, keys are names of tables and columns. */
const NAME_SECTIONS = new Set(['tables', 'types']);
/** A value that is nothing but a variable shows no secret. */
const ONLY_VARIABLE = /^["']?\$\{[A-Za-z_][A-Za-z0-9_]*(?::\?[^}]*)?\}["']?$/;

const URL_PASSWORD = /(:\/\/[^:@\s/]*:)(\S+)(?=@)/g;
/** A url whose scheme was forgotten: `user:password@host`. */
const BARE_PASSWORD = /((?:^|[\s"'{,])[\w.%-]+:)(?!\/\/)([^\s"'@]+)(?=@)/g;
const QUERY_PASSWORD = /([?&]password=)([^&\s"']+)/g;
/** For files that do not parse: anything behind a key that sounds like a secret, up to the end of the line. */
const KEY_VALUE = /([\w-]*(?:passw|passphrase|secret|token|private_?key|access_?key)[\w-]*["']?\s*:\s*)([^\s{$#].*)$/i;

/** Where secrets stand in the text, so that no printed line shows one. */
export function secretRanges(root: Node | null, text: string): Range[] {
  const ranges: Range[] = [];
  const visit = (node: unknown, secret: boolean, section = ''): void => {
    if (isSeq(node)) for (const item of node.items) visit(item, secret, section);
    if (isMap(node)) for (const pair of node.items) visit(pair, secret, section);
    if (isPair(node)) {
      const name = isScalar(node.key) ? String(node.key.value) : '';
      if (NAME_SECTIONS.has(name)) return;
      const hidden = isSecretKey(name) || (section === 'alerts' && ALERT_SECRETS.has(name));
      visit(node.value, hidden || (secret && !REFERENCE_KEYS.has(name)), section === '' ? name : section);
    }
    if ((isScalar(node) || isAlias(node)) && secret && node.range) {
      const [start, end] = node.range;
      if (end > start && !ONLY_VARIABLE.test(text.slice(start, end))) ranges.push([start, end]);
    }
  };
  visit(root, false);
  return ranges;
}

/**
 * A line without its secrets, and the caret moved along.
 * @param lineStart offset of the line in the text that `secrets` count from
 */
export function maskLine(
  line: string,
  lineStart: number,
  secrets: readonly Range[],
  options: { readonly caret: number; readonly broken: boolean },
): { readonly text: string; readonly caret: number } {
  const ranges = merged(
    secrets
      .map(([start, end]): Range => [Math.max(0, start - lineStart), Math.min(line.length, end - lineStart)])
      .concat(matches(line, URL_PASSWORD), matches(line, BARE_PASSWORD), matches(line, QUERY_PASSWORD))
      .concat(options.broken ? matches(line, KEY_VALUE) : []),
  );
  let text = '';
  let caret = options.caret;
  let done = 0;
  for (const [start, end] of ranges) {
    text += line.slice(done, start);
    if (options.caret >= end) caret += MASK.length - (end - start);
    else if (options.caret > start) caret = text.length;
    text += MASK;
    done = end;
  }
  return { text: text + line.slice(done), caret };
}

/** In order, those that touch as one. */
function merged(ranges: readonly Range[]): Range[] {
  const result: Range[] = [];
  for (const [start, end] of ranges.filter(([from, to]) => from < to).sort((a, b) => a[0] - b[0])) {
    const last = result.at(-1);
    if (last !== undefined && start <= last[1]) result.splice(-1, 1, [last[0], Math.max(last[1], end)]);
    else result.push([start, end]);
  }
  return result;
}

export function isSecretKey(name: string): boolean {
  if (REFERENCE_KEYS.has(name) || name.endsWith('_file')) return false;
  return SECRET_WORD.test(name) || nearestName(name, SECRET_KEYS) !== null;
}

/** Whether a value below `alerts:` may hold a token. */
export function isAlertSecret(path: readonly (string | number)[]): boolean {
  return path[0] === 'alerts' && path.some((segment) => typeof segment === 'string' && ALERT_SECRETS.has(segment));
}

function matches(line: string, pattern: RegExp): Range[] {
  const found: Range[] = [];
  for (const match of line.matchAll(pattern.global ? pattern : new RegExp(pattern, `${pattern.flags}g`))) {
    const [, before = '', secret = ''] = match;
    if (!ONLY_VARIABLE.test(secret))
      found.push([match.index + before.length, match.index + before.length + secret.length]);
  }
  return found;
}
