import { defineConfig } from 'vitest/config';
import { LONG_SUITES } from './vitest.config.js';

// The suites that would make `npm test` too long: `npm run test:long`, part of .ci/run.
export default defineConfig({
  test: {
    globalSetup: ['test/build-once.ts'],
    include: LONG_SUITES,
    testTimeout: 180_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
