import { describe, expect, test } from 'vitest';
import {
  changePath,
  decodeManifest,
  encodeManifest,
  type Manifest,
  parseDataPath,
  retire,
  snapshotPath,
} from './manifest.js';

const MANIFEST: Manifest = {
  format_version: 1,
  application: 'sluice-a',
  serial: 7,
  commit: 3,
  written_at: '2026-03-02T12:00:00.000Z',
  columns: [{ name: 'id', type: 'BIGINT' }],
  key: ['id'],
  identity: ['id'],
  files: ['snapshots/000000000001-aa/part-0.parquet'],
  snapshot: {
    path: 'snapshots/000000000001-aa',
    generation: 1,
    commit: 3,
    files: [{ path: 'snapshots/000000000001-aa/part-0.parquet', rows: 2, bytes: 100 }],
  },
  changes: [],
  retired: [],
};

function bytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

describe('a manifest', () => {
  test('comes back as it was written', () => {
    expect(decodeManifest(encodeManifest(MANIFEST), 'lake/latest.json')).toEqual(MANIFEST);
  });

  test.each<{ name: string; body: Uint8Array; says: RegExp }>([
    { name: 'that is no JSON', body: new TextEncoder().encode('{'), says: /not the JSON/ },
    { name: 'that is no text', body: Uint8Array.of(0xff), says: /not the JSON/ },
    { name: 'that is cut short', body: bytes({ ...MANIFEST, changes: undefined }), says: /not the JSON/ },
    { name: 'of a newer Sluice', body: bytes({ ...MANIFEST, format_version: 2 }), says: /newer Sluice/ },
    {
      name: 'with a file outside of its table',
      body: bytes({
        ...MANIFEST,
        snapshot: { ...MANIFEST.snapshot, files: [{ path: 'a/../../b', rows: 1, bytes: 1 }] },
      }),
      says: /not the JSON/,
    },
  ])('$name is refused', ({ body, says }) => {
    expect(() => decodeManifest(body, 'lake/latest.json')).toThrow(says);
  });
});

describe('a path', () => {
  const noon = new Date('2026-03-02T12:00:00Z');

  test.each<{ name: string; path: string; is: unknown }>([
    {
      name: 'of a snapshot',
      path: `${snapshotPath(12, '1f0c9a2e')}/part-0.parquet`,
      is: { kind: 'snapshot', generation: 12 },
    },
    { name: 'of changes', path: `${changePath(4, 9, noon, 'ab')}-0.parquet`, is: { kind: 'changes', commit: 9 } },
    { name: 'of the manifest', path: 'latest.json', is: null },
    { name: 'of a file that somebody put there', path: 'changes/dt=2026-03-02/mine.parquet', is: null },
  ])('$name says what it is', ({ path, is }) => {
    expect(parseDataPath(path)).toEqual(is);
  });

  test('has nothing that a reader would stumble over', () => {
    expect(changePath(4, 9, noon, 'ab')).toBe('changes/dt=2026-03-02/000000000004-000000000009-ab');
    expect(snapshotPath(12, '1f0c9a2e')).toBe('snapshots/000000000012-1f0c9a2e');
  });
});

describe('what was replaced', () => {
  test('is told once an hour, with the last time', () => {
    let manifest = MANIFEST;
    for (const [commit, time] of [
      [3, '12:10'],
      [4, '12:50'],
      [5, '13:01'],
    ] as const) {
      const retired = retire({ ...manifest, commit }, 2, new Date(`2026-03-02T${time}:00Z`));
      manifest = { ...manifest, retired };
    }
    expect(manifest.retired).toEqual([
      { generation: 1, commit: 4, since: '2026-03-02T12:50:00.000Z' },
      { generation: 1, commit: 5, since: '2026-03-02T13:01:00.000Z' },
    ]);
  });

  test('is never the snapshot that takes its place, though it may bear the number of one that came before', () => {
    const compacted = { ...MANIFEST, snapshot: { ...MANIFEST.snapshot, generation: 2 } };
    expect(retire(compacted, 2, new Date('2026-03-02T12:00:00Z'))[0]?.generation).toBe(1);
  });
});
