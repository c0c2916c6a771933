import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type CompactableFile, type CompactionSettings, planCompaction } from './plan-compaction.js';

const SETTINGS: CompactionSettings = { targetBytes: 100, smallBytes: 30, deletedRatio: 0.2, minGrowth: 0.5 };

interface Named extends CompactableFile {
  readonly name: string;
}

function file(name: string, sizeBytes: number, deletedRows = 0, rows: number | null = 100, partition = '[]'): Named {
  return { name, partition, sizeBytes, rows, deletedRows };
}

function planned(files: readonly Named[], settings: Partial<CompactionSettings> = {}): string[] {
  return planCompaction(files, { ...SETTINGS, ...settings }).map((bin) =>
    bin.files
      .map(({ name }) => name)
      .toSorted()
      .join(' '),
  );
}

describe('what is worth writing anew', () => {
  const cases: { name: string; files: Named[]; settings?: Partial<CompactionSettings>; bins: string[] }[] = [
    { name: 'no files: nothing', files: [], bins: [] },
    { name: 'one small file: nothing', files: [file('a', 10)], bins: [] },
    { name: 'files that are large enough: nothing', files: [file('a', 30), file('b', 90)], bins: [] },
    { name: 'small files together', files: [file('a', 10), file('b', 10), file('big', 90)], bins: ['a b'] },
    { name: 'many deleted rows, alone', files: [file('a', 90, 21)], bins: ['a'] },
    { name: 'as many deleted rows as are allowed: nothing', files: [file('a', 90, 20)], bins: [] },
    { name: 'all rows deleted, alone', files: [file('a', 90, 100)], bins: ['a'] },
    { name: 'a file that deletions made small', files: [file('a', 30, 10), file('b', 20)], bins: ['a b'] },
    {
      name: 'no files of two partitions together',
      files: ['x', 'y', 'x', 'y', 'z'].map((partition, i) => file(`${partition}${i}`, 10, 0, 100, partition)),
      bins: ['x0 x2', 'y1 y3'],
    },
    {
      name: 'rows of unknown number: the size counts',
      files: [file('a', 10, 5, null), file('b', 10), file('c', 90, 50, null)],
      bins: ['a b'],
    },
    {
      name: 'no copy of a file for the sake of a few tiny ones, which are merged without it',
      files: [file('large', 29), file('a', 1), file('b', 1), file('c', 1)],
      bins: ['a b c'],
    },
    {
      name: 'the same by hand: all of them',
      files: [file('large', 29), file('a', 1), file('b', 1), file('c', 1)],
      settings: { minGrowth: 0 },
      bins: ['a b c large'],
    },
    {
      name: 'no more than the target in one',
      files: ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map((name) => file(name, 25)),
      bins: ['a b c d', 'e f g h'],
    },
    {
      name: 'what gains most for its bytes comes first',
      files: [file('half', 90, 50), file('a', 1), file('b', 1), file('c', 1)],
      settings: { targetBytes: 45 },
      bins: ['a b c', 'half'],
    },
  ];

  test.each(cases)('$name', ({ files, settings, bins }) => expect(planned(files, settings)).toEqual(bins));
});

const FILES = fc.array(
  fc.record({
    sizeBytes: fc.integer({ min: 1, max: 300 }),
    rows: fc.option(fc.integer({ min: 1, max: 1_000 })),
    deletedPart: fc.double({ min: 0, max: 1, noNaN: true }),
  }),
  { maxLength: 60 },
);

function drawn(files: readonly { sizeBytes: number; rows: number | null; deletedPart: number }[]): Named[] {
  return files.map(({ sizeBytes, rows, deletedPart }, index) =>
    file(`f${index}`, sizeBytes, Math.floor(deletedPart * (rows ?? 10)), rows),
  );
}

test('a file is in one bin at most, and a bin is no larger than the target unless one file is', () => {
  fc.assert(
    fc.property(FILES, fc.constantFrom(0, 0.5, 1), (files, minGrowth) => {
      const bins = planCompaction(drawn(files), { ...SETTINGS, minGrowth });
      const names = bins.flatMap((bin) => bin.files.map(({ name }) => name));
      expect(new Set(names).size).toBe(names.length);
      for (const bin of bins) {
        expect(bin.files.length === 1 || bin.liveBytes <= SETTINGS.targetBytes).toBe(true);
        const [only] = bin.files;
        if (bin.files.length === 1) expect((only?.deletedRows ?? 0) / (only?.rows ?? 1)).toBeGreaterThan(0.2);
      }
    }),
  );
});

test('comes to an end: what was written is not written again, and few small files are left', () => {
  fc.assert(
    fc.property(FILES, (files) => {
      let table = drawn(files);
      let copied = 0;
      for (let round = 0; ; round += 1) {
        const [bin] = planCompaction(table, { ...SETTINGS, minGrowth: 0 });
        if (bin === undefined) break;
        copied += bin.liveBytes;
        const rows = bin.files.reduce(
          (sum, each) => sum + (each.rows ?? 10) - (each.rows === null ? 0 : each.deletedRows),
          0,
        );
        table = table.filter((each) => !bin.files.includes(each));
        if (rows > 0) table.push(file(`new${round}`, bin.liveBytes, 0, rows));
        expect(round).toBeLessThan(files.length + 1);
      }
      const total = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
      expect(copied).toBeLessThanOrEqual(2 * total + files.length);
      expect(table.filter(({ sizeBytes }) => sizeBytes < SETTINGS.smallBytes).length).toBeLessThanOrEqual(1);
    }),
  );
});

test('by itself a row is copied a few times while its table grows by one small file a round', () => {
  let table: Named[] = [];
  let copied = 0;
  const rounds = 1_000;
  for (let round = 0; round < rounds; round += 1) {
    table.push(file(`f${round}`, 1));
    for (const bin of planCompaction(table, { ...SETTINGS, targetBytes: 10_000, smallBytes: 10_000 })) {
      copied += bin.liveBytes;
      table = [...table.filter((each) => !bin.files.includes(each)), file(`m${round}`, bin.liveBytes)];
    }
  }
  // Merged without that rule it would be half a million.
  expect(copied).toBeLessThan(rounds * 20);
  expect(table.length).toBeLessThan(20);
});
