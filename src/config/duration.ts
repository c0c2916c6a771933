/** Longest first; the order in which they must be written. */
const UNITS: readonly { readonly unit: string; readonly ms: number }[] = [
  { unit: 'd', ms: 86_400_000 },
  { unit: 'h', ms: 3_600_000 },
  { unit: 'm', ms: 60_000 },
  { unit: 's', ms: 1_000 },
  { unit: 'ms', ms: 1 },
];

/** Up to nine digits, so that the sum of all units stays an exact number. */
const PATTERN = /^(?=\d)(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?(?:(\d{1,9})ms)?$/;

/**
 * Reads a duration such as `500ms`, `30s`, `5m`, `1h30m`, `1d`: whole numbers with units, each unit at most once, the
 * longer before the shorter.
 * @returns milliseconds; null where the text is no duration
 */
export function parseDuration(text: string): number | null {
  const match = PATTERN.exec(text);
  if (match === null) return null;
  return UNITS.reduce((sum, { ms }, index) => sum + Number(match[index + 1] ?? 0) * ms, 0);
}

/** The shortest text that {@link parseDuration} reads back as `ms`: `90000` is `1m30s`, `0` is `0s`. */
export function formatDuration(ms: number): string {
  let rest = Math.round(ms);
  let text = '';
  for (const { unit, ms: size } of UNITS) {
    const count = Math.floor(rest / size);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * size;
  }
  return text === '' ? '0s' : text;
}
