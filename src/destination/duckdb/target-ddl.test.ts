import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { duckdbTypeName, type LogicalType, parseDuckdbTypeName } from '../../batch/logical-type.js';
import { DuckDbSession } from './session.js';
import { columnDefinition, columnTypes } from './target-ddl.js';

let folder: string;
let session: DuckDbSession;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-ddl-'));
  const settings = { path: join(folder, 'w.duckdb'), memoryLimitMb: 128, threads: 1, busyWaitMs: 0 };
  session = await DuckDbSession.open(settings, () => undefined);
});
afterAll(async () => {
  session.close();
  await rm(folder, { recursive: true });
});

test('every type is read back from the catalog by the name that it was made with', async () => {
  const names =
    'BOOLEAN SMALLINT INTEGER BIGINT UINTEGER FLOAT DOUBLE DECIMAL(12,2) VARCHAR JSON BLOB UUID DATE TIME TIMETZ TIMESTAMP TIMESTAMPTZ INTERVAL'.split(
      ' ',
    );
  const types = [...names, ...names.map((name) => `${name}[]`)].map((name): LogicalType => {
    const type = parseDuckdbTypeName(name);
    if (type === null) throw new Error(`no type ${name}`);
    return type;
  });
  const columns = types.map((type, i) => ({ name: `c${i}`, type }));
  await session.run(`CREATE TABLE typed (${columns.map(columnDefinition).join(', ')})`);
  const read = await columnTypes(session, { schema: 'main', name: 'typed' });
  expect([...read.values()]).toEqual(types.map(duckdbTypeName));
});
