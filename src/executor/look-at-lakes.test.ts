import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SAMPLE_ACCESS, SAMPLE_LAKE } from '../../test/config/sample-lake.js';
import { FakeClock } from '../../test/fake/clock.js';
import { type MemoryS3, startMemoryS3 } from '../../test/s3/memory-s3.js';
import type { Config, DestinationConfig } from '../config/config.js';
import { checkLakeStore } from '../guard/checks/lake.js';
import { policiesOf } from '../guard/lake-policy.js';
import { configOf } from '../guard/sample-subject.js';
import { lookAtLakes } from './look-at-lakes.js';

const KEY = { accessKeyId: 'AKTEST', secretAccessKey: 'secret' };

let folder: string;
let server: MemoryS3;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sluice-look-'));
  server = await startMemoryS3({ bucket: 'acme', ...KEY });
});
afterEach(async () => {
  await server.stop();
  await rm(folder, { recursive: true });
});

const settings = () => ({
  ...SAMPLE_LAKE,
  name: 'warehouse',
  workPath: path.join(folder, 'work', 'of', 'the', 'lake'),
});

function bucket(access: Partial<Extract<DestinationConfig, { type: 's3' }>['access']> = {}, name = 'acme'): Config {
  const keys = {
    accessKeyId: { kind: 'inline' as const, value: KEY.accessKeyId },
    secretAccessKey: { kind: 'inline' as const, value: KEY.secretAccessKey },
  };
  return withLake({
    ...settings(),
    type: 's3',
    bucket: name,
    prefix: 'shop',
    access: { ...SAMPLE_ACCESS, endpoint: server.endpoint, forcePathStyle: true, keys, ...access },
  });
}

function withLake(lake: DestinationConfig): Config {
  return { ...configOf({}), destinations: { warehouse: lake } };
}

async function found(config: Config, now = new Date()): Promise<string[]> {
  const deps = {
    secrets: { env: {}, homeDir: folder, readFile: async () => '' },
    clock: new FakeClock(now.toISOString()),
  };
  const looks = await lookAtLakes(config, deps, 'doctor', new AbortController().signal);
  expect(looks).toHaveLength(1);
  return looks.flatMap(checkLakeStore).map(({ level, code }) => `${level} ${code}`);
}

test.each<{ name: string; config: () => Config; spoil?: () => void; now?: () => Date; found: string[] }>([
  { name: 'a bucket that is well', config: () => bucket(), found: [] },
  {
    name: 'a folder that is well',
    config: () => withLake({ ...settings(), type: 'local', path: path.join(folder, 'lake'), writtenPath: 'lake' }),
    found: [],
  },
  { name: 'no such bucket', config: () => bucket({}, 'other'), found: ['error STORE_BUCKET_MISSING'] },
  {
    name: 'nobody there',
    config: () => bucket({ endpoint: 'http://127.0.0.1:9' }),
    found: ['error STORE_UNREACHABLE'],
  },
  {
    name: 'an unknown key',
    config: () =>
      bucket({
        keys: {
          accessKeyId: { kind: 'inline', value: 'AKOTHER' },
          secretAccessKey: { kind: 'inline', value: 'secret' },
        },
      }),
    found: ['error STORE_CREDENTIALS'],
  },
  {
    name: 'a key that is not set',
    config: () =>
      bucket({
        keys: { accessKeyId: { kind: 'env', name: 'NOPE' }, secretAccessKey: { kind: 'env', name: 'NOPE' } },
      }),
    found: ['error SECRET_MISSING'],
  },
  {
    name: 'what is no longer needed must not be removed',
    config: () => bucket(),
    spoil: () => {
      const does = { answer: 'AccessDenied' } as const;
      server.fault({ on: ({ operation }) => operation === 'DeleteObjects', does, times: Number.POSITIVE_INFINITY });
    },
    found: ['error STORE_FORBIDDEN'],
  },
  {
    name: 'a clock that is off',
    config: () => bucket(),
    now: () => new Date(Date.now() + 120_000),
    found: ['warning STORE_CLOCK_SKEW'],
  },
])('$name', async (c) => {
  c.spoil?.();
  expect(await found(c.config(), c.now?.())).toEqual(c.found);
  if (c.spoil === undefined) expect(server.objects()).toEqual([]);
});

test('a plan asks the store nothing, and looks where the work folder would be made', async () => {
  await writeFile(path.join(folder, 'work'), 'a file in the way');
  const deps = {
    secrets: { env: {}, homeDir: folder, readFile: async () => '' },
    clock: new FakeClock(new Date().toISOString()),
  };
  const looks = await lookAtLakes(bucket(), deps, 'plan', new AbortController().signal);
  expect(looks.map(({ store, work }) => [store, work.unwritable !== null])).toEqual([[null, true]]);
  expect(server.requests).toEqual([]);
});

test('the policy of a bucket is told without asking anybody', () => {
  const [policy, ...more] = policiesOf(bucket({ encryption: { type: 'sse-kms', kmsKeyId: 'abc' } }));
  expect(more).toEqual([]);
  expect(policy).toMatchObject({ destination: 'warehouse', bucket: 'acme' });
  expect(policy?.policy).toContain('arn:aws:s3:::acme/shop/*');
  expect(policy?.policy).toContain('key/abc');
  expect(server.requests).toEqual([]);
});
