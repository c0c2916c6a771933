import { defineConfig } from 'vitest/config';
import { LAKE_SUITES } from './vitest.config.js';

// Suites of the DuckDB destination on a Delta lake in a folder, in both ways of deleting: `npm run test:lake`, part of
// .ci/run; and the longest suites of lakes alone. SLUICE_ALL_LAKES=1: more of both.
const everything = process.env['SLUICE_ALL_LAKES'] === '1';

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
      { extends: true, test: { name: 'lakes', include: LAKE_SUITES } },
      lake('dv', [
        'test/oracle/{oracle,traps,truncate}.test.ts',
        'test/ddl/ddl.test.ts',
        'test/continuous/continuous.test.ts',
        'test/kill/resumed-snapshot.test.ts',
        ...(everything ? ['test/oracle/partitions.test.ts', 'test/verify/verify.test.ts'] : []),
      ]),
      lake('cow', ['test/oracle/{oracle,toast}.test.ts', 'test/ddl/ddl-property.test.ts']),
    ],
    testTimeout: 180_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
