import { describe, expect, test } from 'vitest';
import { SAMPLE_ACCESS, SAMPLE_LAKE } from '../../test/config/sample-lake.js';
import type { ConnectionConfig, DestinationConfig, LakeSettings } from '../config/config.js';
import { connectionFingerprint, destinationFingerprint } from './fingerprint.js';

const connection: ConnectionConfig = {
  name: 'db',
  host: 'h',
  port: 5432,
  database: 'd',
  user: 'u',
  password: { kind: 'inline', value: 'secret' },
  tls: { mode: 'verify-full', caFile: null, certFile: null, keyFile: null },
  tunnel: null,
  connectTimeoutMs: 10_000,
};
const duckdb: DestinationConfig = {
  type: 'duckdb',
  name: 'w',
  path: '/data/w.duckdb',
  writtenPath: 'w.duckdb',
  publish: null,
  memoryLimitMb: 512,
  threads: null,
  parallelLoads: null,
};

describe('connectionFingerprint', () => {
  test.each<{ name: string; fields: Partial<ConnectionConfig>; same: boolean }>([
    { name: 'host', fields: { host: 'other' }, same: false },
    { name: 'port', fields: { port: 1 }, same: false },
    { name: 'database', fields: { database: 'other' }, same: false },
    { name: 'user', fields: { user: 'other' }, same: false },
    { name: 'password', fields: { password: null }, same: true },
    { name: 'name of the entry', fields: { name: 'other' }, same: true },
    { name: 'timeout', fields: { connectTimeoutMs: 1 }, same: true },
  ])('$name', (c) =>
    expect(connectionFingerprint({ ...connection, ...c.fields }) === connectionFingerprint(connection)).toBe(c.same),
  );
});

describe('destinationFingerprint', () => {
  test.each<{ name: string; other: DestinationConfig; same: boolean }>([
    { name: 'another file', other: { ...duckdb, path: '/data/x.duckdb' }, same: false },
    {
      name: 'another kind',
      other: { ...SAMPLE_LAKE, type: 'local', name: 'w', path: '/data/w.duckdb', writtenPath: 'w' },
      same: false,
    },
    { name: 'memory limit', other: { ...duckdb, memoryLimitMb: 1 }, same: true },
    { name: 'a copy for readers', other: { ...duckdb, publish: { path: '/r', everyMs: 1 } }, same: true },
  ])('$name', (c) => expect(destinationFingerprint(c.other) === destinationFingerprint(duckdb)).toBe(c.same));

  test('buckets and prefixes are told apart', () => {
    const access = SAMPLE_ACCESS;
    const bucket = { ...SAMPLE_LAKE, type: 's3', name: 'l', bucket: 'b', prefix: 'p', access } as const;
    expect(destinationFingerprint({ ...bucket, access: { ...access, maxAttempts: 9 } })).toBe(
      destinationFingerprint(bucket),
    );
    expect(destinationFingerprint(bucket)).not.toBe(destinationFingerprint({ ...bucket, prefix: 'q' }));
  });

  test.each<{ name: string; fields: Partial<LakeSettings>; same: boolean }>([
    { name: 'another format', fields: { format: 'parquet', deletes: null }, same: false },
    { name: 'copy on write', fields: { deletes: 'cow' }, same: true },
    { name: 'maintenance', fields: { maintenance: { ...SAMPLE_LAKE.maintenance, retentionMs: 2 } }, same: true },
    { name: 'another folder to work in', fields: { workPath: '/elsewhere' }, same: true },
  ])('a lake with $name', ({ fields, same }) => {
    const folder = { ...SAMPLE_LAKE, type: 'local', name: 'w', path: '/data/lake', writtenPath: 'lake' } as const;
    expect(destinationFingerprint({ ...folder, ...fields }) === destinationFingerprint(folder)).toBe(same);
  });
});
