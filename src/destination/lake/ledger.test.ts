import { describe, expect, test } from 'vitest';
import { decodeLedger, encodeLedger, type Ledger, ledgerKey } from './ledger.js';

const ledger: Ledger = {
  format_version: 1,
  id: 'a-b',
  source: 'shop',
  serial: 7,
  written_at: '2026-03-02T12:00:00.000Z',
  facts: { streams: [{ source: 'shop', unseen: [1, 2], confirmed_lsn: null }] },
  relations: [
    {
      ...{ schema: 'public', name: 't', folder: 'public/t', key: ['id'], identity: ['id'], version: 3 },
      columns: [
        { name: 'id', type: 'INTEGER' },
        { name: 'day', type: 'DATE' },
      ],
      partitionBy: ['day'],
    },
  ],
  held: ['shop:public.t'],
  rejected: null,
  pending: [{ folder: 'public/t', commit: { kind: 'drop' } }],
};

test('a ledger comes back as it was', () => {
  expect(decodeLedger(encodeLedger(ledger), 'x')).toEqual(ledger);
});

test('a table of a ledger that knew no partitions has none', () => {
  const relations = ledger.relations.map(({ partitionBy: _none, ...relation }) => relation);
  const body = Buffer.from(JSON.stringify({ ...ledger, relations }));
  expect(decodeLedger(body, 'x').relations.map(({ partitionBy }) => partitionBy)).toEqual([[]]);
});

describe('what is no ledger is refused, with its place', () => {
  const text = (value: unknown): Uint8Array => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
  test.each<{ name: string; body: Uint8Array; says: RegExp }>([
    { name: 'nothing', body: text(''), says: /not the JSON/ },
    { name: 'half of one', body: encodeLedger(ledger).subarray(0, 40), says: /not the JSON/ },
    { name: 'no UTF-8', body: Uint8Array.of(0x22, 0xff, 0x22), says: /not the JSON/ },
    { name: 'another document', body: text([]), says: /not the JSON/ },
    { name: 'a newer format', body: text({ ...ledger, format_version: 2 }), says: /format 2 was written by a newer/ },
    { name: 'no serial', body: text({ ...ledger, serial: undefined }), says: /not the JSON/ },
    {
      name: 'a table whose partitions are no names',
      body: text({ ...ledger, relations: [{ ...ledger.relations[0], partitionBy: [1] }] }),
      says: /not the JSON/,
    },
    {
      name: 'a relation without columns',
      body: text({ ...ledger, relations: [{ folder: 'x' }] }),
      says: /not the JSON/,
    },
  ])('$name', ({ body, says }) => {
    expect(() => decodeLedger(body, 'lake/key.json')).toThrow(says);
    expect(() => decodeLedger(body, 'lake/key.json')).toThrow(/^lake\/key.json: /);
  });
});

test('every source has a key of its own, of unreserved characters', () => {
  const keys = ['shop', 'sh~op', 'sh/op', 'sh%op', 'Ä', ''].map(ledgerKey);
  expect(new Set(keys).size).toBe(keys.length);
  for (const key of keys) expect(key).toMatch(/^[A-Za-z0-9._~/()'!*-]+$/);
});
