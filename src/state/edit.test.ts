import { expect, test } from 'vitest';
import {
  editTable,
  emptyState,
  moveSource,
  moveTable,
  newSource,
  raiseGeneration,
  withHalt,
  withIdentity,
  withoutSource,
  withoutTable,
  withPublication,
  withSlot,
  withSource,
  withTable,
} from './edit.js';
import { sampleSource, sampleState, sampleTable } from './sample-state.js';
import type { StateDocument } from './state.js';

const identity = {
  connection_fingerprint: 'other',
  system_identifier: '8',
  database: 'd',
  destination: 'lake',
  destination_fingerprint: 'x',
  destination_place: null,
  management: 'self_managed',
} as const;

const HALT = { code: 'WAL_LAG_CRITICAL', message: 'too much', at: '2026-03-02T12:00:00.000Z' } as const;

test('an empty state has no sources and was never written', () => {
  expect(emptyState('l')).toEqual({ format_version: 2, lineage: 'l', serial: 0, sources: {} });
});

test.each<{ name: string; edit: (state: StateDocument) => StateDocument; expected: StateDocument['sources'] }>([
  {
    name: 'withSource adds one beside the others',
    edit: (state) => withSource(state, 'new', newSource(identity)),
    expected: {
      shop: sampleSource(),
      new: {
        ...identity,
        publication: null,
        publication_tables: [],
        slot: null,
        pending_slot: null,
        halted: null,
        paused: null,
        cleanup: null,
        tables: {},
      },
    },
  },
  { name: 'withoutSource', edit: (state) => withoutSource(state, 'shop'), expected: {} },
  {
    name: 'withIdentity keeps tables and slot',
    edit: (state) => withIdentity(state, 'shop', identity),
    expected: { shop: { ...sampleSource(), ...identity } },
  },
  {
    name: 'withTable',
    edit: (state) => withTable(state, 'shop', 'a.b', sampleTable({ oid: 2 })),
    expected: { shop: sampleSource({ tables: { 'public.users': sampleTable(), 'a.b': sampleTable({ oid: 2 }) } }) },
  },
  {
    name: 'withTable of an unknown source does nothing',
    edit: (state) => withTable(state, 'nope', 'a.b', sampleTable()),
    expected: { shop: sampleSource() },
  },
  {
    name: 'withoutTable',
    edit: (state) => withoutTable(state, 'shop', 'public.users'),
    expected: { shop: sampleSource({ tables: {} }) },
  },
  {
    name: 'editTable',
    edit: (state) => editTable(state, 'shop', 'public.users', { deletes: 'hard' }),
    expected: { shop: sampleSource({ tables: { 'public.users': sampleTable({ deletes: 'hard' }) } }) },
  },
  {
    name: 'editTable of an unknown table does nothing',
    edit: (state) => editTable(state, 'shop', 'public.nope', { deletes: 'hard' }),
    expected: { shop: sampleSource() },
  },
  {
    name: 'raiseGeneration by one',
    edit: (state) => raiseGeneration(state, 'shop', 'public.users', 'asked for'),
    expected: {
      shop: sampleSource({
        tables: { 'public.users': sampleTable({ generation: 2, generation_reason: 'asked for' }) },
      }),
    },
  },
  {
    name: 'raiseGeneration to the same number twice asks for one load',
    edit: (state) =>
      raiseGeneration(raiseGeneration(state, 'shop', 'public.users', 'first', 4), 'shop', 'public.users', 'second', 4),
    expected: {
      shop: sampleSource({ tables: { 'public.users': sampleTable({ generation: 4, generation_reason: 'first' }) } }),
    },
  },
  {
    name: 'moveTable renames it in the publication list as well',
    edit: (state) => moveTable(state, 'shop', 'public.users', 'public.accounts'),
    expected: {
      shop: sampleSource({ publication_tables: ['public.accounts'], tables: { 'public.accounts': sampleTable() } }),
    },
  },
  {
    name: 'moveTable of an unknown table does nothing',
    edit: (state) => moveTable(state, 'shop', 'public.nope', 'public.accounts'),
    expected: { shop: sampleSource() },
  },
  { name: 'moveSource', edit: (state) => moveSource(state, 'shop', 'store'), expected: { store: sampleSource() } },
  {
    name: 'withSlot',
    edit: (state) => withSlot(state, 'shop', null),
    expected: { shop: sampleSource({ slot: null }) },
  },
  {
    name: 'withHalt',
    edit: (state) => withHalt(state, 'shop', HALT),
    expected: { shop: sampleSource({ halted: HALT }) },
  },
  {
    name: 'withSlot ends a halt',
    edit: (state) => withSlot(withHalt(state, 'shop', HALT), 'shop', { name: 's', created_lsn: '0/9' }),
    expected: { shop: sampleSource({ slot: { name: 's', created_lsn: '0/9' } }) },
  },
  {
    name: 'withPublication sorts and keeps each table once',
    edit: (state) => withPublication(state, 'shop', 'p', ['b.b', 'a.a', 'b.b']),
    expected: { shop: sampleSource({ publication: 'p', publication_tables: ['a.a', 'b.b'] }) },
  },
])('$name', (c) => {
  const before = sampleState();
  const copy = structuredClone(before);
  expect(c.edit(before)).toEqual({ ...sampleState(), sources: c.expected });
  expect(before, 'the old document stays as it was').toEqual(copy);
});
