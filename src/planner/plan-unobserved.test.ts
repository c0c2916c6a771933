import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { duckdbTypeName } from '../batch/logical-type.js';
import type { Config, TableConfig } from '../config/config.js';
import { logicalTypeOf } from '../source/value-type.js';
import { assumedType } from './assumed-type.js';
import type { Plan } from './change.js';
import { planAgainstConfig, planFromState } from './plan-unobserved.js';
import {
  converged,
  planOf,
  SERVER,
  sampleCdc,
  sampleColumn,
  sampleDestination,
  sampleEntry,
  sampleTableOf,
  shop,
  world,
} from './sample-world.js';
import { refuseUnobserved } from './unobserved.js';

const NAMES = ['a.one', 'a.two', 'b.three'] as const;
const START = world(
  NAMES.map((key) => sampleTableOf(key)),
  { server: { ...SERVER, versionNum: 140_000 } },
);
const request = { now: '2026-01-01T00:00:00.000Z', id: 'plan-1', targets: [] };

function fromState(config: Config, applied: Config | null): Plan {
  const state = applied === null ? null : converged(applied, START).state;
  return planFromState({ ...request, config, state, name: null });
}

function against(config: Config, base: Config | null): Plan {
  return planAgainstConfig({ ...request, config, base, ref: 'origin/main' });
}

function actions(plan: Plan): readonly string[] {
  return plan.changes.map((change) => `${change.action} ${change.address}${change.destructive ? ' destructive' : ''}`);
}

function tableConfig(columns: readonly TableConfig['columns'][]): fc.Arbitrary<Partial<TableConfig>> {
  return fc
    .record({
      method: fc.constantFrom('cdc', 'cdc', 'full_table', 'append'),
      output: fc.constantFrom('consolidated', 'history', 'both'),
      deletes: fc.constantFrom('soft', 'hard'),
      columns: fc.constantFrom(...columns),
      onRemove: fc.constantFrom('retire', 'keep', 'drop'),
      enabled: fc.constantFrom(true, true, true, false),
      lookbackMs: fc.constantFrom(0, 1000),
      schedule: fc.constantFrom({ kind: 'every', everyMs: 1000 }, { kind: 'every', everyMs: 2000 }),
      types: fc.constantFrom({}, {}, { name: { kind: 'double' } as const }),
    })
    .map(
      (fields): Partial<TableConfig> => ({
        ...fields,
        schedule: { kind: 'every', everyMs: fields.schedule.everyMs },
        cursor: fields.method === 'append' ? 'id' : null,
        output: fields.method === 'cdc' ? fields.output : 'consolidated',
        types: fields.columns.kind === 'all' ? fields.types : {},
      }),
    );
}

function anyConfig(columns: readonly TableConfig['columns'][]): fc.Arbitrary<Config> {
  return fc
    .record({
      entries: fc.dictionary(fc.constantFrom(...NAMES), tableConfig(columns)),
      management: fc.constantFrom('managed', 'managed', 'self_managed'),
      publication: fc.constantFrom('p1', 'p1', 'p2'),
      slot: fc.constantFrom('s1', 's1', 's2'),
      destination: fc.constantFrom('warehouse', 'warehouse', 'lake'),
      targetSchema: fc.constantFrom('{schema}', '{schema}', '{source}_{schema}'),
      present: fc.constantFrom(true, true, true, true, false),
    })
    .map(({ entries, present, destination, targetSchema, ...cdc }) => {
      const tables = Object.entries(entries).map(([key, fields]) => sampleEntry(key, fields));
      const destinations = { warehouse: sampleDestination('warehouse'), lake: sampleDestination('lake') };
      const file = shop(tables, { destination, targetSchema, cdc: sampleCdc(cdc) }, { destinations });
      return present ? file : { ...file, sources: {} };
    });
}

const ALL = { kind: 'all' } as const;
const FEWER = [ALL, { kind: 'exclude', columns: ['name'] }, { kind: 'include', columns: ['id', 'at'] }] as const;

describe('while Postgres is as it was applied', () => {
  test('the state alone tells the same changes as a look at everything', () => {
    fc.assert(
      fc.property(anyConfig([ALL]), anyConfig(FEWER), (before, after) => {
        const current = converged(before, START);
        const first = planOf(before, START);
        const looked = planOf(after, current);
        // What a self-managed publication holds only its owner can say.
        fc.pre(first.blockers.length === 0 && looked.blockers.length === 0);
        expect(actions(planFromState({ ...request, config: after, state: current.state, name: null }))).toEqual(
          actions(looked),
        );
      }),
      { numRuns: 300 },
    );
  }, 60_000);

  // Whether a list of columns to copy and one of columns to leave out mean the same nobody knows without the table.
  test.each([
    { name: 'leaving out', columns: [ALL, { kind: 'exclude', columns: ['name'] }] as const },
    { name: 'naming', columns: [ALL, { kind: 'include', columns: ['id', 'at'] }] as const },
  ])(
    'two files alone tell the same changes, where the first is what was applied: $name columns',
    ({ columns }) => {
      fc.assert(
        fc.property(anyConfig(columns), anyConfig(columns), (before, after) => {
          const current = converged(before, START);
          const first = planOf(before, START);
          const looked = planOf(after, current);
          fc.pre(first.blockers.length === 0 && looked.blockers.length === 0);
          expect(actions(against(after, before))).toEqual(actions(looked));
        }),
        { numRuns: 300 },
      );
    },
    60_000,
  );

  test('the same file has no changes', () => {
    fc.assert(
      fc.property(anyConfig(FEWER), (config) => {
        expect(against(config, config).changes).toEqual([]);
        const { state } = converged(config, START);
        fc.pre(planOf(config, START).blockers.length === 0);
        expect(planFromState({ ...request, config, state, name: null }).changes).toEqual([]);
      }),
      { numRuns: 200 },
    );
  }, 60_000);
});

describe('from the state', () => {
  const users = shop([sampleEntry('a.one')]);

  test('says what it could not know, and costs nobody looked at are unknown', () => {
    const plan = fromState(shop([sampleEntry('a.one'), sampleEntry('a.new'), sampleEntry('b.*')]), users);
    expect(plan.basis).toEqual({ kind: 'state', name: null });
    expect(plan.unknown.map(({ address, message }) => `${address}: ${message.split(':')[0]}`)).toEqual([
      'shop: whether tables, columns, keys, privileges, publication and slot are still as they were applied, what the destination holds, and how much a load reads',
      'shop:a.new: its columns and its key',
      'shop: which tables the pattern "b.*" finds beside those that were applied',
    ]);
    const load = plan.changes.find((change) => change.action === 'snapshot_table');
    expect(load?.cost).toEqual({ rows: null, bytes: null, seconds: null, wal_bytes: null, basis: 'none' });
    expect(plan.summary).toMatchObject({ add: 1, rows: 0, bytes: 0, seconds: 0 });
    expect(JSON.stringify(plan)).not.toContain('alter publication');
  });

  test('without any state everything is new', () => {
    const plan = fromState(users, null);
    expect(plan.state).toEqual({ lineage: '', serial: 0 });
    expect(actions(plan)).toEqual([
      'create_publication shop:publication',
      'create_slot shop:slot',
      'create_table shop:a.one',
      'snapshot_table shop:a.one',
    ]);
  });

  test('a table that a pattern found stays', () => {
    const config = shop([sampleEntry('a.*')]);
    expect(fromState(config, config).changes).toEqual([]);
  });

  test.each(['observed', 'state', 'config', 'refresh_only'] as const)('is applied only where it looked: %s', (kind) => {
    const plan = planOf(users, START);
    if (kind === 'observed') {
      expect(() => refuseUnobserved(plan)).not.toThrow();
      return;
    }
    const basis = kind === 'refresh_only' ? { kind } : { kind, name: 'x' };
    expect(() => refuseUnobserved({ ...plan, basis })).toThrow(expect.objectContaining({ code: 'PLAN_UNOBSERVED' }));
  });
});

describe('against another version of the file', () => {
  test('a pattern is shown as one table, under its own name', () => {
    const plan = against(
      shop([sampleEntry('b.*', { schedule: { kind: 'every', everyMs: 9000 } })]),
      shop([sampleEntry('b.*')]),
    );
    expect(actions(plan)).toEqual(['change_schedule shop:b.*']);
    expect(plan.unknown.at(-1)).toEqual({
      address: 'shop',
      message: 'which tables the pattern "b.*" finds: it is shown as one table',
    });
  });

  test('an entry that takes a table out of a pattern makes no new table of it', () => {
    const own = sampleEntry('b.three', { deletes: 'hard' });
    expect(actions(against(shop([sampleEntry('b.*'), own]), shop([sampleEntry('b.*')])))).toEqual([
      'resync_table shop:b.three destructive',
      'update_settings shop:b.three',
    ]);
    expect(actions(against(shop([sampleEntry('b.*')]), shop([sampleEntry('b.three')])))).not.toContain(
      'retire_table shop:b.three destructive',
    );
  });

  test('an edited type is told without types that nobody knows', () => {
    const plan = against(
      shop([sampleEntry('a.one', { types: { at: { kind: 'varchar' } } })]),
      shop([sampleEntry('a.one')]),
    );
    expect(plan.changes.map((change) => change.reason)).toEqual(['the type of column at was edited']);
  });

  test('without the file at the ref everything is new', () => {
    expect(actions(against(shop([sampleEntry('a.one', { method: 'full_table' })]), null))).toEqual([
      'create_table shop:a.one',
      'snapshot_table shop:a.one',
    ]);
  });

  test('what moved is moved', () => {
    const after = shop([sampleEntry('a.two')], {}, { moved: [{ from: 'shop:a.one', to: 'shop:a.two' }] });
    expect(actions(against(after, shop([sampleEntry('a.one')])))[0]).toBe('move shop:a.two');
  });
});

test('a type of the catalog is found again from what the state holds of it', () => {
  const types = [
    'boolean',
    'bigint',
    'numeric(12,2)',
    'numeric',
    'character varying(20)',
    'timestamp(3) with time zone',
  ];
  const targets = types.map((type) => {
    const column = { ...sampleColumn('x', 1), type: assumedType(type, '') };
    return duckdbTypeName(logicalTypeOf(column, undefined, 'duckdb').type);
  });
  expect(targets).toEqual(['BOOLEAN', 'BIGINT', 'DECIMAL(12,2)', 'VARCHAR', 'VARCHAR', 'TIMESTAMPTZ']);
  // Types that are not built in keep what they were made into.
  for (const target of ['VARCHAR', 'INTEGER[]', 'DECIMAL(9,3)', 'DECIMAL(9,3)[]', 'UUID', 'INTERVAL']) {
    const column = { ...sampleColumn('x', 1), type: assumedType('public.mood', target) };
    expect(duckdbTypeName(logicalTypeOf(column, undefined, 'duckdb').type)).toBe(target);
  }
});
