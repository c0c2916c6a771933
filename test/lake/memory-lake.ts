import type { EngineFixture } from '../engine-fixture.js';
import type { TestPostgres } from '../postgres/server.js';
import { type MemoryS3, startMemoryS3 } from '../s3/memory-s3.js';

/** Moves a fixture to a bucket whose requests are recorded, and loads its tables there. */
export async function loadIntoBucket(fixture: EngineFixture, postgres: TestPostgres): Promise<MemoryS3> {
  const s3 = await startMemoryS3({
    bucket: 'lake',
    accessKeyId: postgres.password,
    secretAccessKey: postgres.password,
  });
  const key = { env: 'FIXTURE_PASSWORD' };
  await fixture.moveTo('lake', {
    ...{ type: 's3', bucket: 'lake', endpoint: s3.endpoint, force_path_style: true },
    ...{ access_key_id: key, secret_access_key: key },
  });
  await fixture.apply();
  await fixture.sync();
  return s3;
}
