import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DeletionVectorDescriptor } from '../../src/destination/delta/action.js';
import {
  readVector,
  readVectorFile,
  vectorRange,
  writeVectorFile,
} from '../../src/destination/delta/deletion-vector/deletion-vector-file.js';
import { locateVector } from '../../src/destination/delta/deletion-vector/descriptor.js';
import { canonicalRow, digestOf } from './canonical.js';
import { type ReaderEnvironment, readerEnvironment } from './environment.js';
import { type LakeTable, READERS, type ReaderReport, readWith } from './readers.js';
import { EVERY_TYPE, everyTypeRows, LOSSES } from './written-tables.js';

/** The engines agree on tables that Spark and delta-rs wrote, and our reading of deletion vectors agrees with them. */

const SPARK_COLUMNS = [
  { name: 'id', type: 'long' },
  { name: 'name', type: 'string' },
];

let environment: ReaderEnvironment;
let folder: string;
let tables: LakeTable[];

beforeAll(async () => {
  environment = await readerEnvironment();
  folder = await mkdtemp(path.join(tmpdir(), 'sluice-readers-'));
  const script = path.join(import.meta.dirname, 'write_tables.py');
  await promisify(execFile)(environment.python, [script, folder, environment.jars], {
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
  });
  tables = [
    { name: 'every_type', location: path.join(folder, 'every_type'), columns: EVERY_TYPE },
    ...LOSSES.map(({ name }) => ({ name, location: path.join(folder, name), columns: SPARK_COLUMNS })),
  ];
}, 900_000);

afterAll(async () => {
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

describe.each(READERS)('%s', (reader) => {
  let report: ReaderReport;
  let dump: string;

  beforeAll(async () => {
    dump = path.join(folder, `rows-${reader}`);
    await mkdir(dump);
    report = await readWith(environment, reader, { tables, dump });
  }, 300_000);

  test('starts', () => expect(report.startSeconds).toBeGreaterThan(0));

  test('reads every type exactly, but for what it is known to lack', async () => {
    const rows = (await readFile(path.join(dump, `every_type.${reader}.ndjson`), 'utf8')).trimEnd().split('\n');
    expect(rows.map((row) => JSON.parse(row))).toEqual(everyTypeRows(reader));
  });

  test.each(LOSSES)('leaves out what Spark deleted in $name', ({ name, rows, isDeleted }) => {
    const left = Array.from({ length: rows }, (_, id) => id).filter((id) => !isDeleted(id));
    const expected = digestOf(left.map((id) => canonicalRow([String(id), `row ${id}`])));
    expect(report.answers.find((answer) => answer.table === name)).toMatchObject({ ...expected });
  });
});

describe('our reading of the deletion vectors that Spark wrote', () => {
  test.each(LOSSES)('$name', async ({ name, rows, files, isDeleted }) => {
    const vectors = await liveVectors(path.join(folder, name));
    expect(vectors.length).toBe(files);
    const deleted: number[] = [];
    for (const { dataFile, descriptor } of vectors) {
      const location = locateVector(descriptor, name);
      if (location.kind !== 'relative') throw new Error(`a vector is ${location.kind}`);
      const file = await readFile(path.join(folder, name, location.path));
      const { from, to } = vectorRange(descriptor);
      const vector = readVector(file.subarray(from, to), descriptor, location.path);
      // Spark gives each of its files an equal part of the ids, in the order of their numbers.
      const first = (rows / files) * Number(/part-(\d+)-/.exec(dataFile)?.[1]);
      for (const chunk of vector.positions()) for (const position of chunk) deleted.push(first + position);
      const all = readVectorFile(file, location.path);
      expect(all.map((one) => one.placement)).toContainEqual({
        offset: descriptor.offset,
        sizeInBytes: descriptor.sizeInBytes,
        cardinality: descriptor.cardinality,
      });
      // What we write is not larger than what Spark did.
      expect(writeVectorFile(all.map((one) => one.vector)).bytes.length).toBeLessThanOrEqual(file.length);
    }
    const expected = Array.from({ length: rows }, (_, id) => id).filter(isDeleted);
    expect(
      Buffer.from(Uint32Array.from(deleted).sort().buffer).equals(Buffer.from(Uint32Array.from(expected).buffer)),
    ).toBe(true);
  });
});

/** The vectors in force after the last commit. */
async function liveVectors(table: string): Promise<{ dataFile: string; descriptor: DeletionVectorDescriptor }[]> {
  const log = path.join(table, '_delta_log');
  const live = new Map<string, DeletionVectorDescriptor>();
  for (const name of (await readdir(log)).filter((file) => /^\d+\.json$/.test(file)).sort()) {
    const actions: { add?: { path: string; deletionVector?: DeletionVectorDescriptor } }[] = (
      await readFile(path.join(log, name), 'utf8')
    )
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    for (const { add } of actions) if (add?.deletionVector !== undefined) live.set(add.path, add.deletionVector);
  }
  return [...live].map(([dataFile, descriptor]) => ({ dataFile, descriptor }));
}
