import { defineConfig } from 'vitest/config';

/** Suites with runs of their own, which would make `npm test` too long: `npm run test:long` and `test:matrix`. */
export const LONG_SUITES = [
  'test/verify/**/*.test.ts',
  'test/cleanup/*.test.ts',
  'test/cli/{ci-examples,daemon-calls,daemon-control,edits,interrupted-apply,life,output-schemas,pause}.test.ts',
  'test/cli/{plan-in-ci,query,readme,secrets}.test.ts',
  'test/state/state-commands.test.ts',
  'test/continuous/*.test.ts',
  'test/lanes/*.test.ts',
  'test/demo.test.ts',
  'test/kill/parallel-snapshot.test.ts',
  'test/kill/resumed-snapshot.test.ts',
  'test/oracle/{many-tables,partitions,published-columns}.test.ts',
  'test/oracle/toast.test.ts',
];

/** Suites of lakes alone that take minutes: `npm run test:lake`. The others under test/lake are part of `npm test`. */
export const LAKE_SUITES = [
  'test/lake/{comments,kill,maintenance,moves,partitions,store-faults,two-writers}.test.ts',
  'test/parquet/**/*.test.ts',
];

const everything = process.env['SLUICE_ALL_MAJORS'] === '1';

// Three projects: fast unit tests beside their file, tests that start a real Postgres (*.pg.test.ts), and whole-product
// suites under test/. Servers are started per file, so files of the last two run two at a time on the two cores we plan for.
export default defineConfig({
  test: {
    globalSetup: ['test/build-once.ts'],
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts'],
          exclude: ['**/*.pg.test.ts'],
          testTimeout: 20_000,
          // The first hook of a file loads what it needs, which takes long where something else has the cores.
          hookTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'postgres',
          include: ['src/**/*.pg.test.ts', 'test/**/*.test.ts'],
          exclude: ['test/matrix/**', ...LAKE_SUITES, ...(everything ? [] : LONG_SUITES)],
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
