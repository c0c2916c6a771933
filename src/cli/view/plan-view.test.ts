import { describe, expect, test } from 'vitest';
import type { Change } from '../../planner/change.js';
import { converged, planOf, sampleCdc, sampleEntry, sampleTableOf, shop, world } from '../../planner/sample-world.js';
import { sampleTable } from '../../state/sample-state.js';
import { plainPaint } from '../terminal.js';
import { describeChange, planJson, planText } from './plan-view.js';

const page = { paint: plainPaint, columns: null };
const USERS = sampleTableOf('public.users');
const CONFIG = shop([sampleEntry('public.users')]);

test('the first plan', () => {
  expect(
    planText(planOf(CONFIG, world([USERS])), page),
  ).toBe(`  +  shop:publication  create publication sluice_pub_shop for public.users
      the stream needs a publication
      create publication "sluice_pub_shop" for table "public"."users" with (publish = 'insert, update, delete, truncate', publish_via_partition_root = true);
  +  shop:slot  create replication slot sluice_shop
      the stream needs a slot
  +  shop:public.users  create public.users: cdc, consolidated, 3 columns, every 5m
      in the file and not yet in the destination
  +  shop:public.users  first load
      reads about 1,000,000 rows, 61 MiB, about 4 s at an assumed 250,000 rows/s

Plan: 3 to add, 0 to change, 0 to destroy. Loads read about 1,000,000 rows, 61 MiB, in about 4 s.
`);
});

test('nothing to do', () => {
  expect(planText(planOf(CONFIG, converged(CONFIG, world([USERS]))), page)).toBe(
    'No changes. What was applied is what the file asks for.\n',
  );
});

test('what changed in Postgres stands apart; what is destructive comes first and is marked', () => {
  const lost = { ...converged(CONFIG, world([USERS])), slots: [] };
  expect(planText(planOf(CONFIG, lost), page)).toBe(`Changed in Postgres since the last apply:
  !  shop:slot
      slot sluice_shop is gone from the server

1 change is destructive:
-/+  shop:public.users  read again as a whole

What answers to the changes in Postgres:
  +  shop:slot  create replication slot sluice_shop
      slot sluice_shop is gone from the server
-/+  shop:public.users  read again as a whole  (destructive)
      slot sluice_shop is gone from the server
      reads about 1,000,000 rows, 61 MiB, about 10 s at the rate of the last load

Plan: 1 to add, 1 to change, 0 to destroy; 1 destructive. Loads read about 1,000,000 rows, 61 MiB, in about 10 s.
`);
});

test('blockers with their hints, and SQL to be run by hand', () => {
  const config = shop([sampleEntry('public.users')], {
    cdc: sampleCdc({ management: 'self_managed', publication: 'p' }),
  });
  const text = planText(planOf(config, world([USERS])), page);
  expect(text).toContain('to be run by hand: create publication "p" for table "public"."users"');
  expect(text).toContain('This stands in the way of applying:\n  x  shop:publication  publication p does not exist');
  expect(text).toContain('[PUBLICATION_MISSING]\n      hint: create publication "p"');
});

test('blockers without changes are not told as "No changes."', () => {
  const text = planText(planOf(CONFIG, world([USERS], { unreachable: ['shop'] })), page);
  expect(text).toBe(`This stands in the way of applying:
  x  shop  shop is out of reach  [SOURCE_UNREACHABLE]

Could not be known:
  i  shop
      what would change: its database could not be asked

No changes can be planned.
`);
});

test('only drift', () => {
  const plan = planOf(CONFIG, { ...converged(CONFIG, world([USERS])), slots: [] });
  const only = { ...plan, changes: [], basis: { kind: 'refresh_only' } as const };
  expect(
    planText(only, page),
  ).toBe(`Only what changed in Postgres since the last apply is told; the file was not compared.

Changed in Postgres since the last apply:
  !  shop:slot
      slot sluice_shop is gone from the server

Drift: 1 thing changed in Postgres since the last apply.
`);
  expect(planText({ ...only, drift: [] }, page)).toContain('No drift. Postgres is as it was when Sluice last applied.');
});

test('notices', () => {
  const config = shop([sampleEntry('public.users'), sampleEntry('x.*')]);
  expect(planText(planOf(config, world([USERS])), page)).toContain(
    'Worth knowing:\n  i  shop\n      the pattern "x.*" finds no table of its own\n',
  );
});

test('long lines are broken at spaces to the width of the page', () => {
  const text = planText(planOf(CONFIG, world([USERS])), { ...page, columns: 60 });
  const details = text.split('\n').filter((line) => line.startsWith('      '));
  expect(details.length).toBeGreaterThan(5);
  expect(details.filter((line) => line.length > 60)).toEqual([]);
});

test('colours go through the page', () => {
  const text = planText(planOf(CONFIG, world([USERS])), {
    paint: (style, part) => `<${style}>${part}</>`,
    columns: null,
  });
  expect(text).toContain('<green>  +</>  <bold>shop:slot</>  create replication slot');
});

test('the JSON form is the plan itself', () => {
  const plan = planOf(CONFIG, world([USERS]));
  expect(planJson(plan)).toEqual(plan);
});

test('a cost that is not known is told as such', () => {
  const unknown = sampleTableOf('public.users', { estimatedRows: null });
  expect(planText(planOf(CONFIG, world([unknown])), page)).toContain(
    'reads an unknown number of rows (never analyzed), 61 MiB\n',
  );
});

describe('each action in a few words', () => {
  const plain = {
    address: 'shop:public.users',
    destructive: false,
    reason: '',
    cost: { rows: 0, bytes: 0, seconds: 0, wal_bytes: 0, basis: 'none' },
  } as const;
  const members = { publication: 'p', tables: ['a.b', 'a.c'], sql: '', self_managed: false, column_lists: {} };
  const leaving = { target: { schema: 'public', name: 'users' }, history: false };
  const column = { name: 'note', attnum: 4, type: 'text', target_type: 'VARCHAR' };
  test.each<{ change: Change; text: string }>([
    {
      change: { ...plain, action: 'create_publication', details: { ...members, adopted: true } },
      text: 'take over publication p for a.b, a.c',
    },
    {
      change: { ...plain, action: 'add_publication_tables', details: { ...members, loads: {} } },
      text: 'add a.b, a.c to publication p',
    },
    {
      change: { ...plain, action: 'remove_publication_tables', details: members },
      text: 'take a.b, a.c out of publication p',
    },
    { change: { ...plain, action: 'drop_publication', details: { publication: 'p' } }, text: 'drop publication p' },
    {
      change: { ...plain, action: 'create_slot', details: { slot: 's', publication: 'p', failover: false, loads: {} } },
      text: 'create replication slot s',
    },
    {
      change: { ...plain, action: 'drop_slot', details: { slot: 's', retained_wal_bytes: 3 * 1024 ** 3 } },
      text: 'drop replication slot s, which frees 3 GiB of WAL',
    },
    {
      change: { ...plain, action: 'drop_slot', details: { slot: 's', retained_wal_bytes: null } },
      text: 'drop replication slot s',
    },
    {
      change: {
        ...plain,
        action: 'create_table',
        details: { table: sampleTable({ schedule: { kind: 'cron', cron: '0 3 * * *', timezone: 'UTC' } }) },
      },
      text: 'create public.users: cdc, consolidated, 1 column, cron "0 3 * * *" UTC',
    },
    { change: { ...plain, action: 'snapshot_table', details: { generation: 1, method: 'cdc' } }, text: 'first load' },
    {
      change: { ...plain, action: 'resync_table', details: { generation: 2, cause: 'c', table: sampleTable() } },
      text: 'read again as a whole',
    },
    {
      change: { ...plain, action: 'backfill_columns', details: { columns: ['note'], id: 1 } },
      text: 'fill note of the rows that are there',
    },
    {
      change: { ...plain, action: 'add_columns', details: { columns: [column], all_columns: [column] } },
      text: 'add note VARCHAR',
    },
    {
      change: {
        ...plain,
        action: 'remove_columns',
        details: { columns: Array.from({ length: 10 }, (_, i) => `c${i}`), all_columns: [] },
      },
      text: 'copy c0, c1, c2, c3, c4, c5, c6, c7 and 2 more no longer',
    },
    {
      change: { ...plain, action: 'change_method', details: { from: 'cdc', to: 'append', table: sampleTable() } },
      text: 'method cdc -> append',
    },
    {
      change: { ...plain, action: 'change_output', details: { from: 'both', to: 'history' } },
      text: 'output both -> history',
    },
    {
      change: {
        ...plain,
        action: 'change_schedule',
        details: { from: { kind: 'every', every_ms: 300_000 }, to: { kind: 'every', every_ms: 86_400_000 } },
      },
      text: 'schedule every 5m -> every 1d',
    },
    { change: { ...plain, action: 'disable_table', details: {} }, text: 'disable' },
    {
      change: { ...plain, action: 'enable_table', details: { generation: 2, table: sampleTable() } },
      text: 'enable and read again as a whole',
    },
    { change: { ...plain, action: 'retire_table', details: leaving }, text: 'retire public.users' },
    { change: { ...plain, action: 'drop_table', details: leaving }, text: 'drop public.users' },
    { change: { ...plain, action: 'forget_table', details: leaving }, text: 'forget public.users' },
    { change: { ...plain, action: 'remove_source', details: { tables: ['a.b'] } }, text: 'remove the source' },
    {
      change: { ...plain, action: 'move', details: { from: 'shop:public.old', to: 'shop:public.users', target: null } },
      text: 'move from shop:public.old',
    },
    {
      change: {
        ...plain,
        action: 'update_settings',
        details: {
          settings: {
            deletes: { from: 'soft', to: 'hard' },
            cursor: { from: null, to: 'id' },
            primary_key: { from: ['a'], to: ['a', 'b'] },
            lookback_ms: { from: 0, to: 5 },
          },
          sql: null,
          loads: {},
          source: null,
          table_fields: null,
        },
      },
      text: 'set deletes: soft -> hard, cursor: none -> id, primary_key: (a) -> (a, b), lookback_ms: 0 -> 5',
    },
  ])('$change.action: $text', (c) => expect(describeChange(c.change)).toBe(c.text));

  test('what goes is drawn with a minus', () => {
    const change: Change = { ...plain, action: 'retire_table', details: leaving };
    const plan = { ...planOf(CONFIG, world([USERS])), changes: [change] };
    expect(planText(plan, page)).toContain('  -  shop:public.users  retire public.users');
  });
});
