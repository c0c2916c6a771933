import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  CopyObjectCommand,
  DeleteObjectsCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { clientOf, outcomes, refusal, TestBucket } from './conformance-world.js';
import type { FaultEffect } from './fault.js';
import { type MemoryS3, startMemoryS3 } from './memory-s3.js';

const KEY = { accessKeyId: 'AKIAMEMORY', secretAccessKey: 'memory-secret' };

let s3: MemoryS3;
let client: S3Client;
let bucket: TestBucket;

beforeEach(async () => {
  s3 = await startMemoryS3({ bucket: 'lake', ...KEY });
  client = clientOf({ ...s3, ...KEY }, { maxAttempts: 3 });
  bucket = new TestBucket(client, 'lake');
});
afterEach(async () => {
  client.destroy();
  await s3.stop();
});

const statuses = () => s3.requests.map(({ status }) => status);
const puts = ({ operation }: { operation: string }) => operation === 'PutObject';

describe('faults of a conditional write, with a client that tries three times', () => {
  test.each<{ name: string; does: FaultEffect; outcome: string; statuses: (number | string)[]; stored: string[] }>([
    {
      name: 'a lost answer makes a refusal of a success',
      does: 'lose_answer',
      outcome: 'PreconditionFailed',
      statuses: ['broken', 412],
      stored: ['k'],
    },
    { name: 'a dropped request is sent again', does: 'drop', outcome: 'ok', statuses: ['broken', 200], stored: ['k'] },
    {
      name: 'SlowDown is tried again',
      does: { answer: 'SlowDown' },
      outcome: 'ok',
      statuses: [503, 200],
      stored: ['k'],
    },
    {
      name: 'an internal error is tried again',
      does: { answer: 'InternalError' },
      outcome: 'ok',
      statuses: [500, 200],
      stored: ['k'],
    },
    {
      name: "a conflict is the caller's",
      does: { answer: 'ConditionalRequestConflict' },
      outcome: 'ConditionalRequestConflict',
      statuses: [409],
      stored: [],
    },
    { name: 'a denial too', does: { answer: 'AccessDenied' }, outcome: 'AccessDenied', statuses: [403], stored: [] },
    { name: 'a delay changes nothing', does: { delayMs: 20 }, outcome: 'ok', statuses: [200], stored: ['k'] },
  ])('$name', async ({ does, outcome, statuses: expected, stored }) => {
    const fault = s3.fault({ on: puts, does });
    expect(await outcomes([bucket.put('k', 'body', { IfNoneMatch: '*' })])).toEqual([outcome]);
    expect(statuses()).toEqual(expected);
    expect(s3.objects().map(({ key }) => key)).toEqual(stored);
    expect(fault.struck).toBe(1);
  });

  test('a lost answer of a swap likewise: the new body is there', async () => {
    const etag = await bucket.put('ledger', 'old');
    s3.fault({ on: puts, does: 'lose_answer' });
    expect((await refusal(bucket.put('ledger', 'new', { IfMatch: etag }))).code).toBe('PreconditionFailed');
    expect((await s3.read('ledger')).toString()).toBe('new');
  });
});

test('a fault strikes what it fits, as often as it says, until it is cleared', async () => {
  const fault = s3.fault({
    on: ({ method, key }) => method === 'PUT' && key === 'b',
    does: { answer: 'AccessDenied' },
    times: 2,
  });
  expect(await outcomes([bucket.put('a', 'x')])).toEqual(['ok']);
  for (const expected of ['AccessDenied', 'AccessDenied', 'ok']) {
    expect(await outcomes([bucket.put('b', 'x')])).toEqual([expected]);
  }
  expect(fault.struck).toBe(2);
  const endless = s3.fault({ on: puts, does: 'drop', times: Number.POSITIVE_INFINITY });
  expect(await outcomes([bucket.put('c', 'x')])).not.toEqual(['ok']);
  expect(endless.struck).toBe(3);
  endless.clear();
  expect(await outcomes([bucket.put('c', 'x')])).toEqual(['ok']);
});

test('a write that is held up loses to one that came later', async () => {
  let release = () => {};
  const until = new Promise<void>((resolve) => {
    release = resolve;
  });
  s3.fault({ on: puts, does: { until } });
  const held = outcomes([bucket.put('k', 'held', { IfNoneMatch: '*' })]);
  while (s3.requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
  expect(statuses()).toEqual([null]);
  await bucket.put('k', 'later', { IfNoneMatch: '*' });
  release();
  expect(await held).toEqual(['PreconditionFailed']);
  expect((await s3.read('k')).toString()).toBe('later');
});

test('a body that breaks off is an error, and the next read is whole', async () => {
  const body = Buffer.alloc(3_000_000, 'body');
  await bucket.put('k', body);
  s3.fault({ on: ({ operation }) => operation === 'GetObject', does: { cutAfterBytes: 1_000_000 } });
  const answer = await client.send(new GetObjectCommand({ Bucket: 'lake', Key: 'k' }));
  await expect(answer.Body?.transformToByteArray()).rejects.toThrow();
  expect(statuses()).toEqual([200, 'broken']);
  expect((await bucket.get('k')).text).toBe(body.toString());
});

test('of a deletion of many one key can fail', async () => {
  await bucket.fill(['a', 'b', 'c']);
  s3.fault({ on: ({ method, key }) => method === 'DELETE' && key === 'b', does: { answer: 'AccessDenied' } });
  const answer = await client.send(
    new DeleteObjectsCommand({ Bucket: 'lake', Delete: { Objects: ['a', 'b', 'c'].map((Key) => ({ Key })) } }),
  );
  expect(answer.Errors).toMatchObject([{ Key: 'b', Code: 'AccessDenied' }]);
  expect(answer.Deleted).toEqual([{ Key: 'a' }, { Key: 'c' }]);
  expect(s3.objects().map(({ key }) => key)).toEqual(['b']);
});

test("what happens behind everybody's back is no request", async () => {
  s3.write('k', Buffer.from('planted'));
  expect(s3.requests).toEqual([]);
  expect((await bucket.get('k')).text).toBe('planted');
  s3.remove('k');
  expect((await refusal(bucket.get('k'))).code).toBe('NoSuchKey');
});

test.each<{ name: string; call: () => Promise<unknown>; operation: string }>([
  {
    name: 'an operation',
    operation: 'Unknown',
    call: () => client.send(new GetBucketVersioningCommand({ Bucket: 'lake' })),
  },
  {
    name: 'a header',
    operation: 'PutObject',
    call: () => client.send(new CopyObjectCommand({ Bucket: 'lake', Key: 'k', CopySource: 'lake/a' })),
  },
])('$name that the server does not know is refused', async ({ call, operation }) => {
  expect(await refusal(call())).toEqual({ code: 'NotImplemented', status: 501 });
  expect(s3.requests.at(-1)).toMatchObject({ operation, status: 501 });
});

test('the end breaks what is held up and leaves no files', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'sluice-s3-test-'));
  vi.stubEnv('TMPDIR', folder);
  const own = await startMemoryS3({ bucket: 'lake', ...KEY });
  const ownBucket = new TestBucket(clientOf({ ...own, ...KEY }), 'lake');
  try {
    own.fault({ on: ({ key }) => key === 'held', does: { delayMs: 60_000 } });
    await ownBucket.put('large', Buffer.alloc(2_000_000));
    const held = outcomes([ownBucket.put('held', 'x')]);
    while (own.requests.length < 2) await new Promise((resolve) => setImmediate(resolve));
    expect(await readdir(folder)).toHaveLength(1);
    await own.stop();
    expect(await held).not.toEqual(['ok']);
    expect(await readdir(folder)).toEqual([]);
  } finally {
    vi.unstubAllEnvs();
    ownBucket.client.destroy();
    await rm(folder, { recursive: true });
  }
});
