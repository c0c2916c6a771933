import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DuckDbSession } from '../duckdb/session.js';
import { partitionKey, serializedValue, typedValue } from './partition-values.js';

let folder: string;
let session: DuckDbSession;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sluice-partition-'));
  const settings = { path: path.join(folder, 'w.duckdb'), memoryLimitMb: 64, threads: 1, busyWaitMs: 0 };
  session = await DuckDbSession.open(settings, () => undefined);
});
afterAll(async () => {
  session.close();
  await rm(folder, { recursive: true });
});

async function serialized(type: string, value: string): Promise<string | null> {
  const sql = serializedValue('v', { name: 'v', type });
  const [row] = await session.rows<{ text: string | null }>(
    `SELECT ${sql} AS text FROM (SELECT CAST('${value.replaceAll("'", "''")}' AS ${type}) AS v)`,
  );
  return row?.text ?? null;
}

describe('a value as the log has it, and back', () => {
  test.each<{ type: string; value: string; text: string }>([
    { type: 'BOOLEAN', value: 'true', text: 'true' },
    { type: 'BOOLEAN', value: 'false', text: 'false' },
    { type: 'SMALLINT', value: '-32768', text: '-32768' },
    { type: 'INTEGER', value: '0', text: '0' },
    { type: 'BIGINT', value: '9223372036854775807', text: '9223372036854775807' },
    { type: 'DECIMAL(5,2)', value: '-0.5', text: '-0.50' },
    { type: 'DECIMAL(1,1)', value: '-0.5', text: '-0.5' },
    { type: 'DECIMAL(1,1)', value: '0.5', text: '0.5' },
    { type: 'DECIMAL(38,0)', value: '9'.repeat(38), text: '9'.repeat(38) },
    { type: 'DATE', value: '0001-01-01', text: '0001-01-01' },
    { type: 'DATE', value: '9999-12-31', text: '9999-12-31' },
    { type: 'TIMESTAMP', value: '2026-03-02 12:00:00', text: '2026-03-02 12:00:00.000000' },
    { type: 'TIMESTAMP', value: '0001-01-01 00:00:00.000001', text: '0001-01-01 00:00:00.000001' },
    { type: 'TIMESTAMPTZ', value: '1969-12-31 23:59:59.999999+02', text: '1969-12-31T21:59:59.999999Z' },
    { type: 'TIMESTAMP WITH TIME ZONE', value: '9999-12-31 23:59:59+00', text: '9999-12-31T23:59:59.000000Z' },
    { type: 'VARCHAR', value: "a b/100%=é'", text: "a b/100%=é'" },
    { type: 'VARCHAR', value: '__HIVE_DEFAULT_PARTITION__', text: '__HIVE_DEFAULT_PARTITION__' },
  ])('$type $value', async ({ type, value, text }) => {
    expect(await serialized(type, value)).toBe(text);
    const [back] = await session.rows<{ same: boolean }>(
      `SELECT ${typedValue(text, { name: 'v', type })} IS NOT DISTINCT FROM CAST('${value.replaceAll("'", "''")}' AS ${type}) AS same`,
    );
    expect(back?.same).toBe(true);
  });

  test('as other writers have it', async () => {
    const read = async (text: string | null, type: string): Promise<unknown> =>
      (await session.rows(`SELECT ${typedValue(text, { name: 'v', type })}::VARCHAR AS v`))[0];
    expect(await read('2026-03-02 12:00:00', 'TIMESTAMPTZ')).toEqual({ v: '2026-03-02 12:00:00+00' });
    expect(await read('2026-03-02 12:00:00.5', 'TIMESTAMP')).toEqual({ v: '2026-03-02 12:00:00.5' });
    for (const text of [null, '']) {
      for (const type of ['VARCHAR', 'DATE']) expect(await read(text, type)).toEqual({ v: null });
    }
  });

  test('an empty text is NULL', async () => {
    expect(await serialized('VARCHAR', '')).toBeNull();
    expect(partitionKey({ a: '', b: '1' })).toBe(partitionKey({ b: '1', a: null }));
    expect(partitionKey({ a: 'x', b: '1' })).not.toBe(partitionKey({ a: '1', b: 'x' }));
  });

  test.each(['FLOAT', 'DOUBLE', 'BLOB', 'INTEGER[]'])('%s is refused', (type) => {
    expect(() => serializedValue('v', { name: 'v', type })).toThrow(
      expect.objectContaining({ code: 'DELTA_TYPE_UNSUPPORTED' }),
    );
  });
});
