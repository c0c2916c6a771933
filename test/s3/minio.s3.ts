import { describe } from 'vitest';
import { conformance } from './conformance.js';
import { startMinio } from './minio.js';

// Its source is large to build, so it is asked for: SLUICE_MINIO=1 npm run test:s3.
describe.runIf(process.env['SLUICE_MINIO'] === '1')('with SLUICE_MINIO=1', () => {
  conformance('minio', () =>
    startMinio({ bucket: 'lake', accessKeyId: 'conformance', secretAccessKey: 'conformance-secret' }),
  );
});
