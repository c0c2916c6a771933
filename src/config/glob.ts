/** The literal pieces between the stars: `events_*` is `['events_', '']`, a name without a star is one piece. */
export type Glob = readonly [string, ...string[]];

export function isLiteral(glob: Glob): boolean {
  return glob.length === 1;
}

/** Characters that are not stars: the measure of how specific a pattern is. */
export function literalLength(glob: Glob): number {
  return glob.reduce((sum, piece) => sum + piece.length, 0);
}

/** Whether some name matches both patterns. A star stands for any run of characters, also none. */
export function globsOverlap(left: Glob, right: Glob): boolean {
  const a = tokens(left);
  const b = tokens(right);
  // Reachable positions in b after each token of a, as in matching two regular expressions at once.
  let row = closure(new Array<boolean>(b.length + 1).fill(false).with(0, true), b);
  for (const token of a) {
    const next = new Array<boolean>(b.length + 1).fill(false);
    for (let at = 0; at <= b.length; at += 1) {
      if (token === null) {
        // A star takes any number of tokens of b.
        next[at] = row[at] === true || (at > 0 && next[at - 1] === true);
      } else if (row[at] === true) {
        if (b[at] === null) next[at] = true;
        if (b[at] === token) next[at + 1] = true;
      }
    }
    row = closure(next, b);
  }
  return row[b.length] === true;
}

export function globMatches(glob: Glob, name: string): boolean {
  return globsOverlap(glob, [name]);
}

function tokens(glob: Glob): (string | null)[] {
  return glob.flatMap((piece, index) => (index === 0 ? [...piece] : [null, ...piece]));
}

/** A star may also stand for nothing, so the position behind it is reached together with the one before it. */
function closure(row: boolean[], b: readonly (string | null)[]): boolean[] {
  for (let at = 0; at < b.length; at += 1) if (row[at] === true && b[at] === null) row[at + 1] = true;
  return row;
}
