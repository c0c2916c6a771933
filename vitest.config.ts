import { defineConfig } from 'vitest/config';

// Three projects: fast unit tests beside their file, tests that start a real Postgres (*.pg.test.ts), and whole-product
// suites under test/. Servers are started per file, so files of the last two run two at a time on the two cores we plan for.
export default defineConfig({
  test: {
    globalSetup: ['test/build-once.ts'],
    projects: [
      {
        extends: true,
        test: { name: 'unit', include: ['src/**/*.test.ts'], exclude: ['**/*.pg.test.ts'], testTimeout: 20_000 },
      },
      {
        extends: true,
        test: {
          name: 'postgres',
          include: ['src/**/*.pg.test.ts', 'test/**/*.test.ts'],
          // The other majors: `npm run test:matrix`.
          exclude: [13, 14, 15, 16, 18].map((major) => `test/matrix/postgres-${major}.test.ts`),
          testTimeout: 180_000,
          hookTimeout: 120_000,
          pool: 'forks',
          maxWorkers: 2,
          // After the unit tests, which take all cores for themselves.
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
