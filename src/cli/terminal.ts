import { stripVTControlCharacters } from 'node:util';
import type { Screen } from './screen.js';

/** Where text goes. The only thing that views write to; tests give one that collects. */
export interface Sink {
  write(piece: string | Uint8Array): void;
  /** Resolves when there is room for more, or nobody reads any more. */
  drained(): Promise<void>;
  readonly isTty: boolean;
  /** Characters a line; null where it is no terminal. Read anew each time, as windows are resized. */
  columns(): number | null;
  /** False once the reader has gone away; what is written then is lost. */
  isOpen(): boolean;
  readonly colors: boolean;
}

export interface Terminal {
  /** Results. */
  readonly stdout: Sink;
  /** Progress, questions, logs and errors. */
  readonly stderr: Sink;
  /**
   * Asks a person and gives back the line they typed, null when the input ended.
   * Null itself where nobody can be asked: input or error output is no terminal.
   */
  readonly ask: ((question: string, signal: AbortSignal) => Promise<string | null>) | null;
  /** Takes the terminal over; null where input or output is none. */
  readonly openScreen: (() => Screen) | null;
}

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';
/** Colours a text, or leaves it as it is. */
export type Paint = (style: Style, text: string) => string;

const SGR: Record<Style, readonly [number, number]> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
};

export const plainPaint: Paint = (_style, text) => text;

export function paintFor(sink: Pick<Sink, 'colors'>): Paint {
  if (!sink.colors) return plainPaint;
  return (style, text) => `\u001b[${SGR[style][0]}m${text}\u001b[${SGR[style][1]}m`;
}

/** Whether to colour: a terminal, unless --no-color, NO_COLOR or TERM=dumb; FORCE_COLOR asks for it elsewhere too. */
export function wantsColor(
  isTty: boolean,
  environment: Readonly<Record<string, string | undefined>>,
  noColorOption: boolean,
): boolean {
  if (noColorOption) return false;
  if ((environment['NO_COLOR'] ?? '') !== '') return false;
  const forced = environment['FORCE_COLOR'];
  if (forced !== undefined && forced !== '' && forced !== '0') return true;
  return isTty && environment['TERM'] !== 'dumb';
}

/**
 * Columns that a text takes on a terminal: control sequences take none, East Asian wide characters and emoji two,
 * combining marks none. Ranges from Unicode's EastAsianWidth.txt (W and F), blocks merged.
 */
export function displayWidth(text: string): number {
  let width = 0;
  for (const character of stripVTControlCharacters(text)) {
    if (/\p{Mark}|\u200b|\u200d/u.test(character)) continue;
    width += isWide(character.codePointAt(0) ?? 0) ? 2 : 1;
  }
  return width;
}

const WIDE: readonly (readonly [number, number])[] = [
  [0x1100, 0x115f],
  [0x2e80, 0x303e],
  [0x3041, 0xa4cf],
  [0xa960, 0xa97f],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe30, 0xfe6f],
  [0xff00, 0xff60],
  [0xffe0, 0xffe6],
  [0x1f300, 0x1f64f],
  [0x1f680, 0x1f6ff],
  [0x1f900, 0x1f9ff],
  [0x20000, 0x3fffd],
];

function isWide(codePoint: number): boolean {
  if (codePoint < 0x1100) return false;
  return WIDE.some(([from, to]) => codePoint >= from && codePoint <= to);
}

/**
 * Makes foreign text (names, values, server messages) safe to show on one line: control characters, which could move
 * the cursor or forge output, become escapes.
 */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (character) => {
    if (character === '\n') return '\\n';
    if (character === '\t') return '\\t';
    if (character === '\r') return '\\r';
    return `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`;
  });
}

/** Cuts to so many terminal columns, the last of which is then an ellipsis. Colours end as they would have. */
export function cut(text: string, columns: number): string {
  if (displayWidth(text) <= columns) return text;
  if (columns <= 0) return '';
  let kept = '';
  let width = 0;
  let full = false;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are such sequences
  for (const part of text.match(/\u001b\[[0-9;]*m|./gsu) ?? []) {
    if (part.startsWith('\u001b')) {
      kept += part;
    } else if (!full) {
      const next = displayWidth(part);
      full = width + next > columns - 1;
      if (full) kept += '…';
      else kept += part;
      width += next;
    }
  }
  return kept;
}
