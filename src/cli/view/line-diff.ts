import { type Paint, printable } from '../terminal.js';

const CONTEXT = 2;

interface DiffLine {
  readonly kind: ' ' | '-' | '+';
  readonly text: string;
  /** From 1, in the old text; of an added line that of the next old one. */
  readonly at: number;
}

/** What changed between two texts, line by line, with two lines around each place; "" where nothing did. */
export function lineDiff(before: string, after: string, paint: Paint): string {
  const lines = diffLines(linesOf(before), linesOf(after));
  const shown = lines.map((_line, index) =>
    lines.slice(Math.max(0, index - CONTEXT), index + CONTEXT + 1).some(({ kind }) => kind !== ' '),
  );
  return lines
    .flatMap((line, index) => {
      if (shown[index] !== true) return [];
      const head = shown[index - 1] === true ? [] : [paint('cyan', `@@ line ${line.at} @@`)];
      return [...head, paintLine(line, paint)];
    })
    .map((text) => `${text}\n`)
    .join('');
}

function paintLine({ kind, text }: DiffLine, paint: Paint): string {
  const line = `${kind}${printable(text)}`;
  if (kind === ' ') return line.trimEnd();
  return paint(kind === '-' ? 'red' : 'green', line);
}

function linesOf(text: string): readonly string[] {
  return text.replace(/\n$/, '').split('\n');
}

/** By the longest common subsequence, after what both begin and end with was taken off. */
function diffLines(before: readonly string[], after: readonly string[]): readonly DiffLine[] {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start += 1;
  let end = 0;
  const most = Math.min(before.length, after.length) - start;
  while (end < most && before.at(-1 - end) === after.at(-1 - end)) end += 1;
  const old = before.slice(start, before.length - end);
  const fresh = after.slice(start, after.length - end);
  const common = commonLengths(old, fresh);
  const lines: DiffLine[] = before.slice(0, start).map((text, index) => ({ kind: ' ', text, at: index + 1 }));
  let i = 0;
  let j = 0;
  while (i < old.length || j < fresh.length) {
    const at = start + i + 1;
    const left = old[i];
    const right = fresh[j];
    if (left !== undefined && left === right) {
      lines.push({ kind: ' ', text: left, at });
      i += 1;
      j += 1;
    } else if (left !== undefined && (right === undefined || length(common, i + 1, j) >= length(common, i, j + 1))) {
      lines.push({ kind: '-', text: left, at });
      i += 1;
    } else {
      lines.push({ kind: '+', text: right ?? '', at });
      j += 1;
    }
  }
  const tail = before.slice(before.length - end);
  return [...lines, ...tail.map((text, index) => ({ kind: ' ' as const, text, at: before.length - end + index + 1 }))];
}

function commonLengths(old: readonly string[], fresh: readonly string[]): readonly Uint32Array[] {
  const rows = Array.from({ length: old.length + 1 }, () => new Uint32Array(fresh.length + 1));
  for (let i = old.length - 1; i >= 0; i -= 1) {
    for (let j = fresh.length - 1; j >= 0; j -= 1) {
      const row = rows[i];
      if (row === undefined) continue;
      row[j] =
        old[i] === fresh[j] ? length(rows, i + 1, j + 1) + 1 : Math.max(length(rows, i + 1, j), length(rows, i, j + 1));
    }
  }
  return rows;
}

function length(rows: readonly Uint32Array[], i: number, j: number): number {
  return rows[i]?.[j] ?? 0;
}
