import { describe, expect, test } from 'vitest';
import type { TableHealth } from '../../destination/maintenance.js';
import type { TableOptimization, TableVacuum } from '../../executor/maintenance-report.js';
import type { Page } from '../command.js';
import { plainPaint } from '../terminal.js';
import { maintenanceLine, optimizeText, vacuumJson, vacuumText } from './maintenance-view.js';

const PAGE: Page = { paint: plainPaint, columns: null, now: new Date('2026-03-02T12:00:00Z') };
const HEALTH: TableHealth = { files: 3, bytes: 3_145_728, smallFiles: 1, rows: 900, deletedRows: 100 };

const OPTIMIZED: TableOptimization = {
  address: 'shop:public.users',
  status: 'optimized',
  removedFiles: 12,
  addedFiles: 1,
  removedBytes: 2_000,
  addedBytes: 1_048_576,
  health: HEALTH,
  note: null,
  error: null,
};
const VACUUMED: TableVacuum = {
  address: 'shop:public.users',
  files: 12,
  bytes: 2_048,
  logFiles: 3,
  examples: ['public/users/part-1.parquet'],
  error: null,
};

test('optimize: a line a table, and what is wrong below', () => {
  const failed: TableOptimization = {
    ...OPTIMIZED,
    address: 'shop:public.clicks',
    status: 'failed',
    health: null,
    error: { code: 'DELTA_FOREIGN_WRITE', message: 'somebody else wrote' },
  };
  const report = { tables: [OPTIMIZED, failed], notes: ['crm: nothing to do'], ok: false };
  expect(optimizeText(report, PAGE)).toMatchInlineSnapshot(`
    "TABLE               STATUS     REPLACED  BY  WRITTEN  FILES NOW   SIZE  DELETED
    shop:public.users   optimized        12   1    1 MiB          3  3 MiB      10%
    shop:public.clicks  failed           12   1    1 MiB          ?      ?        ?

    failed  shop:public.clicks  DELTA_FOREIGN_WRITE: somebody else wrote
    crm: nothing to do
    "
  `);
});

describe('vacuum', () => {
  test('to look: what would go', () => {
    const report = { dryRun: true, tables: [VACUUMED], notes: [], ok: true };
    expect(vacuumText(report, PAGE)).toMatchInlineSnapshot(`
      "TABLE              FILES   SIZE  LOG FILES
      shop:public.users     12  2 KiB          3

      12 files, 2 KiB would be deleted; nothing was
        public/users/part-1.parquet
      "
    `);
  });

  test('in earnest: what went', () => {
    const report = { dryRun: false, tables: [VACUUMED], notes: [], ok: true };
    expect(vacuumText(report, PAGE)).toMatch(/\n12 files, 2 KiB deleted\n$/);
    expect(vacuumJson(report)).toMatchObject({ dry_run: false, tables: [{ log_files: 3 }] });
  });

  test('without a lake', () => {
    expect(vacuumText({ dryRun: false, tables: [], notes: [], ok: true }, PAGE)).toBe('There is no table of a lake.\n');
  });
});

test('status: one line', () => {
  const status = { at: '2026-03-02T11:48:00Z', vacuumedAt: null, error: null, tables: 2, health: HEALTH };
  expect(maintenanceLine(status, PAGE)).toBe(
    'lake: 3 files, 3 MiB, 1 small, 10% of rows deleted, maintained 12m 00s ago',
  );
  const error = { code: 'STORE_UNREACHABLE', message: 'nothing answers' } as const;
  expect(maintenanceLine({ ...status, error }, PAGE)).toMatch(/, failed: STORE_UNREACHABLE: nothing answers$/);
});
