import { describe, expect, test } from 'vitest';
import { parse, problemsOf, withParts } from '../../test/config/config-text.js';
import type { S3AccessConfig } from './config.js';
import type { ConfigPath } from './problem.js';
import { readS3Access } from './read-s3.js';
import { Reading } from './reading.js';
import type { S3Destination } from './schema-types.js';

const DEFAULTS: S3AccessConfig = {
  region: null,
  endpoint: null,
  forcePathStyle: false,
  keys: null,
  profile: null,
  assumeRole: null,
  caFile: null,
  encryption: null,
  connectTimeoutMs: 5_000,
  requestTimeoutMs: 30_000,
  maxAttempts: 5,
  concurrency: 16,
  partSizeMb: 16,
};
const PATH: ConfigPath = ['destinations', 'lake'];
const ROLE = 'arn:aws:iam::123456789012:role/lake';

function read(raw: Partial<S3Destination>): { readonly access: S3AccessConfig; readonly problems: readonly string[] } {
  const reading = new Reading({ broken: [], baseDir: '/etc/sluice', homeDir: '/home/me', variablesAt: () => [] });
  const access = readS3Access({ type: 's3', bucket: 'b', ...raw }, PATH, reading);
  return { access, problems: reading.issues.map(({ path, message }) => `${path.slice(2).join('.')}: ${message}`) };
}

describe('what is read', () => {
  test.each<{ name: string; raw: Partial<S3Destination>; expected: Partial<S3AccessConfig> }>([
    { name: 'defaults', raw: {}, expected: {} },
    {
      name: 'another server',
      raw: { endpoint: 'https://s3.internal', force_path_style: true, region: 'eu', ca_file: 'ca.pem' },
      expected: { endpoint: 'https://s3.internal', forcePathStyle: true, region: 'eu', caFile: '/etc/sluice/ca.pem' },
    },
    {
      name: 'keys as references',
      raw: { access_key_id: { env: 'A' }, secret_access_key: { file: 's' } },
      expected: {
        keys: { accessKeyId: { kind: 'env', name: 'A' }, secretAccessKey: { kind: 'file', path: '/etc/sluice/s' } },
      },
    },
    {
      name: 'a role, of a profile',
      raw: { profile: 'acme', assume_role: { role_arn: ROLE } },
      expected: { profile: 'acme', assumeRole: { roleArn: ROLE, externalId: null, sessionName: 'sluice' } },
    },
    {
      name: 'a role with everything',
      raw: { assume_role: { role_arn: ROLE, external_id: 'e1', session_name: 'lake' } },
      expected: { assumeRole: { roleArn: ROLE, externalId: 'e1', sessionName: 'lake' } },
    },
    { name: 'SSE-S3', raw: { encryption: { type: 'sse-s3' } }, expected: { encryption: { type: 'sse-s3' } } },
    {
      name: 'SSE-KMS',
      raw: { encryption: { type: 'sse-kms', kms_key_id: 'k' } },
      expected: { encryption: { type: 'sse-kms', kmsKeyId: 'k' } },
    },
    {
      name: 'SSE-KMS with the key of the account',
      raw: { encryption: { type: 'sse-kms' } },
      expected: { encryption: { type: 'sse-kms', kmsKeyId: null } },
    },
    {
      name: 'limits',
      raw: { timeout: { connect: '1s', request: '2m' }, max_attempts: 2, concurrency: 3, part_size_mb: 8 },
      expected: { connectTimeoutMs: 1_000, requestTimeoutMs: 120_000, maxAttempts: 2, concurrency: 3, partSizeMb: 8 },
    },
  ])('$name', (c) => expect(read(c.raw)).toEqual({ access: { ...DEFAULTS, ...c.expected }, problems: [] }));
});

describe('mistakes', () => {
  test.each<{ name: string; raw: Partial<S3Destination>; problem: string }>([
    {
      name: 'half of a key',
      raw: { access_key_id: { env: 'A' } },
      problem: 'secret_access_key: required beside access_key_id',
    },
    {
      name: 'keys and a profile',
      raw: { access_key_id: { env: 'A' }, secret_access_key: { env: 'B' }, profile: 'p' },
      problem: 'profile: either a profile or access_key_id, not both',
    },
    {
      name: 'certificates without TLS',
      raw: { endpoint: 'http://127.0.0.1:1', ca_file: 'c' },
      problem: 'ca_file: only for an endpoint with https',
    },
    {
      name: 'a KMS key without KMS',
      raw: { encryption: { type: 'sse-s3', kms_key_id: 'k' } },
      problem: 'encryption.kms_key_id: only for type "sse-kms"',
    },
    {
      name: 'no time at all',
      raw: { timeout: { request: '10ms' } },
      problem: 'timeout.request: expected at least 1s, found "10ms"',
    },
  ])('$name', (c) => expect(read(c.raw).problems).toEqual([c.problem]));

  test.each<{ name: string; yaml: string; problem: string }>([
    { name: 'parts that S3 does not take', yaml: 'part_size_mb: 4', problem: 'destinations.lake.part_size_mb' },
    { name: 'a role without a name', yaml: 'assume_role: {}', problem: 'destinations.lake.assume_role.role_arn' },
    { name: 'a role that is none', yaml: 'assume_role: { role_arn: lake }', problem: 'the ARN of a role' },
    { name: 'an unknown encryption', yaml: 'encryption: { type: aes }', problem: 'one of sse-s3, sse-kms' },
  ])('$name', ({ yaml, problem }) => {
    const text = withParts({
      destinations: `  warehouse: { type: duckdb, path: w }\n  lake: { type: s3, bucket: b, ${yaml} }`,
    });
    expect(parse(text).ok).toBe(false);
    expect(problemsOf(text)).toContain(problem);
  });
});
