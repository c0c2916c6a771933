import { isDeepStrictEqual } from 'node:util';
import { type Document, isCollection, isMap, isNode, parseAllDocuments, parseDocument, visit } from 'yaml';
import { SluiceError } from '../error/sluice-error.js';

/** Writing a text and reading it again settles at once but for odd comments, which take a second time. */
const MAX_ROUNDS = 5;

/**
 * The canonical layout of a config file: two spaces a level, one space around what flow mappings hold and before
 * comments, no trailing spaces, at most one blank line, LF. Comments, the order of keys, blank lines and the choice of
 * flow or block stay. Formatting what is formatted changes nothing.
 * @throws SluiceError CONFIG_INVALID where the YAML itself is broken
 */
export function formatYaml(text: string, file: string): string {
  const before = read(text, file);
  let current = text.replaceAll('\r\n', '\n').replace(/^\uFEFF/, '');
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const next = write(read(current, file), current);
    if (next === current) break;
    current = next;
  }
  // What cannot be laid out for good, or would mean something else, stays as it is written.
  const after = read(current, file);
  return write(after, current) === current && isDeepStrictEqual(after.toJS(), before.toJS()) ? current : text;
}

function read(text: string, file: string): Document.Parsed {
  const parsed = parseAllDocuments(text);
  const [document, ...more] = Array.isArray(parsed) ? parsed : [];
  const error = document?.errors[0];
  if (document === undefined || error !== undefined || more.length > 0) {
    throw new SluiceError({
      code: 'CONFIG_INVALID',
      message: `${file} is not one document of YAML, so it cannot be formatted`,
      hint: 'sluice validate shows where the mistake is',
      ...(error === undefined ? {} : { cause: error }),
    });
  }
  return document;
}

/** Marks a comment that stands on the line of its key. YAML allows this character nowhere. */
const ON_KEY_LINE = '\u0001';
const KEY_LINE = new RegExp(`:\\n *#${ON_KEY_LINE}`, 'g');

/** @param text that the document was read from */
function write(document: Document.Parsed, text: string): string {
  visit(document, {
    Collection: (_key, node) => {
      // An empty block cannot be written; `{}` as it stands would otherwise be moved to a line of its own.
      if (isMap(node) && node.items.length === 0) node.flow = true;
    },
    Node: (_key, node) => {
      if (!isNode(node)) return;
      if (typeof node.comment === 'string') node.comment = tidy(node.comment);
      if (typeof node.commentBefore === 'string') node.commentBefore = tidy(node.commentBefore);
    },
  });
  visit(document, {
    Pair: (_key, { key, value }) => {
      // Such a comment counts as one of the collection that follows, and would move to a line of its own.
      if (
        !isNode(key) ||
        !key.range ||
        !isCollection(value) ||
        value.flow === true ||
        typeof value.commentBefore !== 'string'
      )
        return;
      if (/^[ \t]*:[ \t]+#/.test(text.slice(key.range[1]))) value.commentBefore = ON_KEY_LINE + value.commentBefore;
    },
  });
  const written = document.toString({ lineWidth: 0, indent: 2, indentSeq: true, flowCollectionPadding: true });
  return withTightLists(written.replace(KEY_LINE, ': #'));
}

/** `[a, b]` but `{ a: b }`, as most formatters of YAML have them: the writer pads both or neither. */
function withTightLists(text: string): string {
  const spaces: number[] = [];
  visit(parseDocument(text), {
    Seq: (_key, node) => {
      if (node.flow !== true || !node.range) return;
      const [start, end] = node.range;
      // Each may be a line break instead, which stays.
      if (text[start + 1] === ' ') spaces.push(start + 1);
      if (text[end - 2] === ' ' && /\S/.test(text[end - 3] ?? '')) spaces.push(end - 2);
    },
  });
  const cut = new Set(spaces);
  return text
    .split('')
    .map((unit, index) => (cut.has(index) ? '' : unit))
    .join('');
}

/** Comments keep their words; spaces behind them go. A lone space stands for a lone `#`, nothing for a blank line. */
function tidy(comment: string): string {
  return comment
    .split('\n')
    .map((line) => (line === '' ? '' : line.trimEnd() || ' '))
    .join('\n');
}
