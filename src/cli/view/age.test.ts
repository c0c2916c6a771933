import { expect, test } from 'vitest';
import { formatAge } from './age.js';

test.each<{ name: string; iso: string | null; text: string }>([
  { name: 'never', iso: null, text: '-' },
  { name: 'now', iso: '2026-03-02T12:00:00Z', text: 'just now' },
  { name: 'a clock ahead of ours', iso: '2026-03-02T12:00:09Z', text: 'just now' },
  { name: 'minutes', iso: '2026-03-02T11:56:55Z', text: '3m 05s ago' },
  { name: 'days', iso: '2026-02-26T09:00:00Z', text: '4d 3h ago' },
  { name: 'no time at all', iso: 'soon', text: 'soon' },
])('$name', (c) => expect(formatAge(c.iso, new Date('2026-03-02T12:00:00Z'))).toBe(c.text));
