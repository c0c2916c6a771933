import type { LakeSettings, S3AccessConfig } from '../../src/config/config.js';

/** Settings of a lake as the config gives them, for tests to which most of them are nothing. */
export const SAMPLE_LAKE: LakeSettings = {
  format: 'delta',
  deletes: 'dv',
  clusterByKey: false,
  targetFileMb: 128,
  maintenance: { everyMs: 1, retentionMs: 1, smallFileMb: 1, deletedRatio: 0.2 },
  workPath: '/work',
  cacheMb: 1,
  memoryLimitMb: 256,
  threads: null,
  parallelLoads: null,
};

/** The way to a bucket without anything that need not be said. */
export const SAMPLE_ACCESS: S3AccessConfig = {
  region: null,
  endpoint: null,
  forcePathStyle: false,
  keys: null,
  profile: null,
  assumeRole: null,
  caFile: null,
  encryption: null,
  connectTimeoutMs: 1_000,
  requestTimeoutMs: 1_000,
  maxAttempts: 1,
  concurrency: 16,
  partSizeMb: 16,
};
