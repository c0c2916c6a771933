import type { S3UnderTest } from './conformance-world.js';
import { type GoProgram, startGoServer } from './go-server.js';
import { withBucket } from './versitygw.js';

const PROGRAM: GoProgram = { name: 'minio', module: 'github.com/minio/minio', version: 'latest' };

/** Starts MinIO over a temporary folder, with one bucket, without its web console. */
export async function startMinio(options: {
  readonly bucket: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}): Promise<S3UnderTest> {
  const server = await startGoServer({
    program: PROGRAM,
    args: ({ port, dataFolder }) => ['server', '--quiet', '--address', `127.0.0.1:${port}`, dataFolder],
    env: {
      MINIO_ROOT_USER: options.accessKeyId,
      MINIO_ROOT_PASSWORD: options.secretAccessKey,
      MINIO_BROWSER: 'off',
      MINIO_UPDATE: 'off',
    },
  });
  return withBucket({ ...options, ...server });
}
