import { defineConfig } from 'vitest/config';

// Engines that know nothing of Sluice read Delta tables: `npm run test:readers`. The first run installs them (some minutes).
export default defineConfig({
  test: {
    globalSetup: ['test/build-once.ts'],
    include: ['test/readers/**/*.readers.ts'],
    testTimeout: 300_000,
    pool: 'forks',
    // One file at a time: its engines take all cores, and Spark a gigabyte.
    maxWorkers: 1,
    reporters: ['verbose'],
  },
});
