/** What the generated pages share. */

export interface Page {
  /** Beside this folder. */
  readonly file: string;
  readonly text: string;
}

/** A page says in its first line what it is made from, so that nobody edits it. */
export function page(file: string, from: string, body: readonly string[]): Page {
  const notice = `<!-- Made from ${from} by \`npm run docs\`. Change that, not this file. -->`;
  return { file, text: `${notice}\n${body.join('\n\n')}\n` };
}

/** A table cell: a bar or a line break would end it, and < would begin a tag. */
export function cell(text: string): string {
  return prose(text)
    .replaceAll('|', '\\|')
    .replace(/\s*\n\s*/g, ' ');
}

/** Text outside of code, in which <name> is no tag. */
export function prose(text: string): string {
  return text.replace(/`[^`]*`|<(?=[a-z/])/gi, (part) => (part === '<' ? '&lt;' : part));
}

export function code(text: string): string {
  return `\`${text.replaceAll('`', "'")}\``;
}

export function codeCell(text: string): string {
  return code(text).replaceAll('|', '\\|');
}

export function tableOf(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(titles), line(titles.map(() => '---')), ...rows.map(line)].join('\n');
}

/** Begins with a capital, except where the first word is something to type, and ends with a stop. */
export function sentence(text: string): string {
  const capital = /^[a-z]+[,:;]?(\s|$)/.test(text) ? `${text.slice(0, 1).toUpperCase()}${text.slice(1)}` : text;
  return /[.!?:]$/.test(capital) ? capital : `${capital}.`;
}

/** A name for links; the same for the same path whatever stands around it. */
export function anchor(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^a-z0-9_]+/g, '-')
    .replace(/^-|-$/g, '');
}
