import { defineConfig } from 'vitest/config';

// Seeded runs by the hundred, for hours when nobody waits: `npm run test:soak`. Each seed is a test of its own.
export default defineConfig({
  test: {
    globalSetup: ['test/build-once.ts'],
    include: ['test/soak/**/*.soak.ts'],
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
    reporters: ['verbose'],
  },
});
