import { expect, test } from 'vitest';
import { SAMPLE_ACCESS, SAMPLE_LAKE } from '../../../../test/config/sample-lake.js';
import type { S3AccessConfig } from '../../../config/config.js';
import { resolveS3Settings } from './resolve-s3.js';

const access: S3AccessConfig = { ...SAMPLE_ACCESS, region: 'eu', caFile: '/ca.pem', encryption: { type: 'sse-s3' } };
const secrets = { env: { A: 'id', B: 'key' }, readFile: () => Promise.reject(new Error('none')), homeDir: '/home' };
const config = (fields: Partial<S3AccessConfig>) =>
  ({ ...SAMPLE_LAKE, type: 's3', name: 'l', bucket: 'b', prefix: 'p', access: { ...access, ...fields } }) as const;
const { keys: _keys, profile: _profile, ...plain } = access;

test.each<{ name: string; fields: Partial<S3AccessConfig>; credentials: unknown }>([
  { name: 'the chain', fields: {}, credentials: { kind: 'chain', profile: null } },
  { name: 'a profile', fields: { profile: 'acme' }, credentials: { kind: 'chain', profile: 'acme' } },
  {
    name: 'keys by reference',
    fields: { keys: { accessKeyId: { kind: 'env', name: 'A' }, secretAccessKey: { kind: 'env', name: 'B' } } },
    credentials: { kind: 'static', accessKeyId: 'id', secretAccessKey: 'key' },
  },
])('$name', async ({ fields, credentials }) => {
  expect(await resolveS3Settings(config(fields), secrets)).toEqual({ ...plain, bucket: 'b', prefix: 'p', credentials });
});

test('a secret that is missing', async () => {
  const keys = { accessKeyId: { kind: 'env', name: 'A' }, secretAccessKey: { kind: 'env', name: 'C' } } as const;
  await expect(resolveS3Settings(config({ keys }), secrets)).rejects.toMatchObject({ code: 'SECRET_MISSING' });
});
