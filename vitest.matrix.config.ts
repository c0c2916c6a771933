import { defineConfig } from 'vitest/config';

// Every type on every way on every Postgres that the tests can start: `npm run test:matrix`, two majors at a time.
export default defineConfig({
  test: {
    globalSetup: ['test/build-once.ts'],
    include: ['test/matrix/*.test.ts'],
    testTimeout: 180_000,
    hookTimeout: 600_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
