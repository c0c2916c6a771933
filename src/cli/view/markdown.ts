import { printable } from '../terminal.js';

/** Joins what GitHub and GitLab would read as one word, without being seen. */
const ZERO_WIDTH_SPACE = '\u200b';

/**
 * Foreign text (names, messages, SQL) as it stands, in a paragraph or in a cell of a table of GitHub-flavoured Markdown:
 * no markup, no HTML, no new line, no end of the cell, and nobody is mentioned or any issue linked by it.
 */
export function escapeMarkdown(text: string): string {
  return (
    printable(text)
      .replace(/[\\`*_~[\]|]/g, '\\$&')
      .replaceAll('&', '&amp;')
      .replaceAll('<', '&lt;')
      .replaceAll('>', '&gt;')
      // Mentions are looked for after entities were resolved, so an entity would not help.
      .replace(/[@#](?=[\p{L}\p{N}_])/gu, `$&${ZERO_WIDTH_SPACE}`)
      .replace(/(https?|ftp|mailto):(?=\S)/gi, `$1:${ZERO_WIDTH_SPACE}`)
      .replace(/\bwww\.(?=\S)/gi, `$&${ZERO_WIDTH_SPACE}`)
  );
}

/** An address or a name as code; where it holds what would end the code or the cell, as escaped text. */
export function codeMarkdown(text: string): string {
  return /^[\p{L}\p{N}_.:"$*+/-]+( [\p{L}\p{N}_.:"$*+/-]+)*$/u.test(text) ? `\`${text}\`` : escapeMarkdown(text);
}

/** Lines that are of no use without the ones below: titles, heads of tables, empty lines. */
export interface MarkdownLine {
  readonly text: string;
  readonly head: boolean;
}

/** A line that says something by itself. */
export function bodyLine(text: string): MarkdownLine {
  return { text, head: false };
}

/** A title, a line of a table's head or an empty line. */
export function headLine(text: string): MarkdownLine {
  return { text, head: true };
}

/**
 * The lines that fit into so many bytes of UTF-8, from the first on, each whole; a last line then says how many were left
 * out. The first line always stays.
 * @param maxBytes null: all of them
 */
export function fitMarkdown(lines: readonly MarkdownLine[], maxBytes: number | null): string {
  const whole = textOf(lines);
  if (maxBytes === null || Buffer.byteLength(whole) <= maxBytes) return whole;
  for (let kept = lines.length - 1; kept > 0; kept -= 1) {
    if (kept > 1 && lines[kept - 1]?.head === true) continue;
    const left = lines.slice(kept).filter((line) => !line.head).length;
    const count = left === 1 ? '1 line was' : `${left} lines were`;
    const note = [headLine(''), bodyLine(`*${count} left out, as the text may have ${maxBytes} bytes.*`)];
    const text = textOf([...lines.slice(0, kept), ...note]);
    if (kept === 1 || Buffer.byteLength(text) <= maxBytes) return text;
  }
  return whole;
}

function textOf(lines: readonly MarkdownLine[]): string {
  return lines.map(({ text }) => `${text}\n`).join('');
}
