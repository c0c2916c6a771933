/** Numbers for people: short, with a unit, never more exact than they are known. Used by every human view. */

const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;
const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Bytes in binary units with at most one decimal: `0 B`, `1.5 KiB`, `12 MiB`. Null (unknown) is `?`. */
export function formatBytes(bytes: number | null): string {
  if (bytes === null) return '?';
  let value = Math.abs(bytes);
  let unit = 0;
  // 1023.95 would print as "1024.0", so the next unit starts where one decimal would round up to it.
  while (value >= 1023.95 && unit < BYTE_UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const text = unit === 0 || value >= 100 ? Math.round(value).toString() : trimZero(value.toFixed(1));
  return `${bytes < 0 ? '-' : ''}${text} ${BYTE_UNITS[unit]}`;
}

/** A count with thousands separators: `1,234,567`. Null (unknown) is `?`. */
export function formatCount(count: number | null): string {
  if (count === null) return '?';
  const digits = Math.round(Math.abs(count)).toString();
  const grouped = digits.replace(/\B(?=(\d{3})+$)/g, ',');
  return count < 0 && digits !== '0' ? `-${grouped}` : grouped;
}

/** A count in at most three digits and a letter: `950`, `12.3k`, `3M`, `1.2B`. For estimates and narrow columns. Null is `?`. */
export function formatShortCount(count: number | null): string {
  if (count === null) return '?';
  const size = Math.abs(count);
  const steps: readonly (readonly [number, string])[] = [
    [999.5e6, 'B'],
    [999.5e3, 'M'],
    [999.5, 'k'],
  ];
  for (const [from, letter] of steps) {
    if (size < from) continue;
    const scaled = count / (letter === 'B' ? 1e9 : letter === 'M' ? 1e6 : 1e3);
    return `${Math.abs(scaled) >= 99.95 ? Math.round(scaled).toString() : trimZero(scaled.toFixed(1))}${letter}`;
  }
  return Math.round(count).toString();
}

/** A duration in its two largest units: `350 ms`, `4.2 s`, `3m 05s`, `2h 10m`, `4d 3h`. Null (unknown) is `?`. */
export function formatDuration(ms: number | null): string {
  if (ms === null) return '?';
  if (ms < 0) return `-${formatDuration(-ms)}`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59.95 * SECOND_MS)
    return `${ms < 9_950 ? trimZero((ms / SECOND_MS).toFixed(1)) : Math.round(ms / SECOND_MS)} s`;
  const seconds = Math.round(ms / SECOND_MS);
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m ${pad(seconds % 60)}s`;
  const minutes = Math.round(ms / MINUTE_MS);
  if (minutes < 1_440) return `${Math.floor(minutes / 60)}h ${pad(minutes % 60)}m`;
  const hours = Math.round(ms / HOUR_MS);
  return `${Math.floor((hours * HOUR_MS) / DAY_MS)}d ${hours % 24}h`;
}

/** Rows or bytes a second from an amount and the time it took; null where no time has passed to tell. */
export function perSecond(amount: number, durationMs: number): number | null {
  return durationMs <= 0 ? null : (amount / durationMs) * SECOND_MS;
}

function trimZero(text: string): string {
  return text.endsWith('.0') ? text.slice(0, -2) : text;
}

function pad(value: number): string {
  return value.toString().padStart(2, '0');
}
