import { defineConfig } from 'vitest/config';

// What must hold on real S3 servers, which Go builds on first use: `npm run test:s3`, part of .ci/run. With
// SLUICE_MINIO=1 also on MinIO.
export default defineConfig({
  test: {
    include: ['test/**/*.s3.ts'],
    testTimeout: 60_000,
    // The first build of a server is waited for in a hook.
    hookTimeout: 900_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
