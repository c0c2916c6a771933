import { CreateBucketCommand } from '@aws-sdk/client-s3';
import { clientOf, type S3UnderTest } from './conformance-world.js';
import { type GoProgram, startGoServer } from './go-server.js';

const PROGRAM: GoProgram = {
  name: 'versitygw',
  module: 'github.com/versity/versitygw/cmd/versitygw',
  version: 'v1.8.0',
};

/**
 * Starts versitygw over a temporary folder, with one bucket.
 *
 * Its options --keep-alive and --sidecar stay away: with the one bodies get mixed up, with the other requests fail. The
 * folder must lie on a file system with extended attributes, which tmpfs has since Linux 6.6.
 */
export async function startVersitygw(options: {
  readonly bucket: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}): Promise<S3UnderTest> {
  const server = await startGoServer({
    program: PROGRAM,
    args: ({ port, dataFolder }) => ['--port', `127.0.0.1:${port}`, '--quiet', 'posix', dataFolder],
    env: { ROOT_ACCESS_KEY: options.accessKeyId, ROOT_SECRET_KEY: options.secretAccessKey },
  });
  return withBucket({ ...options, ...server });
}

/** The bucket is made by request, as a user would. */
export async function withBucket(server: S3UnderTest): Promise<S3UnderTest> {
  const client = clientOf(server);
  try {
    await client.send(new CreateBucketCommand({ Bucket: server.bucket }));
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  } finally {
    client.destroy();
  }
}
