import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import { refusal, told, type World } from './conformance-world.js';

/** The least that S3 takes for all parts but the last. */
const PART = Buffer.alloc(5 << 20, 'part');

export function multipartUploads(world: World): void {
  const where = (key: string) => ({ Bucket: world.bucket.name, Key: key });

  /** Starts an upload and sends parts; the client asks for CRC32 checksums by itself. */
  async function begin(
    key: string,
    bodies: readonly Uint8Array[],
  ): Promise<{ UploadId: string; parts: CompletedPart[] }> {
    const created = await world.bucket.client.send(
      new CreateMultipartUploadCommand({ ...where(key), ChecksumAlgorithm: 'CRC32' }),
    );
    const UploadId = told(created.UploadId);
    const parts: CompletedPart[] = [];
    for (const [index, Body] of bodies.entries()) {
      const PartNumber = index + 1;
      const { ETag, ChecksumCRC32 } = await world.bucket.client.send(
        new UploadPartCommand({ ...where(key), UploadId, PartNumber, Body, ChecksumAlgorithm: 'CRC32' }),
      );
      parts.push({ PartNumber, ETag, ChecksumCRC32 });
    }
    return { UploadId, parts };
  }

  function complete(key: string, UploadId: string, Parts: CompletedPart[], condition: { IfNoneMatch?: string } = {}) {
    return world.bucket.client.send(
      new CompleteMultipartUploadCommand({ ...where(key), UploadId, MultipartUpload: { Parts }, ...condition }),
    );
  }

  async function leftOvers(prefix: string): Promise<string[]> {
    const page = await world.bucket.client.send(
      new ListMultipartUploadsCommand({ Bucket: world.bucket.name, Prefix: prefix }),
    );
    return (page.Uploads ?? []).map((upload) => `${upload.Key} ${upload.UploadId}`);
  }

  describe('multipart uploads', () => {
    test('become one object, and nothing is seen of them before', async () => {
      const { UploadId, parts } = await begin('parts/whole', [PART, Buffer.from('the end')]);
      expect((await refusal(world.bucket.get('parts/whole'))).code).toBe('NoSuchKey');
      const { ETag } = await complete('parts/whole', UploadId, parts);
      const stored = await world.bucket.get('parts/whole', `bytes=${PART.length - 4}-`);
      expect(stored).toMatchObject({ text: 'partthe end', etag: ETag });
      expect(told(ETag)).toMatch(/^"[0-9a-f]{32}-2"$/);
      expect(await leftOvers('parts/whole')).toEqual([]);
    });

    test('are listed with their parts until they are aborted', async () => {
      const { UploadId } = await begin('left/over', [PART, Buffer.from('x')]);
      expect(await leftOvers('left/')).toEqual([`left/over ${UploadId}`]);
      const listed = await world.bucket.client.send(new ListPartsCommand({ ...where('left/over'), UploadId }));
      expect((listed.Parts ?? []).map(({ PartNumber, Size }) => [PartNumber, Size])).toEqual([
        [1, PART.length],
        [2, 1],
      ]);
      await world.bucket.client.send(new AbortMultipartUploadCommand({ ...where('left/over'), UploadId }));
      expect(await leftOvers('left/')).toEqual([]);
      expect((await refusal(world.bucket.get('left/over'))).code).toBe('NoSuchKey');
      const late = world.bucket.client.send(
        new UploadPartCommand({ ...where('left/over'), UploadId, PartNumber: 3, Body: 'late' }),
      );
      expect(await refusal(late)).toEqual({ code: 'NoSuchUpload', status: 404 });
    });

    test('do not replace an object when completed with If-None-Match', async () => {
      await world.bucket.put('parts/taken', 'first');
      const { UploadId, parts } = await begin('parts/taken', [Buffer.from('second')]);
      expect(await refusal(complete('parts/taken', UploadId, parts, { IfNoneMatch: '*' }))).toEqual({
        code: 'PreconditionFailed',
        status: 412,
      });
      expect((await world.bucket.get('parts/taken')).text).toBe('first');
      await world.bucket.client.send(new AbortMultipartUploadCommand({ ...where('parts/taken'), UploadId }));
    });

    test.each<{ name: string; key: string; change: (parts: CompletedPart[]) => CompletedPart[]; code: string }>([
      {
        name: 'a part that was not sent',
        key: 'refused/missing',
        change: ([first]) => [{ ...first, PartNumber: 7 }],
        code: 'InvalidPart',
      },
      {
        name: 'parts in another order',
        key: 'refused/order',
        change: (parts) => parts.toReversed(),
        code: 'InvalidPartOrder',
      },
    ])('cannot be completed with $name', async ({ key, change, code }) => {
      const { UploadId, parts } = await begin(key, [PART, PART]);
      expect(await refusal(complete(key, UploadId, change(parts)))).toEqual({ code, status: 400 });
      await complete(key, UploadId, parts);
      expect((await world.bucket.get(key, 'bytes=-4')).text).toBe('part');
    });

    test('cannot have small parts but the last', async () => {
      const { UploadId, parts } = await begin('refused/small', [Buffer.from('small'), Buffer.from('x')]);
      expect(await refusal(complete('refused/small', UploadId, parts))).toEqual({
        code: 'EntityTooSmall',
        status: 400,
      });
    });

    test('with checksums are completed with those of their parts', async () => {
      const { UploadId, parts } = await begin('parts/bare', [Buffer.from('x')]);
      const bare = complete(
        'parts/bare',
        UploadId,
        parts.map(({ PartNumber, ETag }) => ({ PartNumber, ETag })),
      );
      expect(await refusal(bare)).toEqual({ code: 'InvalidRequest', status: 400 });
    });
  });
}
