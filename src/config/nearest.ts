import { distance } from 'fastest-levenshtein';

/** The known name that was probably meant: at most a third of its letters differ. Null where none is that near. */
export function nearestName(name: string, known: readonly string[]): string | null {
  const wanted = name.toLowerCase();
  let best: { readonly name: string; readonly steps: number } | null = null;
  for (const candidate of known) {
    const steps = stepsBetween(wanted, candidate.toLowerCase());
    const allowed = Math.max(1, Math.floor(Math.max(candidate.length, name.length) / 3));
    if (steps <= allowed && (best === null || steps < best.steps)) best = { name: candidate, steps };
  }
  return best?.name ?? null;
}

/** Two letters that changed places count as one step: "paht" is as near to "path" as "pat" is. */
function stepsBetween(a: string, b: string): number {
  const steps = distance(a, b);
  return steps === 2 && sortedLetters(a) === sortedLetters(b) ? 1 : steps;
}

function sortedLetters(text: string): string {
  return [...text].sort().join('');
}

/** `; did you mean "x"?` or the names that are known, to end a message about an unknown name. */
export function suggestion(name: string, known: readonly string[]): string {
  const near = nearestName(name, known);
  if (near !== null) return `; did you mean "${near}"?`;
  return known.length === 0 ? '' : `; known: ${known.join(', ')}`;
}
