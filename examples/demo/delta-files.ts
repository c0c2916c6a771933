import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

/**
 * Reads Delta tables of a folder for the judge at the end, from the files alone: nothing of Sluice is used, only what the
 * Delta protocol says (github.com/delta-io/delta, PROTOCOL.md). Logs must be whole from commit 0 on, as they are in a
 * table that is minutes old.
 */
export interface DeltaFile {
  /** Absolute. */
  readonly path: string;
  /** Positions of rows that are no longer there, from 0. */
  readonly deleted: readonly number[];
}

interface DeletionVector {
  readonly storageType: string;
  readonly pathOrInlineDv: string;
  readonly offset?: number;
}

interface Action {
  readonly add?: { readonly path: string; readonly deletionVector?: DeletionVector };
  readonly remove?: { readonly path: string; readonly deletionVector?: DeletionVector };
}

/** The data files that the table has now. */
export async function deltaFiles(table: string): Promise<readonly DeltaFile[]> {
  const log = path.join(table, '_delta_log');
  const commits = (await readdir(log)).filter((name) => /^\d{20}\.json$/.test(name)).sort();
  const files = new Map<string, NonNullable<Action['add']>>();
  for (const [version, name] of commits.entries()) {
    if (Number.parseInt(name, 10) !== version) throw new Error(`${log} lacks commit ${version}`);
    const lines = (await readFile(path.join(log, name), 'utf8')).split('\n').filter((line) => line !== '');
    const actions = lines.map((line): Action => JSON.parse(line));
    // In one commit the removal of a file and its return with another vector may stand in any order.
    for (const { remove } of actions) if (remove !== undefined) files.delete(identityOf(remove));
    for (const { add } of actions) if (add !== undefined) files.set(identityOf(add), add);
  }
  return Promise.all(
    [...files.values()].map(async (add) => ({
      path: path.join(table, decodeURIComponent(add.path)),
      deleted: add.deletionVector === undefined ? [] : await readVector(table, add.deletionVector),
    })),
  );
}

function identityOf({ path: file, deletionVector }: NonNullable<Action['add']>): string {
  return JSON.stringify([file, deletionVector?.pathOrInlineDv ?? null, deletionVector?.offset ?? null]);
}

const VECTOR_MAGIC = 1_681_511_377;

/** A vector in a file of its own, whose name is a UUID in Z85 behind an optional folder. */
async function readVector(table: string, vector: DeletionVector): Promise<number[]> {
  if (vector.storageType !== 'u') throw new Error(`a deletion vector of the kind "${vector.storageType}"`);
  const encoded = vector.pathOrInlineDv.slice(-20);
  const hex = z85(encoded).toString('hex');
  const uuid = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  const folder = vector.pathOrInlineDv.slice(0, -20);
  const bytes = await readFile(path.join(table, folder, `deletion_vector_${uuid}.bin`));
  // The length comes before what is described, in the other byte order.
  const start = (vector.offset ?? 0) + 4;
  const data = bytes.subarray(start, start + bytes.readInt32BE(start - 4));
  if (data.readInt32LE(0) !== VECTOR_MAGIC) throw new Error('not a deletion vector');
  const positions: number[] = [];
  let at = 12;
  for (let count = Number(data.readBigInt64LE(4)); count > 0; count -= 1) {
    const high = data.readUInt32LE(at) * 2 ** 32;
    at = readRoaring(data, at + 4, (low) => positions.push(high + low));
  }
  return positions;
}

const Z85 = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#';

function z85(text: string): Buffer {
  const bytes = Buffer.alloc((text.length / 5) * 4);
  for (let group = 0; group < text.length / 5; group += 1) {
    let value = 0;
    for (const letter of text.slice(group * 5, group * 5 + 5)) value = value * 85 + Z85.indexOf(letter);
    bytes.writeUInt32BE(value, group * 4);
  }
  return bytes;
}

const WITHOUT_RUNS = 12_346;
const WITH_RUNS = 12_347;

/**
 * One 32-bit bitmap in the portable form (github.com/RoaringBitmap/RoaringFormatSpec).
 * @returns where it ends
 */
function readRoaring(data: Buffer, start: number, found: (value: number) => void): number {
  const cookie = data.readUInt32LE(start);
  const hasRuns = (cookie & 0xffff) === WITH_RUNS;
  if (!hasRuns && cookie !== WITHOUT_RUNS) throw new Error('not a bitmap');
  const containers = hasRuns ? (cookie >>> 16) + 1 : data.readUInt32LE(start + 4);
  const flags = start + 4;
  let at = hasRuns ? flags + Math.ceil(containers / 8) : start + 8;
  const header = at;
  at += containers * 4;
  // Offsets to the containers, which follow each other anyway.
  if (!hasRuns || containers >= 4) at += containers * 4;
  for (let index = 0; index < containers; index += 1) {
    const high = data.readUInt16LE(header + index * 4) * 2 ** 16;
    const count = data.readUInt16LE(header + index * 4 + 2) + 1;
    if (hasRuns && (((data[flags + (index >> 3)] ?? 0) >> (index & 7)) & 1) === 1) {
      const runs = data.readUInt16LE(at);
      at += 2;
      for (let run = 0; run < runs; run += 1, at += 4) {
        const [first, more] = [data.readUInt16LE(at), data.readUInt16LE(at + 2)];
        for (let value = first; value <= first + more; value += 1) found(high + value);
      }
    } else if (count <= 4096) {
      for (let entry = 0; entry < count; entry += 1, at += 2) found(high + data.readUInt16LE(at));
    } else {
      for (let bit = 0; bit < 2 ** 16; bit += 1) {
        if ((((data[at + (bit >> 3)] ?? 0) >> (bit & 7)) & 1) === 1) found(high + bit);
      }
      at += 2 ** 13;
    }
  }
  return at;
}
