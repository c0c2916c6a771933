import { expect, test } from 'vitest';
import type { Change, Plan } from '../../planner/change.js';
import { converged, planOf, SERVER, sampleEntry, sampleTableOf, shop, world } from '../../planner/sample-world.js';
import { planMarkdown } from './plan-markdown.js';

const USERS = sampleTableOf('public.users');
const CONFIG = shop([sampleEntry('public.users')]);

test('the first plan, with what each load costs', () => {
  const server = { ...SERVER, walBytesPerSecond: 10 * 1024 * 1024 };
  expect(
    planMarkdown(planOf(CONFIG, world([USERS], { server })), null),
  ).toBe(`**Sluice: Plan: 3 to add, 0 to change, 0 to destroy.** Loads read about 1,000,000 rows, 61 MiB, in about 4 s, while about 40 MiB of WAL are kept.

#### Changes

| | Address | Change | Why | Rows | Bytes | Time | WAL kept meanwhile |
|---|---|---|---|---:|---:|---:|---:|
| \`+\` | \`shop:publication\` | create publication sluice\\_pub\\_shop for public.users | the stream needs a publication |  |  |  |  |
| \`+\` | \`shop:slot\` | create replication slot sluice\\_shop | the stream needs a slot |  |  |  |  |
| \`+\` | \`shop:public.users\` | create public.users: cdc, consolidated, 3 columns, every 5m | in the file and not yet in the destination |  |  |  |  |
| \`+\` | \`shop:public.users\` | first load |  | 1,000,000 | 61 MiB | 4 s | 40 MiB |
`);
});

test('WAL is kept for loads of streamed tables alone, and its amount may be unknown', () => {
  const entry = sampleEntry('public.users', { method: 'full_table' });
  expect(planMarkdown(planOf(shop([entry]), world([USERS])), null)).toContain('| 1,000,000 | 61 MiB | 4 s |  |\n');
  const unknown = planMarkdown(planOf(CONFIG, world([USERS])), null);
  expect(unknown).toContain('| 1,000,000 | 61 MiB | 4 s | ? |\n\n`?`: not known.\n');
});

test('what is destructive stands first and is marked', () => {
  const lost = { ...converged(CONFIG, world([USERS])), slots: [] };
  const rows = planMarkdown(planOf(CONFIG, lost), null)
    .split('\n')
    .filter((line) => line.startsWith('| ') && line.includes('`shop:'));
  expect(rows.map((row) => row.split(' | ')[0])).toEqual(['| **destructive** `-/+`', '| `+`']);
});

test('what stands in the way, with its remedy, comes before the changes', () => {
  const text = planMarkdown(
    planOf(shop([sampleEntry('public.users'), sampleEntry('public.usres')]), world([USERS])),
    null,
  );
  expect(text).toContain(
    '#### This stands in the way of applying\n\n- `shop:public.usres` table public.usres does not exist',
  );
  expect(text).toContain('(`TABLE_MISSING`). To mend it: correct the name');
  expect(text.indexOf('stands in the way')).toBeLessThan(text.indexOf('#### Changes'));
});

test('what changed in Postgres stands apart from what the file asks for', () => {
  const applied = converged(CONFIG, world([USERS]));
  const edited = shop([sampleEntry('public.users', { schedule: { kind: 'every', everyMs: 60_000 } })]);
  const text = planMarkdown(planOf(edited, { ...applied, slots: [] }), null);
  const titles = text.split('\n').filter((line) => line.startsWith('####'));
  expect(titles).toEqual([
    '#### Changed in Postgres since the last apply',
    '#### What the file asks for',
    '#### What answers to the changes in Postgres',
  ]);
  expect(text).toContain('- `shop:slot`: slot sluice\\_shop is gone from the server\n');
});

test('nothing to do', () => {
  expect(planMarkdown(planOf(CONFIG, converged(CONFIG, world([USERS]))), null)).toBe(
    '**Sluice: No changes. What was applied is what the file asks for.**\n',
  );
});

test('a name that looks like markup stays a name, and every row has its cells', () => {
  const name = 'a|b`<b>@team\n# x';
  const change: Change = {
    action: 'resync_table',
    address: `shop:public."${name}"`,
    destructive: true,
    reason: `because of ${name}`,
    cost: { rows: null, bytes: null, seconds: null, wal_bytes: null, basis: 'none' },
    details: { generation: 2, cause: name, table: {} as never },
  };
  const plan: Plan = {
    ...planOf(CONFIG, converged(CONFIG, world([USERS]))),
    changes: Array.from({ length: 50 }, () => change),
    unknown: [{ address: name, message: name }],
    drift: [{ address: name, kind: 'table_missing', message: name }],
  };
  const whole = planMarkdown(plan, null);
  expect(whole).not.toMatch(/<b>|@team|^# x/m);
  for (let bytes = 500; bytes < 12_000; bytes += 97) {
    const text = planMarkdown(plan, bytes);
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(bytes);
    const rows = text.split('\n').filter((line) => line.startsWith('|'));
    for (const row of rows) expect(row.replaceAll('\\\\', '').replaceAll('\\|', '').split('|')).toHaveLength(10);
  }
});
