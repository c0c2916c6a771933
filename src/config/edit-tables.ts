import { isDeepStrictEqual } from 'node:util';
import { Document, isMap, isScalar, isSeq, type Node, type Pair, parseDocument } from 'yaml';
import { SluiceError } from '../error/sluice-error.js';

/** An entry to be added to `tables:`. */
export interface NewTableEntry {
  readonly key: string;
  readonly settings: Readonly<Record<string, string>>;
}

/**
 * Adds entries behind those that `tables:` of a source has. Every other byte of the text stays as it is: the document tree
 * says where the new lines belong and how far they are indented. The result is read again and has to mean what the text
 * meant, with the entries; a layout for which it does not is written anew as a whole, with its comments.
 * @param text a config that was read without mistakes
 * @throws SluiceError CONFIG_UNWRITABLE where the tables stand elsewhere (an alias or a merge key)
 */
export function addTableEntries(text: string, source: string, entries: readonly NewTableEntry[]): string {
  if (entries.length === 0) return text;
  const document = parseDocument(text);
  const pair = tablesPair(document, source);
  if (pair === null) {
    throw new SluiceError({
      code: 'CONFIG_UNWRITABLE',
      message: `the tables of source "${source}" come from an alias or a merge key, so it is not clear where new ones belong`,
      hint: 'add them by hand, as discover shows them',
    });
  }
  const wanted = withEntries(document.toJS(), source, entries);
  const spliced = splice(text, pair, entries);
  if (spliced !== null && means(spliced, wanted)) return spliced;
  for (const { key, settings } of entries) {
    document.setIn(['sources', source, 'tables', key], document.createNode(settings, { flow: true }));
  }
  const written = document.toString({ lineWidth: 0 });
  if (means(written, wanted)) return written;
  throw new SluiceError({
    code: 'INTERNAL',
    message: `the tables of source "${source}" could not be added to the file`,
  });
}

/** The method that tables of a source have which say none. */
export function defaultMethod(text: string, source: string): string {
  const method: unknown = parseDocument(text).getIn(['sources', source, 'defaults', 'method']);
  return typeof method === 'string' ? method : 'cdc';
}

/** Null unless the tables are a mapping, or nothing yet, that stands in the source itself. */
function tablesPair(document: Document.Parsed, source: string): Pair<Node, Node | null> | null {
  const settings: unknown = document.getIn(['sources', source], true);
  if (!isMap<Node, Node | null>(settings)) return null;
  const pair = settings.items.find(({ key }) => isScalar(key) && key.value === 'tables');
  if (pair === undefined) return null;
  const { value } = pair;
  return value === null || isMap(value) || (isScalar(value) && value.value === null) ? pair : null;
}

function splice(text: string, pair: Pair<Node, Node | null>, entries: readonly NewTableEntry[]): string | null {
  const newline = text.includes('\r\n') ? '\r\n' : '\n';
  const { key, value } = pair;
  const tables = isMap<Node, Node | null>(value) ? value : null;
  const [first] = tables?.items ?? [];
  if (tables === null || first === undefined) {
    const start = key.range?.[0];
    if (start === undefined) return null;
    // `tables:`, `tables: {}` or `tables: null`, maybe with a comment behind it, becomes the head of a block.
    const [from, to] = value?.range ?? [key.range?.[1] ?? start, key.range?.[1] ?? start];
    const written = value === null || to <= from ? text : `${text.slice(0, from).trimEnd()}${text.slice(to)}`;
    const lineEnd = endOfLine(written, start);
    return insertLines(written, lineEnd, ' '.repeat(columnOf(text, start) + 2), entries, newline);
  }
  const lastEnd = endOfContent(tables);
  const start = first.key.range?.[0];
  if (lastEnd === null || start === undefined) return null;
  if (tables.flow === true) {
    const more = entries.map((entry) => `, ${entryText(entry)}`).join('');
    return text.slice(0, lastEnd) + more + text.slice(lastEnd);
  }
  const column = columnOf(text, start);
  const at = behindComments(text, endOfLine(text, lastEnd), column);
  return insertLines(text, at, text.slice(start - column, start), entries, newline);
}

function insertLines(
  text: string,
  at: number,
  indent: string,
  entries: readonly NewTableEntry[],
  newline: string,
): string {
  const lines = entries.map((entry) => `${newline}${indent}${entryText(entry)}`).join('');
  return text.slice(0, at) + lines + text.slice(at);
}

function entryText({ key, settings }: NewTableEntry): string {
  const document = new Document({ [key]: settings });
  const value = document.get(key, true);
  if (isMap(value)) value.flow = true;
  return document.toString({ lineWidth: 0 }).trimEnd();
}

/** Where the last value of a collection ends, without what follows it (a comment, a line break). */
function endOfContent(node: Node | null | undefined): number | null {
  if (node === null || node === undefined) return null;
  if (isMap<Node, Node | null>(node) && node.flow !== true) {
    const last = node.items.at(-1);
    return endOfContent(last?.value) ?? endOfContent(last?.key);
  }
  if (isSeq<Node>(node) && node.flow !== true) return endOfContent(node.items.at(-1));
  // In a flow mapping that has entries, the end of the last of them: the brace and a comma may stand behind it.
  const inner = isMap<Node, Node | null>(node) ? node.items.at(-1) : undefined;
  if (inner !== undefined) return endOfFlow(inner);
  return node.range?.[1] ?? null;
}

function endOfFlow(last: Pair<Node, Node | null>): number | null {
  return last.value?.range?.[1] ?? last.key.range?.[1] ?? null;
}

function columnOf(text: string, offset: number): number {
  return offset - (text.lastIndexOf('\n', offset - 1) + 1);
}

/** The end of the line that a place is on, before its line break. A place behind a line break is on the line before it. */
function endOfLine(text: string, offset: number): number {
  const from = text[offset - 1] === '\n' ? offset - 1 : offset;
  const end = text.indexOf('\n', from);
  const place = end === -1 ? text.length : end;
  return text[place - 1] === '\r' ? place - 1 : place;
}

/** Comment lines that follow and are indented as the entries belong to them. */
function behindComments(text: string, lineEnd: number, column: number): number {
  let at = lineEnd;
  for (;;) {
    const following = /^\r?\n([ \t]*)#[^\r\n]*/.exec(text.slice(at));
    if (following === null || (following[1] ?? '').length < column) return at;
    at += following[0].length;
  }
}

function means(text: string, wanted: unknown): boolean {
  const document = parseDocument(text);
  return document.errors.length === 0 && isDeepStrictEqual(document.toJS(), wanted);
}

function withEntries(raw: unknown, source: string, entries: readonly NewTableEntry[]): unknown {
  const added = Object.fromEntries(entries.map(({ key, settings }) => [key, settings]));
  return at(raw, 'sources', (sources) =>
    at(sources, source, (settings) => at(settings, 'tables', (tables) => ({ ...objectOf(tables), ...added }))),
  );
}

function at(raw: unknown, key: string, change: (value: unknown) => unknown): unknown {
  const object = objectOf(raw);
  return { ...object, [key]: change(object[key]) };
}

function objectOf(raw: unknown): Readonly<Record<string, unknown>> {
  return typeof raw === 'object' && raw !== null ? Object.fromEntries(Object.entries(raw)) : {};
}
