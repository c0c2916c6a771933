import { describe, expect, test } from 'vitest';
import { isExpired } from './expiry.js';
import { changePath, snapshotPath } from './manifest.js';

const DAY = new Date('2026-03-02T00:00:00Z');
const OLD = new Date('2026-03-01T00:00:00Z');
const CUTOFF = new Date('2026-03-10T00:00:00Z');
const YOUNG = new Date('2026-03-11T00:00:00Z');

const part = (generation: number, id = 'aa'): string => `${snapshotPath(generation, id)}/part-0.parquet`;
const change = (commit: number, id = 'aa'): string => `${changePath(commit, commit, DAY, id)}-0.parquet`;

/** Generation 3 was made of everything up to commit 20; the one before it of what came up to commit 10. */
const MANIFEST = {
  commit: 22,
  snapshot: { path: '', generation: 3, commit: 20, files: [] },
  files: [part(3), change(21), change(22)],
  retired: [
    { generation: 1, commit: 10, since: '2026-03-05T00:00:00Z' },
    { generation: 2, commit: 20, since: '2026-03-12T00:00:00Z' },
  ],
};

describe('a file', () => {
  test.each<{ name: string; path: string; modifiedAt: Date; goes: boolean }>([
    { name: 'of the table stays, however old', path: part(3), modifiedAt: OLD, goes: false },
    { name: 'of its changes stays', path: change(21), modifiedAt: OLD, goes: false },
    { name: 'of a snapshot that was replaced long ago goes', path: part(1), modifiedAt: OLD, goes: true },
    { name: 'of changes that were replaced long ago goes', path: change(10), modifiedAt: OLD, goes: true },
    { name: 'of a snapshot that was replaced lately stays', path: part(2), modifiedAt: OLD, goes: false },
    { name: 'of changes that were replaced lately stays', path: change(11), modifiedAt: OLD, goes: false },
    { name: 'that was never part of the table goes', path: change(21, 'bb'), modifiedAt: OLD, goes: true },
    { name: 'of a snapshot that broke off goes', path: part(3, 'bb'), modifiedAt: OLD, goes: true },
    { name: 'that may still be on its way stays', path: change(21, 'bb'), modifiedAt: YOUNG, goes: false },
    { name: 'of a later commit stays', path: change(23), modifiedAt: OLD, goes: false },
    { name: 'of a later snapshot stays', path: part(4), modifiedAt: OLD, goes: false },
    { name: 'of somebody else stays', path: 'changes/dt=2026-03-02/mine.parquet', modifiedAt: OLD, goes: false },
  ])('$name', ({ path, modifiedAt, goes }) => {
    expect(isExpired(path, modifiedAt, MANIFEST, CUTOFF)).toBe(goes);
  });
});
