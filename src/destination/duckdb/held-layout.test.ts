import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { unchangedColumnNames } from '../../batch/change-columns.js';
import { parseDuckdbTypeName } from '../../batch/logical-type.js';
import type { TargetTable } from '../target-table.js';
import { alignHeld } from './held-layout.js';
import { DuckDbSession } from './session.js';

let folder: string;
let session: DuckDbSession;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-held-layout-'));
  const settings = { path: join(folder, 'w.duckdb'), memoryLimitMb: 128, threads: 1, busyWaitMs: 0 };
  session = await DuckDbSession.open(settings, () => undefined);
  await session.prepareLayout();
});
afterAll(async () => {
  session.close();
  await rm(folder, { recursive: true });
});

type Column = readonly [name: string, type: string];

function target(columns: readonly Column[]): TargetTable {
  return {
    address: 's:public.t',
    schema: 'public',
    name: 't',
    method: 'cdc',
    output: 'consolidated',
    deletes: 'hard',
    columns: columns.map(([name, type]) => ({ name, type: parseDuckdbTypeName(type) ?? { kind: 'varchar' } })),
    key: ['id'],
    metadataPrefix: '_ph_',
    generation: 1,
  };
}

/** One held change with the op and the names of the columns whose values were not sent. */
async function holdOne(columns: readonly Column[], op: number, unsent: readonly string[]): Promise<void> {
  const words = unchangedColumnNames(columns.length).map((word, w) => {
    const bits = columns.slice(w * 30, w * 30 + 30).map(([name], i) => (unsent.includes(name) ? 1 << i : 0));
    return `${bits.reduce((sum, bit) => sum + bit, 0)}::INTEGER AS ${word}`;
  });
  const values = columns.map(([name, type], i) => `${unsent.includes(name) ? 'NULL' : i}::${type} AS "${name}"`);
  await session.run('DROP TABLE IF EXISTS _sluice."held s:public.t"');
  await session.run(
    `CREATE TABLE _sluice."held s:public.t" AS SELECT ${values.join(', ')}, ${op}::SMALLINT AS __op, 1::BIGINT AS __lsn, 1::BIGINT AS __seq,
       now() AS __commit_ts, 7::UINTEGER AS __xid, 0::SMALLINT AS __key_change, ${words.join(', ')}`,
  );
}

/** By column: its value, or `unsent`. */
async function held(columns: readonly Column[]): Promise<Record<string, string | null>> {
  const picked = columns.map(
    ([name], i) =>
      `CASE WHEN (__unchanged_${Math.floor(i / 30)} & ${1 << (i % 30)}) <> 0 THEN 'unsent' ELSE "${name}"::VARCHAR END AS "${name}"`,
  );
  const [row] = await session.rows<Record<string, string | null>>(
    `SELECT ${picked.join(', ')} FROM _sluice."held s:public.t"`,
  );
  return row ?? {};
}

const BEFORE: readonly Column[] = [
  ['id', 'INTEGER'],
  ['gone', 'INTEGER'],
  ['a', 'VARCHAR'],
  ['b', 'VARCHAR'],
];

test('a column in the middle goes: the bits of those behind it move up', async () => {
  await holdOne(BEFORE, 85, ['b']);
  const after = BEFORE.filter(([name]) => name !== 'gone');
  await alignHeld(session, target(after));
  expect(await held(after)).toEqual({ id: '0', a: '2', b: 'unsent' });
});

test('a column is new: NULL in rows that did not know it, kept by a delete', async () => {
  const after: readonly Column[] = [...BEFORE, ['c', 'INTEGER']];
  await holdOne(BEFORE, 85, ['a']);
  await alignHeld(session, target(after));
  expect(await held(after)).toMatchObject({ a: 'unsent', c: null });
  await holdOne(BEFORE, 68, ['gone', 'a', 'b']);
  await alignHeld(session, target(after));
  expect(await held(after)).toEqual({ id: '0', gone: 'unsent', a: 'unsent', b: 'unsent', c: 'unsent' });
});

test('a column is wider: later changes fit', async () => {
  await holdOne(BEFORE, 73, []);
  await alignHeld(session, target(BEFORE.map(([name]) => [name, name === 'id' ? 'BIGINT' : 'VARCHAR'] as const)));
  await session.run('UPDATE _sluice."held s:public.t" SET id = 5000000000');
  expect(await held(BEFORE)).toMatchObject({ id: '5000000000', gone: '1' });
});

test('more columns than a word has bits', async () => {
  const wide = Array.from({ length: 65 }, (_, i): Column => [`c${i}`, 'VARCHAR']);
  await holdOne(wide, 85, ['c1', 'c29', 'c30', 'c64']);
  const after = wide.filter(([name]) => name !== 'c5');
  await alignHeld(session, target(after));
  const row = await held(after);
  expect(Object.keys(row).filter((name) => row[name] === 'unsent')).toEqual(['c1', 'c29', 'c30', 'c64']);
});

test('the same layout is left alone, and no held changes are no trouble', async () => {
  await holdOne(BEFORE, 85, ['b']);
  await alignHeld(session, target(BEFORE));
  expect(await held(BEFORE)).toEqual({ id: '0', gone: '1', a: '2', b: 'unsent' });
  await session.run('DROP TABLE _sluice."held s:public.t"');
  await alignHeld(session, target(BEFORE));
});
