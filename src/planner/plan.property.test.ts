import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Config, SourceConfig, TableConfig } from '../config/config.js';
import type { ObservedTable } from '../source/catalog-model.js';
import {
  applied,
  byHand,
  converged,
  loaded,
  planOf,
  sampleCdc,
  sampleColumn,
  sampleDestination,
  sampleEntry,
  sampleTableOf,
  shop,
  type World,
  world,
} from './sample-world.js';

/**
 * Law 8 for any file and any history of edits: an apply, whole or cut short, followed by a plan of the same file ends in
 * "No changes", and no table that missed changes is left without a load.
 */
const NAMES = ['a.one', 'a.two', 'b.three', 'b.four'] as const;

const tableConfig: fc.Arbitrary<Partial<TableConfig>> = fc.record({
  method: fc.constantFrom('cdc', 'cdc', 'cdc', 'full_table', 'append'),
  output: fc.constantFrom('consolidated', 'history', 'both'),
  deletes: fc.constantFrom('soft', 'hard'),
  columns: fc.constantFrom(
    { kind: 'all' } as const,
    { kind: 'exclude', columns: ['name'] } as const,
    { kind: 'include', columns: ['id', 'at'] } as const,
  ),
  onAddColumns: fc.constantFrom('forward_only', 'resync', 'backfill'),
  onRemove: fc.constantFrom('retire', 'keep', 'drop'),
  enabled: fc.constantFrom(true, true, true, false),
  lookbackMs: fc.constantFrom(0, 1000),
  types: fc.constantFrom({}, { at: { kind: 'varchar' } as const }),
});

const config: fc.Arbitrary<Config> = fc
  .record({
    entries: fc.dictionary(fc.constantFrom(...NAMES), tableConfig),
    pattern: fc.option(tableConfig, { nil: null }),
    management: fc.constantFrom('managed', 'managed', 'self_managed'),
    publication: fc.constantFrom('p1', 'p1', 'p2'),
    slot: fc.constantFrom('s1', 's1', 's2'),
    onSlotLost: fc.constantFrom('manual', 'resync'),
    destination: fc.constantFrom('warehouse', 'warehouse', 'lake'),
    targetSchema: fc.constantFrom('{schema}', '{schema}', '{source}_{schema}'),
    present: fc.constantFrom(true, true, true, true, false),
  })
  .map(({ entries, pattern, present, destination, targetSchema, ...cdc }) => {
    const tables = Object.entries(entries).map(([key, fields]) => sampleEntry(key, settle(fields)));
    if (pattern !== null) tables.push(sampleEntry('b.*', settle(pattern)));
    const source: Partial<SourceConfig> = { destination, targetSchema, cdc: sampleCdc(cdc) };
    const destinations = { warehouse: sampleDestination('warehouse'), lake: sampleDestination('lake') };
    const file = shop(tables, source, { destinations });
    return present ? file : { ...file, sources: {} };
  });

/** Combinations that the config loader would refuse are mended. */
function settle(fields: Partial<TableConfig>): Partial<TableConfig> {
  return {
    ...fields,
    cursor: fields.method === 'append' ? 'id' : null,
    output: fields.method === 'cdc' ? (fields.output ?? 'consolidated') : 'consolidated',
    types: fields.columns?.kind === 'all' ? (fields.types ?? {}) : {},
  };
}

type Happening = (current: World) => World;
const happening: fc.Arbitrary<Happening> = fc.oneof(
  fc.constant<Happening>((current) => ({ ...current, slots: [] })),
  fc.constant<Happening>((current) => ({
    ...current,
    slots: current.slots.map((slot) => ({ ...slot, walStatus: 'lost' })),
  })),
  fc.constant<Happening>((current) => ({ ...current, publications: [] })),
  fc.constant<Happening>((current) => loaded(current)),
  fc.constant<Happening>((current) => loaded(current, (address) => address.includes(':a.'))),
  fc.constantFrom(...NAMES).map((key): Happening => onTable(key, (table) => ({ oid: table.oid + 1 }), true)),
  fc.constantFrom(...NAMES).map((key): Happening => onTable(key, () => ({}), true)),
  fc.constantFrom(...NAMES).map(
    (key): Happening =>
      onTable(key, (table) => ({
        columns: table.columns.some((column) => column.name === 'extra')
          ? table.columns.filter((column) => column.name !== 'extra')
          : [...table.columns, sampleColumn('extra', 4, 'text')],
      })),
  ),
  fc.constantFrom(...NAMES).map(
    (key): Happening =>
      onTable(key, (table) => ({
        columns: table.columns.map((column) =>
          column.name === 'id'
            ? sampleColumn('id', 1, column.formattedType === 'integer' ? 'bigint' : 'integer')
            : column,
        ),
      })),
  ),
);

/** Changes one table of the catalog; with `unpublished` it falls out of every publication, as when it is made anew. */
function onTable(key: string, edit: (table: ObservedTable) => Partial<ObservedTable>, unpublished = false): Happening {
  return (current) => {
    const found = current.tables.find((table) => `${table.schema}.${table.name}` === key);
    if (found === undefined) return current;
    return {
      ...current,
      tables: current.tables.map((table) => (table === found ? { ...table, ...edit(table) } : table)),
      publications: current.publications.map((publication) => ({
        ...publication,
        tables: unpublished ? publication.tables.filter((member) => member.oid !== found.oid) : publication.tables,
      })),
    };
  };
}

const step = fc.record({
  config,
  happenings: fc.array(happening, { maxLength: 2 }),
  cut: fc.double({ min: 0, max: 1, noNaN: true }),
});

test('whatever happened, one whole apply ends in no changes', () => {
  const start = world(NAMES.map((key) => sampleTableOf(key)));
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 5 }), (steps) => {
      let current = start;
      for (const { config: file, happenings, cut } of steps) {
        current = happenings.reduce((before, happen) => happen(before), current);
        const plan = planOf(file, current);
        if (plan.blockers.length > 0) {
          current = byHand(current, plan);
          const again = planOf(file, current);
          // What cannot be mended by hand in this model is a slot or a publication under a name that is taken.
          if (again.blockers.length > 0) {
            expect(
              again.blockers.every((blocker) => /OCCUPIED/.test(blocker.code)),
              JSON.stringify(again.blockers),
            ).toBe(true);
            continue;
          }
        }
        const whole = planOf(file, current);
        const after = applied(file, current, whole.changes);
        expect(planOf(file, after).changes).toEqual([]);
        expectGapsQueued(
          current,
          after,
          whole.changes.some((change) => change.action === 'create_slot'),
        );
        // The next step starts from an apply that was cut short.
        current = applied(file, current, whole.changes.slice(0, Math.ceil(cut * whole.changes.length)));
      }
      const last = steps.at(-1)?.config;
      if (last === undefined) return;
      const end = converged(last, current);
      const plan = planOf(last, end);
      if (plan.blockers.length === 0) expect(planOf(last, converged(last, byHand(end, plan))).changes).toEqual([]);
    }),
    { numRuns: 400 },
  );
}, 60_000);

/** A new slot starts now: every streamed table that the destination holds is older than what the state asks for. */
function expectGapsQueued(before: World, after: World, newSlot: boolean): void {
  if (!newSlot) return;
  for (const [key, table] of Object.entries(after.state?.sources['shop']?.tables ?? {})) {
    if (table.method !== 'cdc' || !table.enabled) continue;
    const held = after.facts.find((fact) => fact.address === `shop:${key}`)?.loadedGeneration ?? 0;
    expect(
      table.generation,
      `${key} after a new slot (was ${JSON.stringify(before.state?.sources['shop']?.slot)})`,
    ).toBeGreaterThan(held);
  }
}
