/**
 * JSON whose numbers keep their digits. Statistics hold 64-bit integers and decimals of 38 digits, which `JSON.parse` would
 * round.
 */
export type ExactJson = string | boolean | null | ExactNumber | readonly ExactJson[] | ReadonlyMap<string, ExactJson>;

/** A number as it was written. */
export class ExactNumber {
  constructor(readonly text: string) {}
}

const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const STRING = /"(?:[^"\\]|\\.)*"/y;
const SPACE = /[ \t\r\n]*/y;
const WORDS: ReadonlyArray<readonly [string, boolean | null]> = [
  ['true', true],
  ['false', false],
  ['null', null],
];

/** @returns undefined where the text is no JSON */
export function parseExactJson(text: string): ExactJson | undefined {
  const reader = new Reader(text);
  try {
    const value = reader.value();
    return reader.atEnd() ? value : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  atEnd(): boolean {
    this.#match(SPACE);
    return this.#at === this.#text.length;
  }

  value(): ExactJson {
    if (this.#take('{')) return this.#object();
    if (this.#take('[')) return this.#array();
    for (const [word, value] of WORDS) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return value;
      }
    }
    if (this.#text.charAt(this.#at) === '"') return this.#string();
    const number = this.#match(NUMBER);
    if (number === '') throw new SyntaxError(`no JSON at ${this.#at}`);
    return new ExactNumber(number);
  }

  #object(): ReadonlyMap<string, ExactJson> {
    const map = new Map<string, ExactJson>();
    if (this.#take('}')) return map;
    for (;;) {
      this.#match(SPACE);
      const name = this.#string();
      this.#need(':');
      this.#match(SPACE);
      map.set(name, this.value());
      if (this.#take('}')) return map;
      this.#need(',');
    }
  }

  #array(): readonly ExactJson[] {
    const list: ExactJson[] = [];
    if (this.#take(']')) return list;
    for (;;) {
      this.#match(SPACE);
      list.push(this.value());
      if (this.#take(']')) return list;
      this.#need(',');
    }
  }

  #string(): string {
    const quoted: unknown = JSON.parse(this.#match(STRING));
    if (typeof quoted !== 'string') throw new SyntaxError(`no string at ${this.#at}`);
    return quoted;
  }

  #need(character: string): void {
    if (!this.#take(character)) throw new SyntaxError(`no ${character} at ${this.#at}`);
  }

  #take(character: string): boolean {
    this.#match(SPACE);
    if (this.#text.charAt(this.#at) !== character) return false;
    this.#at += 1;
    return true;
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? '';
    this.#at += found.length;
    return found;
  }
}
