import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import {
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import { refusal, type World } from './conformance-world.js';

const TEN_BYTES = '0123456789';

export function readsAndDeletes(world: World): void {
  describe('ranges', () => {
    test.each<{ range: string; text: string; contentRange: string }>([
      { range: 'bytes=0-0', text: '0', contentRange: 'bytes 0-0/10' },
      { range: 'bytes=2-4', text: '234', contentRange: 'bytes 2-4/10' },
      { range: 'bytes=9-9', text: '9', contentRange: 'bytes 9-9/10' },
      { range: 'bytes=7-', text: '789', contentRange: 'bytes 7-9/10' },
      { range: 'bytes=7-99', text: '789', contentRange: 'bytes 7-9/10' },
      { range: 'bytes=-3', text: '789', contentRange: 'bytes 7-9/10' },
      { range: 'bytes=-99', text: TEN_BYTES, contentRange: 'bytes 0-9/10' },
    ])('$range', async ({ range, text, contentRange }) => {
      await world.bucket.put('ten', TEN_BYTES);
      expect(await world.bucket.get('ten', range)).toMatchObject({ text, contentRange });
    });

    test.each(['bytes=10-', 'bytes=10-12', 'bytes=99-100'])('%s is behind the end', async (range) => {
      await world.bucket.put('ten', TEN_BYTES);
      expect(await refusal(world.bucket.get('ten', range))).toEqual({ code: 'InvalidRange', status: 416 });
    });

    test('of a body of 3 MB, over a limit of buffers', async () => {
      const body = Buffer.from(Array.from({ length: 3_000_000 }, (_, index) => index % 251));
      await world.bucket.put('large', body);
      const { text } = await world.bucket.get('large', 'bytes=1048000-1049999');
      expect(Buffer.from(text, 'latin1').equals(body.subarray(1_048_000, 1_050_000))).toBe(true);
    });
  });

  describe('reads', () => {
    test('an ETag is the MD5 of the body, the same everywhere', async () => {
      const etag = await world.bucket.put('etag', TEN_BYTES);
      expect(etag).toBe(`"${createHash('md5').update(TEN_BYTES).digest('hex')}"`);
      const head = await world.bucket.client.send(new HeadObjectCommand({ Bucket: world.bucket.name, Key: 'etag' }));
      expect(head).toMatchObject({ ETag: etag, ContentLength: 10 });
      expect(Math.abs(Date.now() - (head.LastModified?.getTime() ?? 0))).toBeLessThan(60_000);
      expect((await world.bucket.get('etag')).etag).toBe(etag);
    });

    test('nothing is sent again to who has that ETag', async () => {
      const etag = await world.bucket.put('polled', 'one');
      const poll = () =>
        world.bucket.client.send(new GetObjectCommand({ Bucket: world.bucket.name, Key: 'polled', IfNoneMatch: etag }));
      expect((await refusal(poll())).status).toBe(304);
      await world.bucket.put('polled', 'two');
      expect(await (await poll()).Body?.transformToString()).toBe('two');
    });

    test('what is not there', async () => {
      expect(await refusal(world.bucket.get('nothing'))).toEqual({ code: 'NoSuchKey', status: 404 });
      const head = world.bucket.client.send(new HeadObjectCommand({ Bucket: world.bucket.name, Key: 'nothing' }));
      expect(await refusal(head)).toEqual({ code: 'NotFound', status: 404 });
      const elsewhere = world.bucket.client.send(new GetObjectCommand({ Bucket: 'no-such-bucket', Key: 'nothing' }));
      expect(await refusal(elsewhere)).toEqual({ code: 'NoSuchBucket', status: 404 });
    });

    test('an empty body', async () => {
      await world.bucket.put('empty', new Uint8Array());
      expect(await world.bucket.get('empty')).toMatchObject({ text: '', etag: '"d41d8cd98f00b204e9800998ecf8427e"' });
    });

    test.each(['a=1/b=2.parquet', '_delta_log/00000000000000000000.json', 'x-y_z.0/~', 'é ü+&<>"\'/%25', "(!*')"])(
      'the key %s',
      async (key) => {
        await world.bucket.put(`keys/${key}`, key);
        expect(Buffer.from((await world.bucket.get(`keys/${key}`)).text, 'latin1').toString()).toBe(key);
        expect((await world.bucket.list({ prefix: 'keys/' })).names).toContain(`keys/${key}`);
      },
    );
  });

  describe('bodies', () => {
    test('a stream, whose checksum comes behind it', async () => {
      const body = Buffer.alloc(2_500_000, 'stream');
      await world.bucket.client.send(
        new PutObjectCommand({
          Bucket: world.bucket.name,
          Key: 'streamed',
          Body: Readable.from([body.subarray(0, 70_000), body.subarray(70_000)]),
          ContentLength: body.length,
        }),
      );
      const { text, etag } = await world.bucket.get('streamed');
      expect(Buffer.from(text, 'latin1').equals(body)).toBe(true);
      expect(etag).toBe(`"${createHash('md5').update(body).digest('hex')}"`);
    });

    test.each<{ name: string; wrong: { ContentMD5?: string; ChecksumSHA256?: string; ChecksumCRC32?: string } }>([
      { name: 'an MD5', wrong: { ContentMD5: 'AAAAAAAAAAAAAAAAAAAAAA==' } },
      { name: 'a CRC32', wrong: { ChecksumCRC32: 'AAAAAA==' } },
      { name: 'a SHA-256', wrong: { ChecksumSHA256: 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=' } },
    ])('$name of something else is refused, and nothing is kept', async ({ name, wrong }) => {
      const key = `broken/${name}`;
      const write = world.bucket.client.send(
        new PutObjectCommand({ Bucket: world.bucket.name, Key: key, Body: 'x', ...wrong }),
      );
      expect(await refusal(write)).toEqual({ code: 'BadDigest', status: 400 });
      expect((await refusal(world.bucket.get(key))).code).toBe('NoSuchKey');
    });
  });

  describe('deletes', () => {
    test('a key that is not there is no error', async () => {
      await world.bucket.put('gone', 'x');
      for (let times = 0; times < 2; times++) {
        await world.bucket.client.send(new DeleteObjectCommand({ Bucket: world.bucket.name, Key: 'gone' }));
      }
      expect((await refusal(world.bucket.get('gone'))).code).toBe('NoSuchKey');
    });

    test.each([true, false])('many at once, some of them missing (quiet: %s)', async (quiet) => {
      const keys = Array.from({ length: 120 }, (_, index) => `many/${quiet}/${index}&<>`);
      await world.bucket.fill(keys);
      const missing = [`many/${quiet}/missing`];
      const answer = await world.bucket.client.send(
        new DeleteObjectsCommand({
          Bucket: world.bucket.name,
          Delete: { Objects: [...keys, ...missing].map((Key) => ({ Key })), Quiet: quiet },
        }),
      );
      expect(answer.Errors ?? []).toEqual([]);
      expect(new Set((answer.Deleted ?? []).map(({ Key }) => Key))).toEqual(
        new Set(quiet && !world.differs('a quiet deletion of many names all keys') ? [] : [...keys, ...missing]),
      );
      expect((await world.bucket.list({ prefix: `many/${quiet}/` })).names).toEqual([]);
    });
  });
}
