import { defineConfig } from 'vitest/config';

// Suites of the DuckDB destination on a Delta lake in a folder, in both ways of deleting: `npm run test:lake`, part of
// .ci/run. Suites of lakes alone (test/lake) are part of `npm test`.
const lake = (deletes: 'dv' | 'cow', include: readonly string[]) =>
  ({
    extends: true,
    test: {
      name: `delta-${deletes}`,
      include: [...include],
      env: { SLUICE_TEST_DESTINATION: `delta-${deletes}`, SLUICE_ORACLE_SECONDS: '15' },
    },
  }) as const;

export default defineConfig({
  test: {
    globalSetup: ['test/build-once.ts'],
    projects: [
      lake('dv', ['test/oracle/{oracle,traps,truncate}.test.ts', 'test/ddl/ddl.test.ts']),
      lake('cow', ['test/oracle/{oracle,toast}.test.ts', 'test/ddl/ddl-property.test.ts']),
    ],
    testTimeout: 180_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
