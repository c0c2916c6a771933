/**
 * The positions of one block of 65,536, by the lower 16 bits: the three containers of the Roaring format
 * (https://github.com/RoaringBitmap/RoaringFormatSpec). None is ever empty, and none is changed once it is made.
 */
export type Container =
  /** Ascending. */
  | { readonly kind: 'array'; readonly cardinality: number; readonly values: Uint16Array }
  /** Bit `p % 32` of word `p / 32`; 2,048 words. */
  | { readonly kind: 'bitmap'; readonly cardinality: number; readonly words: Uint32Array }
  /** Pairs of a run's first value and its length less one; ascending, no two overlap. */
  | { readonly kind: 'run'; readonly cardinality: number; readonly runs: Uint16Array };

export const BLOCK_SIZE = 65_536;
export const BITMAP_WORDS = 2_048;
export const BITMAP_BYTES = 8_192;
/** The format tells an array from a bitmap by the cardinality alone: this many are still an array. */
export const ARRAY_MAXIMUM = 4_096;

/** Bytes of a container as it is stored. */
export function containerBytes(container: Container): number {
  switch (container.kind) {
    case 'array':
      return 2 * container.cardinality;
    case 'bitmap':
      return BITMAP_BYTES;
    case 'run':
      return 2 + 2 * container.runs.length;
  }
}

/**
 * The smallest container of the lower 16 bits of `positions[from..to)`.
 * @param positions ascending and all of one block; the same may stand there more than once
 */
export function containerOf(positions: Uint32Array | Uint16Array, from: number, to: number): Container {
  let cardinality = 1;
  let runs = 1;
  for (let i = from + 1; i < to; i++) {
    const step = at(positions, i) - at(positions, i - 1);
    if (step > 0) cardinality += 1;
    if (step > 1) runs += 1;
  }
  if (2 + 4 * runs < plainBytes(cardinality)) return runsOf(positions, from, to, cardinality, runs);
  if (cardinality > ARRAY_MAXIMUM) {
    const words = new Uint32Array(BITMAP_WORDS);
    for (let i = from; i < to; i++) {
      const low = at(positions, i) & 0xffff;
      words[low >>> 5] = at(words, low >>> 5) | (1 << (low & 31));
    }
    return { kind: 'bitmap', cardinality, words };
  }
  const values = new Uint16Array(cardinality);
  let filled = 0;
  for (let i = from; i < to; i++) {
    const low = at(positions, i) & 0xffff;
    if (filled === 0 || values[filled - 1] !== low) values[filled++] = low;
  }
  return { kind: 'array', cardinality, values };
}

export function unionOf(a: Container, b: Container): Container {
  if (a.cardinality === BLOCK_SIZE) return a;
  if (b.cardinality === BLOCK_SIZE) return b;
  if (a.kind === 'array' && b.kind === 'array') {
    const merged = new Uint16Array(a.cardinality + b.cardinality);
    merged.set(a.values);
    merged.set(b.values, a.cardinality);
    merged.sort();
    return containerOf(merged, 0, merged.length);
  }
  const words = new Uint32Array(BITMAP_WORDS);
  setBits(words, a);
  setBits(words, b);
  return smallestOfWords(words);
}

export function containerHas(container: Container, low: number): boolean {
  switch (container.kind) {
    case 'bitmap':
      return ((at(container.words, low >>> 5) >>> (low & 31)) & 1) === 1;
    case 'array': {
      const index = lastAtMost(container.values, 1, low);
      return index >= 0 && container.values[index] === low;
    }
    case 'run': {
      const index = lastAtMost(container.runs, 2, low);
      return index >= 0 && low - at(container.runs, index * 2) <= at(container.runs, index * 2 + 1);
    }
  }
}

/** Writes `base` + each value, ascending, into `out` from index `start` on. @returns the index behind the last */
export function fillPositions(container: Container, base: number, out: Uint32Array, start: number): number {
  let to = start;
  switch (container.kind) {
    case 'array':
      for (const value of container.values) out[to++] = base + value;
      return to;
    case 'run':
      for (let i = 0; i < container.runs.length; i += 2) {
        const first = base + at(container.runs, i);
        const last = first + at(container.runs, i + 1);
        for (let position = first; position <= last; position++) out[to++] = position;
      }
      return to;
    case 'bitmap':
      for (let index = 0; index < BITMAP_WORDS; index++) {
        let word = at(container.words, index);
        while (word !== 0) {
          const lowest = word & -word;
          out[to++] = base + index * 32 + (31 - Math.clz32(lowest));
          word ^= lowest;
        }
      }
      return to;
  }
}

export function largestOf(container: Container): number {
  switch (container.kind) {
    case 'array':
      return at(container.values, container.values.length - 1);
    case 'run':
      return at(container.runs, container.runs.length - 2) + at(container.runs, container.runs.length - 1);
    case 'bitmap': {
      let index = BITMAP_WORDS - 1;
      while (index > 0 && container.words[index] === 0) index -= 1;
      return index * 32 + 31 - Math.clz32(at(container.words, index));
    }
  }
}

export function countBits(word: number): number {
  let bits = word - ((word >>> 1) & 0x5555_5555);
  bits = (bits & 0x3333_3333) + ((bits >>> 2) & 0x3333_3333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}

function plainBytes(cardinality: number): number {
  return cardinality > ARRAY_MAXIMUM ? BITMAP_BYTES : 2 * cardinality;
}

function runsOf(
  positions: Uint32Array | Uint16Array,
  from: number,
  to: number,
  cardinality: number,
  count: number,
): Container {
  const runs = new Uint16Array(count * 2);
  let run = 0;
  let first = at(positions, from);
  for (let i = from + 1; i <= to; i++) {
    const last = at(positions, i - 1);
    if (i < to && at(positions, i) - last <= 1) continue;
    runs[run++] = first & 0xffff;
    runs[run++] = last - first;
    if (i < to) first = at(positions, i);
  }
  return { kind: 'run', cardinality, runs };
}

function setBits(words: Uint32Array, container: Container): void {
  switch (container.kind) {
    case 'array':
      for (const low of container.values) words[low >>> 5] = at(words, low >>> 5) | (1 << (low & 31));
      return;
    case 'bitmap':
      for (let i = 0; i < BITMAP_WORDS; i++) words[i] = at(words, i) | at(container.words, i);
      return;
    case 'run':
      for (let i = 0; i < container.runs.length; i += 2) {
        const first = at(container.runs, i);
        const last = first + at(container.runs, i + 1);
        for (let low = first; low <= last; low++) words[low >>> 5] = at(words, low >>> 5) | (1 << (low & 31));
      }
      return;
  }
}

function smallestOfWords(words: Uint32Array): Container {
  let cardinality = 0;
  let runs = 0;
  let before = 0;
  for (const word of words) {
    cardinality += countBits(word);
    // A run begins at each bit whose lower neighbour is not set.
    runs += countBits(word & ~((word << 1) | before));
    before = word >>> 31;
  }
  const whole: Container = { kind: 'bitmap', cardinality, words };
  if (cardinality > ARRAY_MAXIMUM && 2 + 4 * runs >= BITMAP_BYTES) return whole;
  const positions = new Uint32Array(cardinality);
  fillPositions(whole, 0, positions, 0);
  return containerOf(positions, 0, cardinality);
}

/** Index of the last entry of `width` numbers whose first is at most `low`; -1 where there is none. */
function lastAtMost(entries: Uint16Array, width: number, low: number): number {
  let from = 0;
  let to = entries.length / width;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (at(entries, middle * width) <= low) from = middle + 1;
    else to = middle;
  }
  return from - 1;
}

/** An element whose index is known to be in range. */
function at(values: Uint16Array | Uint32Array, index: number): number {
  return values[index] ?? 0;
}
