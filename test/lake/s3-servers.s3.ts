import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ObjectStore } from '../../src/destination/lake/object-store.js';
import { openStore } from '../../src/destination/lake/store/open-store.js';
import { MIB } from '../../src/destination/lake/store/s3-settings.js';
import type { S3UnderTest } from '../s3/conformance-world.js';
import { startMinio } from '../s3/minio.js';
import { startVersitygw } from '../s3/versitygw.js';
import { conditionalSwaps, storeContract } from './store-contract.js';
import { systemStoreDeps } from './store-deps.js';

/** The S3 store against real servers, which hold one bucket; each test has a prefix of its own. MinIO only where asked for. */
const KEY = { accessKeyId: 'store', secretAccessKey: 'store-secret' };
const SERVERS = [
  { name: 'versitygw', asked: true, start: startVersitygw },
  { name: 'minio', asked: process.env['SLUICE_MINIO'] === '1', start: startMinio },
];

describe.each(SERVERS.filter(({ asked }) => asked))('$name', ({ start }) => {
  let server: S3UnderTest;
  let folder: string;
  let store: ObjectStore;
  let prefixes = 0;

  beforeAll(async () => {
    server = await start({ bucket: 'lake', ...KEY });
  }, 120_000);
  afterAll(() => server.stop());

  async function open(prefix: string, keys = KEY): Promise<ObjectStore> {
    const s3 = {
      bucket: 'lake',
      prefix,
      region: null,
      endpoint: server.endpoint,
      forcePathStyle: true,
      credentials: { kind: 'static', ...keys },
      assumeRole: null,
      caFile: null,
      encryption: null,
      connectTimeoutMs: 2_000,
      requestTimeoutMs: 10_000,
      maxAttempts: 4,
      concurrency: 8,
      partSizeMb: 8,
    } as const;
    return await openStore({ type: 's3', s3 }, systemStoreDeps);
  }

  beforeEach(async () => {
    prefixes += 1;
    folder = await mkdtemp(join(tmpdir(), 'sluice-store-'));
    store = await open(`p${prefixes}`);
    return async () => {
      await store.close();
      await rm(folder, { recursive: true });
    };
  });

  storeContract(() => Promise.resolve({ store, folder }));
  conditionalSwaps(() => Promise.resolve({ store, folder }));

  test('a large file goes in parts and comes in ranges', async () => {
    const file = join(folder, 'large');
    await writeFile(file, Buffer.alloc(MIB, 'x'));
    await truncate(file, 70 * MIB);
    await writeFile(file, 'end', { flag: 'a' });
    expect(await store.upload(file, 'big')).toBe(70 * MIB + 3);
    expect(await store.download('big', join(folder, 'back'))).toBe(70 * MIB + 3);
    expect(Buffer.compare(await readFile(join(folder, 'back')), await readFile(file))).toBe(0);
    expect(await store.abortLeftovers('', new Date(Date.now() + 60_000))).toBe(0);
  });

  test('a key that it does not know is no missing object', async () => {
    const stranger = await open('p', { accessKeyId: 'nobody', secretAccessKey: 'nothing' });
    await expect(stranger.get('a')).rejects.toMatchObject({ code: 'STORE_CREDENTIALS' });
    await stranger.close();
  });
});
