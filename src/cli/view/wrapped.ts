/** Lines are not broken below this width: a broken SQL line is worse than a long one. */
const NARROWEST = 40;

/** Breaks a text at spaces into lines that fit a page with their indent. @param columns null: one line of any length */
export function wrapped(text: string, indent: string, columns: number | null): string[] {
  const width = columns === null ? null : columns - indent.length;
  if (width === null || width < NARROWEST) return [indent + text];
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line].map((each) => indent + each);
}
