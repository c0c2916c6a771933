import { HeadBucketCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import { clientOf, refusal, type World } from './conformance-world.js';

export function signedRequests(world: World): void {
  describe('signatures', () => {
    test.each<{ name: string; key?: string; secret?: string; offsetMs?: number; code: string }>([
      { name: 'another secret', secret: 'not-the-secret', code: 'SignatureDoesNotMatch' },
      { name: 'an unknown key', key: 'NOTTHEKEY', code: 'InvalidAccessKeyId' },
      { name: 'a clock an hour ahead', offsetMs: 3_600_000, code: 'RequestTimeTooSkewed' },
      { name: 'a clock an hour behind', offsetMs: -3_600_000, code: 'RequestTimeTooSkewed' },
    ])('$name: $code', async ({ key, secret, offsetMs, code }) => {
      const { accessKeyId, secretAccessKey } = world.server;
      const client = clientOf(world.server, {
        credentials: { accessKeyId: key ?? accessKeyId, secretAccessKey: secret ?? secretAccessKey },
        ...(offsetMs === undefined ? {} : { systemClockOffset: offsetMs }),
      });
      try {
        const call = client.send(new ListObjectsV2Command({ Bucket: world.bucket.name, Prefix: 'signed' }));
        const unknown =
          code === 'InvalidAccessKeyId' && world.differs('an unknown access key is 404 XAdminUserNotFound');
        expect(await refusal(call)).toEqual(
          unknown ? { code: 'XAdminUserNotFound', status: 404 } : { code, status: 403 },
        );
      } finally {
        client.destroy();
      }
    });

    test('the bucket answers to the right key', async () => {
      const answer = await world.bucket.client.send(new HeadBucketCommand({ Bucket: world.bucket.name }));
      expect(answer.$metadata.httpStatusCode).toBe(200);
    });
  });
}
