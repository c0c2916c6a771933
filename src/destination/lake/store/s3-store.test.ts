import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { request as forward } from 'node:http';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeClock } from '../../../../test/fake/clock.js';
import { conditionalSwaps, storeContract } from '../../../../test/lake/store-contract.js';
import { systemStoreDeps } from '../../../../test/lake/store-deps.js';
import { makeAuthority } from '../../../../test/postgres/certificates.js';
import { type MemoryS3, startMemoryS3 } from '../../../../test/s3/memory-s3.js';
import type { ObjectStore } from '../object-store.js';
import { checkStore } from './check-store.js';
import { openStore } from './open-store.js';
import { probeConditionalWrites } from './probe.js';
import { MIB, type S3Settings } from './s3-settings.js';
import type { StoreDeps } from './store-deps.js';

const KEY = { accessKeyId: 'AKIASTORETEST', secretAccessKey: 'a-secret-that-nobody-may-see' };
let server: MemoryS3;
let store: ObjectStore;
let folder: string;
let clock: FakeClock;
const opened: ObjectStore[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-s3-store-'));
  server = await startMemoryS3({ bucket: 'lake', ...KEY });
  clock = new FakeClock();
  store = await open({});
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((one) => one.close()));
  await server.stop();
  await rm(folder, { recursive: true });
});

async function open(fields: Partial<S3Settings>, deps: Partial<StoreDeps> = {}): Promise<ObjectStore> {
  const s3: S3Settings = {
    bucket: 'lake',
    prefix: '/shop/',
    region: null,
    endpoint: server.endpoint,
    forcePathStyle: true,
    credentials: { kind: 'static', ...KEY },
    assumeRole: null,
    caFile: null,
    encryption: null,
    connectTimeoutMs: 2_000,
    requestTimeoutMs: 5_000,
    maxAttempts: 4,
    concurrency: 8,
    partSizeMb: 5,
    ...fields,
  };
  const one = await openStore({ type: 's3', s3 }, { ...systemStoreDeps, clock, ...deps });
  opened.push(one);
  return one;
}

const body = (text: string) => Buffer.from(text);
const on = (operation: string) => (request: { readonly operation: string }) => request.operation === operation;
async function firstOf(one: ObjectStore): Promise<string | null> {
  for await (const { key } of one.list('')) return key;
  return null;
}
const operations = () => server.requests.map(({ operation }) => operation);

storeContract(() => Promise.resolve({ store, folder }));
conditionalSwaps(async () => ({ store: await open({}, { clock: systemStoreDeps.clock }), folder }));

test('everything lies below the prefix', async () => {
  await store.put('a', body('x'), null);
  expect(server.objects().map(({ key }) => key)).toEqual(['shop/a']);
  expect(store.place).toBe('s3://lake/shop');
  server.write('shopping/a', body('x'));
  const found = [];
  for await (const { key } of store.list('')) found.push(key);
  expect(found).toEqual(['a']);
});

test('more than a page is listed, more than a thousand are deleted', async () => {
  const keys = Array.from({ length: 2_345 }, (_, index) => `n/${String(index).padStart(6, '0')}`);
  for (const key of keys) server.write(`shop/${key}`, body(key));
  const found = [];
  for await (const { key } of store.list('n/', { startAfter: 'n/000010' })) found.push(key);
  expect(found).toEqual(keys.slice(11));
  await store.delete(keys);
  expect(server.objects()).toEqual([]);
  expect(store.traffic).toMatchObject({ lists: 3, deletes: 3 });
});

describe('trouble that passes', () => {
  test.each<{ name: string; does: Parameters<MemoryS3['fault']>[0]['does'] }>([
    { name: 'a broken connection', does: 'drop' },
    { name: 'out of order', does: { answer: 'InternalError' } },
    { name: 'overloaded', does: { answer: 'SlowDown' } },
    { name: 'an answer that was lost', does: 'lose_answer' },
  ])('$name: tried again', async ({ does }) => {
    server.fault({ on: on('PutObject'), does, times: 3 });
    expect(await store.put('a', body('x'), null)).toMatchObject({ kind: 'written' });
    expect(operations()).toEqual(Array.from({ length: 4 }, () => 'PutObject'));
    expect(clock.sleeps.length).toBe(3);
    expect(store.traffic).toMatchObject({ puts: 4, bytesSent: 4 });
  });

  test('a body that breaks off is fetched again', async () => {
    await store.put('a', body('0123456789'), null);
    server.fault({ on: on('GetObject'), does: { cutAfterBytes: 4 }, times: 2 });
    expect(Buffer.from((await store.get('a'))?.body ?? []).toString()).toBe('0123456789');
    server.fault({ on: on('GetObject'), does: { cutAfterBytes: 1 } });
    expect(Buffer.from(await store.getRange('a', 2, 5)).toString()).toBe('234');
  });

  test('an answer that was lost makes the next try of a conditional write a refusal', async () => {
    server.fault({ on: on('PutObject'), does: 'lose_answer' });
    expect(await store.put('a', body('ours'), { kind: 'absent' })).toEqual({ kind: 'refused' });
    expect(Buffer.from((await store.get('a'))?.body ?? []).toString()).toBe('ours');
    server.fault({ on: on('PutObject'), does: 'lose_answer' });
    await probeConditionalWrites(store, 'lost');
  });

  test('409 is tried again, then told', async () => {
    const does = { answer: 'ConditionalRequestConflict' } as const;
    server.fault({ on: on('PutObject'), does });
    expect(await store.put('a', body('x'), { kind: 'absent' })).toMatchObject({ kind: 'written' });
    server.fault({ on: on('PutObject'), does, times: 4 });
    await expect(store.put('b', body('x'), { kind: 'absent' })).rejects.toMatchObject({ code: 'STORE_CONFLICT' });
    expect(await store.get('b')).toBeNull();
  });

  test('pauses grow, and stay below the longest', async () => {
    const patient = await open({ maxAttempts: 12 }, { random: () => 0.999_999 });
    server.fault({ on: on('GetObject'), does: 'drop', times: 12 });
    await expect(patient.get('a')).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });
    expect(clock.sleeps.map((ms) => Math.round(ms))).toEqual([
      100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000, 10_000, 10_000,
    ]);
  });

  test('a pause and a slow answer can be cancelled', async () => {
    const reason = new Error('enough');
    const stop = new AbortController();
    const fault = server.fault({ on: on('GetObject'), does: { until: new Promise(() => undefined) } });
    const asked = store.get('a', stop.signal);
    await expect.poll(() => fault.struck).toBe(1);
    stop.abort(reason);
    await expect(asked).rejects.toBe(reason);
    expect(operations()).toEqual(['GetObject']);
  });

  test('a server that says nothing is given up', async () => {
    const hasty = await open({ requestTimeoutMs: 200, maxAttempts: 2 });
    server.fault({ on: on('GetObject'), does: { delayMs: 5_000 }, times: 2 });
    await expect(hasty.get('a')).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });
    expect(operations()).toEqual(['GetObject', 'GetObject']);
  });
});

describe('what is told of trouble that stays', () => {
  const all = () => true;
  test.each<{
    name: string;
    fault?: Parameters<MemoryS3['fault']>[0]['does'];
    settings?: Partial<S3Settings>;
    code: string;
    says: RegExp;
  }>([
    {
      name: 'nobody listens',
      settings: { endpoint: 'http://127.0.0.1:1' },
      code: 'STORE_UNREACHABLE',
      says: /ECONNREFUSED/,
    },
    {
      name: 'always out of order',
      fault: { answer: 'InternalError' },
      code: 'STORE_UNREACHABLE',
      says: /InternalError/,
    },
    { name: 'forbidden', fault: { answer: 'AccessDenied' }, code: 'STORE_FORBIDDEN', says: /AccessDenied/ },
    { name: 'no such bucket', settings: { bucket: 'nowhere' }, code: 'STORE_BUCKET_MISSING', says: /nowhere/ },
    {
      name: 'a wrong secret',
      settings: { credentials: { kind: 'static', accessKeyId: KEY.accessKeyId, secretAccessKey: 'another-secret' } },
      code: 'STORE_CREDENTIALS',
      says: /SignatureDoesNotMatch/,
    },
    {
      name: 'an unknown key',
      settings: { credentials: { kind: 'static', accessKeyId: 'AKIAUNKNOWN', secretAccessKey: 'another-secret' } },
      code: 'STORE_CREDENTIALS',
      says: /InvalidAccessKeyId/,
    },
    { name: 'another region', settings: { region: 'eu-west-7' }, code: 'STORE_REGION', says: /region/i },
    { name: 'clocks apart', fault: { answer: 'RequestTimeTooSkewed' }, code: 'STORE_CLOCK_SKEW', says: /clock/ },
    {
      name: 'no conditions',
      fault: { answer: 'NotImplemented' },
      code: 'STORE_NOT_CONDITIONAL',
      says: /NotImplemented/,
    },
  ])('$name', async ({ fault, settings = {}, code, says }) => {
    if (fault !== undefined) server.fault({ on: all, does: fault, times: Number.POSITIVE_INFINITY });
    const one = await open(settings);
    const error = await one.put('a', body('x'), { kind: 'absent' }).then(
      () => expect.unreachable(),
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ code, message: expect.stringMatching(says) });
    const shown = JSON.stringify(error, Object.getOwnPropertyNames(error));
    for (const secret of [KEY.secretAccessKey, KEY.accessKeyId, 'another-secret', 'AKIAUNKNOWN']) {
      expect(shown).not.toContain(secret);
    }
  });

  test('the action that is needed', async () => {
    const does = { answer: 'AccessDenied' } as const;
    server.fault({ on: all, does, times: Number.POSITIVE_INFINITY });
    const hintOf = (work: Promise<unknown>) =>
      work.then(
        () => '',
        (error: { readonly hint?: string }) => error.hint,
      );
    expect(await hintOf(store.put('a', body('x'), null))).toBe('allow s3:PutObject');
    expect(await hintOf(store.get('a'))).toMatch(/^allow s3:GetObject/);
    expect(await hintOf(store.delete(['a']))).toBe('allow s3:DeleteObject');
    expect(await hintOf(firstOf(store))).toBe('allow s3:ListBucket');
    expect(await hintOf(store.abortLeftovers('', new Date()))).toBe('allow s3:ListBucketMultipartUploads');
  });

  test('no credentials anywhere', async () => {
    const one = await open({ credentials: { kind: 'chain', profile: 'sluice-none' } });
    await expect(one.get('a')).rejects.toMatchObject({ code: 'STORE_CREDENTIALS' });
  });

  test('certificates that are not there', async () => {
    await expect(open({ caFile: join(folder, 'none.pem') })).rejects.toMatchObject({ code: 'STORE_TLS_UNVERIFIED' });
  });
});

describe('large files', () => {
  const size = 64 * MIB + 12_345;
  async function largeFile(): Promise<string> {
    const file = join(folder, 'large');
    await writeFile(file, Buffer.alloc(MIB, 'x'));
    await truncate(file, size);
    await writeFile(file, 'end', { flag: 'a' });
    return file;
  }

  test('go in parts and come in ranges', async () => {
    const file = await largeFile();
    server.fault({ on: on('UploadPart'), does: 'drop' });
    server.fault({ on: on('CompleteMultipartUpload'), does: 'lose_answer' });
    expect(await store.upload(file, 'big')).toBe(size + 3);
    expect(server.uploads()).toEqual([]);
    expect(operations().filter((name) => name === 'UploadPart').length).toBe(13 + 1);
    server.fault({ on: (r) => r.operation === 'GetObject', does: { cutAfterBytes: 1_000 } });
    expect(await store.download('big', join(folder, 'back'))).toBe(size + 3);
    expect(Buffer.compare(await readFile(join(folder, 'back')), await readFile(file))).toBe(0);
    expect(operations().filter((name) => name === 'GetObject').length).toBe(13 + 1);
  }, 60_000);

  test('a part that fails for good leaves no upload behind', async () => {
    server.fault({ on: on('UploadPart'), does: { answer: 'AccessDenied' } });
    await expect(store.upload(await largeFile(), 'big')).rejects.toMatchObject({ code: 'STORE_FORBIDDEN' });
    expect(server.uploads()).toEqual([]);
    expect(server.objects()).toEqual([]);
  }, 60_000);

  test('left-overs are found by age', async () => {
    server.fault({ on: on('UploadPart'), does: { answer: 'AccessDenied' } });
    server.fault({ on: on('AbortMultipartUpload'), does: { answer: 'AccessDenied' } });
    await expect(store.upload(await largeFile(), 't/big')).rejects.toMatchObject({ code: 'STORE_FORBIDDEN' });
    expect(server.uploads().length).toBe(1);
    expect(await store.abortLeftovers('t/', new Date(Date.now() - 60_000))).toBe(0);
    expect(await store.abortLeftovers('u/', new Date(Date.now() + 60_000))).toBe(0);
    expect(await store.abortLeftovers('t/', new Date(Date.now() + 60_000))).toBe(1);
    expect(server.uploads()).toEqual([]);
  }, 60_000);

  test('an object that is replaced while it is fetched is no mixture', async () => {
    server.write('shop/big', Buffer.alloc(12 * MIB, 'a'));
    let ranges = 0;
    server.fault({
      on: ({ operation }) => {
        if (operation !== 'GetObject') return false;
        ranges += 1;
        if (ranges === 2) server.write('shop/big', Buffer.alloc(12 * MIB, 'b'));
        return false;
      },
      does: 'drop',
    });
    await expect(store.download('big', join(folder, 'back'))).rejects.toMatchObject({ code: 'STORE_OBJECT_CHANGED' });
    expect(existsSync(join(folder, 'back'))).toBe(false);
  });
});

test('TLS with a certificate authority of its own', async () => {
  const authority = makeAuthority();
  const { cert, key } = authority.issue({ commonName: 'localhost', names: ['127.0.0.1', 'localhost'] });
  // Passes everything on, the signed Host header too.
  const front = createServer({ cert, key }, (request, response) => {
    const onward = forward(`${server.endpoint}${request.url}`, { method: request.method, headers: request.headers });
    onward.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    request.pipe(onward);
  });
  await new Promise<void>((done) => front.listen(0, '127.0.0.1', done));
  try {
    const address = front.address();
    const endpoint = `https://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
    const caFile = join(folder, 'ca.pem');
    await writeFile(caFile, authority.cert);
    expect(await (await open({ endpoint, caFile })).put('a', body('x'), null)).toMatchObject({ kind: 'written' });
    await expect((await open({ endpoint })).get('a')).rejects.toMatchObject({ code: 'STORE_TLS_UNVERIFIED' });
  } finally {
    front.closeAllConnections();
    front.close();
  }
});

test('no more requests at once than allowed', async () => {
  const narrow = await open({ concurrency: 3 });
  let release = (): void => undefined;
  const until = new Promise<void>((resolve) => {
    release = resolve;
  });
  const fault = server.fault({ on: on('PutObject'), does: { until }, times: 10 });
  const puts = Array.from({ length: 10 }, (_, index) => narrow.put(`a${index}`, body('x'), null));
  await expect.poll(() => fault.struck).toBe(3);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(fault.struck).toBe(3);
  release();
  await Promise.all(puts);
  expect(server.objects().length).toBe(10);
});

test.each<{ name: string; encryption: S3Settings['encryption']; headers: Record<string, string> }>([
  { name: 'SSE-S3', encryption: { type: 'sse-s3' }, headers: { 'x-amz-server-side-encryption': 'AES256' } },
  {
    name: 'SSE-KMS',
    encryption: { type: 'sse-kms', kmsKeyId: 'alias/lake' },
    headers: { 'x-amz-server-side-encryption': 'aws:kms', 'x-amz-server-side-encryption-aws-kms-key-id': 'alias/lake' },
  },
])(
  '$name is asked for with every object',
  async ({ encryption, headers }) => {
    const one = await open({ encryption, maxAttempts: 1 });
    await writeFile(join(folder, 'small'), 'x');
    await one.put('a', body('x'), { kind: 'absent' }).catch(() => undefined);
    await one.upload(join(folder, 'small'), 'b').catch(() => undefined);
    await writeFile(join(folder, 'large'), '');
    await truncate(join(folder, 'large'), 64 * MIB + 1);
    await one.upload(join(folder, 'large'), 'c').catch(() => undefined);
    const made = server.requests.filter(
      ({ operation }) => operation === 'PutObject' || operation === 'CreateMultipartUpload',
    );
    expect(made.map(({ key }) => key)).toEqual(['shop/a', 'shop/b', 'shop/c']);
    for (const request of made) expect(request.headers).toMatchObject(headers);
  },
  60_000,
);

describe('checks of a store', () => {
  const levels = async (deps: { readonly clock: FakeClock } = { clock }) => {
    const results = await checkStore(store, { ...deps, newToken: systemStoreDeps.newToken });
    return results.map(({ check, level, code }) => `${check} ${level}${code === null ? '' : ` ${code}`}`);
  };

  test('a store out of reach', async () => {
    await server.stop();
    expect(await levels()).toEqual([
      'list error STORE_UNREACHABLE',
      'put skipped',
      'get skipped',
      'delete skipped',
      'conditional_writes skipped',
      'clock skipped',
    ]);
    server = await startMemoryS3({ bucket: 'lake', ...KEY });
  });

  test('one permission that is missing', async () => {
    server.fault({ on: on('DeleteObjects'), does: { answer: 'AccessDenied' }, times: Number.POSITIVE_INFINITY });
    expect((await levels()).slice(0, 5)).toEqual([
      'list ok',
      'put ok',
      'get ok',
      'delete error STORE_FORBIDDEN',
      'conditional_writes ok',
    ]);
  });

  test.each([
    { name: 'right', aheadMs: 500, level: 'clock ok' },
    { name: 'a little fast', aheadMs: 90_000, level: 'clock warning STORE_CLOCK_SKEW' },
    { name: 'a little slow', aheadMs: -90_000, level: 'clock warning STORE_CLOCK_SKEW' },
    { name: 'far off', aheadMs: 3_600_000, level: 'clock error STORE_CLOCK_SKEW' },
  ])('a clock that is $name', async ({ aheadMs, level }) => {
    const wrong = new FakeClock(new Date(Date.now() + aheadMs).toISOString());
    expect((await levels({ clock: wrong })).at(-1)).toBe(level);
  });
});
