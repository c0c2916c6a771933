import { defineConfig } from 'vitest/config';

// What takes minutes and gigabytes: `npm run test:large`, not part of `npm test`.
export default defineConfig({
  test: {
    globalSetup: ['test/build-once.ts'],
    include: ['test/large/**/*.large.ts'],
    testTimeout: 3_600_000,
    hookTimeout: 600_000,
    pool: 'forks',
    maxWorkers: 1,
  },
});
