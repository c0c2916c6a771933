import { formatDuration } from './quantity.js';

/** How long ago a moment was: `4.2 s ago`, `3m 05s ago`; `just now` below a second and for clocks that disagree. Null is `-`. */
export function formatAge(iso: string | null, now: Date): string {
  if (iso === null) return '-';
  const then = Date.parse(iso);
  if (Number.isNaN(then)) return iso;
  const ms = now.getTime() - then;
  return ms < 1_000 ? 'just now' : `${formatDuration(ms)} ago`;
}
