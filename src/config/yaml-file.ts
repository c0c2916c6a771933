import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type ParsedNode,
  parseDocument,
  type YAMLError,
  type YAMLMap,
} from 'yaml';
import { SluiceError } from '../error/sluice-error.js';
import { interpolate } from './interpolate.js';
import type { ConfigPath, Issue, PathSegment } from './problem.js';
import { maskLine, type Range, secretRanges } from './secret-mask.js';

/** Aliases of aliases can make a small file endless; a real config has some thousand entries. */
const MAX_ENTRIES = 100_000;

/** A YAML text as plain values, and the way back from a value to its place in the text. */
export interface YamlFile {
  /** Maps as objects, aliases and merge keys (`<<`) followed, variables replaced. Undefined where the syntax is broken. */
  readonly raw: unknown;
  readonly issues: readonly Issue[];
  /** Entries whose variables could not be replaced: their value says nothing. */
  readonly unresolved: readonly ConfigPath[];
  /** Variables that a value was made from, [] where it stands in the file itself. */
  readonly variablesAt: (path: ConfigPath) => readonly string[];
  /** Line and column from 1, the line's text without its secrets, and the caret's place in that text, from 0. */
  readonly locate: (issue: Pick<Issue, 'path' | 'at'>) => {
    readonly line: number;
    readonly column: number;
    readonly sourceLine: string;
    readonly caret: number;
  };
}

interface Place {
  readonly key: number | null;
  readonly value: number;
  readonly variables: readonly string[];
}

/** Reads YAML 1.2. Variables are replaced after parsing and only in text values, so none can add a key or change a type. */
export function readYaml(text: string, env: Readonly<Record<string, string | undefined>>): YamlFile {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: false,
    stringKeys: true,
  });
  const syntaxIssues = syntaxMistakes(document, lines).map((error) => syntaxIssue(error, text));
  const reader = new NodeReader(document, lines, env);
  const broken = syntaxIssues.length > 0;
  const raw = broken ? undefined : reader.read(document.contents);
  const secrets = secretRanges(document.contents, text);
  return {
    raw,
    issues: [...syntaxIssues, ...reader.issues],
    unresolved: reader.unresolved,
    variablesAt: (path) => reader.places.get(JSON.stringify(path))?.variables ?? [],
    locate: ({ path, at }) => {
      const offset = typeof at === 'number' ? at : reader.offsetOf(path, at);
      return placeAt(text, lines, offset, secrets, broken);
    },
  };
}

class NodeReader {
  readonly issues: Issue[] = [];
  readonly unresolved: ConfigPath[] = [];
  readonly places = new Map<string, Place>();
  /** Aliased texts are reported once, where they stand. */
  private readonly reported = new Set<Node>();
  private readonly open = new Set<Node>();

  constructor(
    private readonly document: Document.Parsed,
    private readonly lines: LineCounter,
    private readonly env: Readonly<Record<string, string | undefined>>,
  ) {}

  read(root: ParsedNode | null): unknown {
    return this.value(root, [], null);
  }

  /** The nearest place that exists: a missing key is shown at the entry that lacks it. */
  offsetOf(path: ConfigPath, at: 'key' | 'value'): number {
    const exact = this.places.get(JSON.stringify(path));
    if (exact !== undefined) return at === 'key' ? (exact.key ?? exact.value) : exact.value;
    return path.length === 0 ? 0 : this.offsetOf(path.slice(0, -1), 'key');
  }

  private value(node: Node | null, path: ConfigPath, keyOffset: number | null): unknown {
    if (this.places.size >= MAX_ENTRIES) {
      throw new SluiceError({
        code: 'CONFIG_INVALID',
        message: `the config has more than ${MAX_ENTRIES} entries, aliases counted`,
      });
    }
    const here = node?.range?.[0] ?? keyOffset ?? 0;
    const target = isAlias(node) ? (node.resolve(this.document) ?? null) : node;
    if (node !== null && target === null) {
      this.unresolved.push(path);
      this.issue(path, here, `YAML: ${syntaxMessage('BAD_ALIAS')}`);
    }
    if (target === null) return this.keep(path, keyOffset, here, null);
    if (isScalar(target)) {
      if (typeof target.value !== 'string') return this.keep(path, keyOffset, here, target.value);
      return this.text(target, target.value, path, keyOffset, here);
    }
    this.keep(path, keyOffset, here, null);
    if (this.open.has(target)) {
      this.issue(path, 'value', 'an alias stands inside of what it stands for');
      return null;
    }
    this.open.add(target);
    const value = isMap(target) ? this.map(target, path) : isSeq(target) ? this.list(target.items, path) : null;
    this.open.delete(target);
    return value;
  }

  private text(node: Node, text: string, path: ConfigPath, keyOffset: number | null, here: number): string {
    const result = interpolate(text, this.env);
    if (result.mistakes.length > 0) {
      this.unresolved.push(path);
      if (!this.reported.has(node)) {
        const at = node.range?.[0] ?? here;
        for (const message of result.mistakes) this.issue(path, at, message);
      }
      this.reported.add(node);
    }
    return this.keep(path, keyOffset, here, result.text, result.variables);
  }

  private list(items: readonly unknown[], path: ConfigPath): unknown[] {
    return items.map((item, index) => this.value(nodeOf(item), [...path, index], null));
  }

  private map(map: YAMLMap, path: ConfigPath): Record<string, unknown> {
    const entries = new Map<string, unknown>();
    const merges: Node[] = [];
    const seen = new Map<string, number>();
    for (const pair of map.items) {
      const key = nodeOf(pair.key);
      const name = isScalar(key) ? String(key.value) : '';
      const offset = key?.range?.[0] ?? 0;
      const value = nodeOf(pair.value);
      if (name === '<<' && isScalar(key) && key.type === 'PLAIN' && value !== null) {
        merges.push(value);
        continue;
      }
      const first = seen.get(name);
      if (first !== undefined) {
        const message = `key is given twice; it stands on line ${this.lines.linePos(first).line} already`;
        if (key !== null && !this.reported.has(key)) this.issue([...path, name], offset, message);
        if (key !== null) this.reported.add(key);
        continue;
      }
      seen.set(name, offset);
      entries.set(name, this.value(value, [...path, name], offset));
    }
    for (const merge of merges) this.merge(merge, path, entries);
    return Object.fromEntries(entries);
  }

  /** `<<: *defaults` or `<<: [*a, *b]`: what the map does not hold itself; of a list, the earlier wins. */
  private merge(node: Node, path: ConfigPath, entries: Map<string, unknown>): void {
    const target = isAlias(node) ? (node.resolve(this.document) ?? null) : node;
    if (isSeq(target)) {
      for (const item of target.items) {
        const inner = nodeOf(item);
        if (inner !== null) this.merge(inner, path, entries);
      }
      return;
    }
    if (!isMap(target) || this.open.has(target)) {
      this.issue([...path, '<<'], node.range?.[0] ?? 0, 'expected an alias of a mapping, such as <<: *defaults');
      return;
    }
    this.open.add(target);
    for (const pair of target.items) {
      const key = nodeOf(pair.key);
      if (!isScalar(key)) continue;
      const name = String(key.value);
      const value = nodeOf(pair.value);
      if (name === '<<' && key.type === 'PLAIN') {
        if (value !== null) this.merge(value, path, entries);
      } else if (!entries.has(name)) {
        entries.set(name, this.value(value, [...path, name], key.range?.[0] ?? 0));
      }
    }
    this.open.delete(target);
  }

  private keep<T>(
    path: ConfigPath,
    key: number | null,
    value: number,
    result: T,
    variables: readonly string[] = [],
  ): T {
    this.places.set(JSON.stringify(path), { key, value, variables });
    return result;
  }

  private issue(path: ConfigPath, at: Issue['at'], message: string): void {
    this.issues.push({ level: 'error', code: 'CONFIG_INVALID', path, at, message });
  }
}

function nodeOf(value: unknown): Node | null {
  return isScalar(value) || isMap(value) || isSeq(value) || isAlias(value) ? value : null;
}

function placeAt(text: string, lines: LineCounter, offset: number, secrets: readonly Range[], broken: boolean) {
  const { line, col } = lines.linePos(Math.min(offset, text.length));
  const start = lines.lineStarts[line - 1] ?? 0;
  const end = text.indexOf('\n', start);
  const source = text.slice(start, end === -1 ? text.length : end).replace(/\r$/, '');
  const masked = maskLine(source, start, secrets, { caret: col - 1, broken });
  return { line, column: col, sourceLine: masked.text, caret: masked.caret };
}

/** What follows a mistake is often misread because of it, so of a line only the first counts, and no mere follow-up. */
function syntaxMistakes(document: Document.Parsed, lines: LineCounter): YAMLError[] {
  const seen = new Set<number>();
  return [...document.errors, ...document.warnings].filter((error, index) => {
    const { line } = lines.linePos(error.pos[0]);
    const isFirst = !seen.has(line);
    seen.add(line);
    return index === 0 || (isFirst && error.code !== 'UNEXPECTED_TOKEN');
  });
}

/** The library's own words quote the text, which may be a secret; these do not. */
function syntaxIssue(error: YAMLError, text: string): Issue {
  const at = error.pos[0];
  const isVariable = text.slice(at - 1, at + 1) === '$' + '{';
  const message = isVariable ? `put a value with \${...} in quotes inside of { } and [ ]` : syntaxMessage(error.code);
  return { level: 'error', code: 'CONFIG_INVALID', path: NO_PATH, at, message: `YAML: ${message}` };
}

const NO_PATH: readonly PathSegment[] = [];

function syntaxMessage(code: YAMLError['code']): string {
  switch (code) {
    case 'ALIAS_PROPS':
      return 'an alias (*name) takes no anchor and no tag';
    case 'BAD_ALIAS':
      return 'an alias (*name) has no anchor (&name) before it; put a text that begins with * in quotes';
    case 'BAD_DIRECTIVE':
      return 'a line that begins with % is not understood; put it in quotes';
    case 'BAD_DQ_ESCAPE':
      return 'a backslash in double quotes begins no known escape; use single quotes or \\\\';
    case 'BAD_INDENT':
      return 'the indentation does not fit the lines above';
    case 'BAD_PROP_ORDER':
      return 'an anchor or tag stands behind the value it belongs to';
    case 'BAD_SCALAR_START':
      return 'a plain text cannot begin with this character; put it in quotes';
    case 'BLOCK_AS_IMPLICIT_KEY':
      return 'a key and a value nested on one line; put the nested mapping on lines of its own';
    case 'BLOCK_IN_FLOW':
      return 'inside of { } or [ ] entries are separated by commas, not by lines';
    case 'DUPLICATE_KEY':
      return 'key is given twice';
    case 'KEY_OVER_1024_CHARS':
      return 'a key is longer than 1024 characters';
    case 'MISSING_CHAR':
      return 'a character is missing: a closing quote, bracket or brace, a comma, a space or a colon';
    case 'MULTILINE_IMPLICIT_KEY':
      return 'a key goes over several lines; a colon or a closing quote may be missing';
    case 'MULTIPLE_ANCHORS':
      return 'a value has more than one anchor';
    case 'MULTIPLE_DOCS':
      return 'the file holds more than one document; remove the second ---';
    case 'MULTIPLE_TAGS':
      return 'a value has more than one tag';
    case 'NON_STRING_KEY':
      return 'a key must be plain text';
    case 'RESOURCE_EXHAUSTION':
      return 'the file is nested too deeply or has too many aliases';
    case 'TAB_AS_INDENT':
      return 'tabs cannot indent; use spaces';
    case 'TAG_RESOLVE_FAILED':
      return 'an unknown tag (!name); put a text that begins with ! in quotes';
    case 'BAD_COLLECTION_TYPE':
    case 'UNEXPECTED_TOKEN':
    case 'IMPOSSIBLE':
      return 'something stands here that does not belong; a quote, a colon or a bracket may be missing above';
  }
}
