import { expect, test } from 'vitest';
import { MemoryStore, type PutFault } from '../../../test/fake/memory-store.js';
import { type Ledger, ledgerKey } from './ledger.js';
import { readLedgers, writeLedger } from './ledger-store.js';

const ledger = (serial: number, source = 'shop'): Ledger => ({
  ...{ format_version: 1, id: 'a', source, serial, written_at: '2026-03-02T12:00:00.000Z' },
  ...{ facts: {}, relations: [], held: [], rejected: null, pending: [] },
});

test('ledgers are read once, and again only where they changed', async () => {
  const store = new MemoryStore();
  const etag = await writeLedger(store, ledger(1), null);
  await writeLedger(store, ledger(1, 'crm'), null);
  const first = await readLedgers(store, new Map());
  expect([...first.keys()].sort()).toEqual(['crm', 'shop']);
  await writeLedger(store, ledger(2), { ledger: ledger(1), etag });
  const second = await readLedgers(store, first);
  expect(second.get('shop')?.ledger.serial).toBe(2);
  expect(second.get('crm')).toBe(first.get('crm'));
  await store.delete([ledgerKey('crm')]);
  expect([...(await readLedgers(store, second)).keys()]).toEqual(['shop']);
});

test.each<{ name: string; fault: PutFault; outcome: 'written' | 'STORE_UNREACHABLE' }>([
  { name: 'an answer that was lost', fault: 'answer_lost', outcome: 'written' },
  { name: 'a repetition that was refused', fault: 'answer_becomes_refusal', outcome: 'written' },
  { name: 'a request that was lost', fault: 'request_lost', outcome: 'STORE_UNREACHABLE' },
])('$name: what is stored tells', async ({ fault, outcome }) => {
  const store = new MemoryStore();
  const etag = await writeLedger(store, ledger(1), null);
  store.faults.push(fault);
  const writing = writeLedger(store, ledger(2), { ledger: ledger(1), etag });
  if (outcome === 'written') {
    expect(await writing).toBe((await store.get(ledgerKey('shop')))?.etag);
    expect((await readLedgers(store, new Map())).get('shop')?.ledger.serial).toBe(2);
  } else {
    await expect(writing).rejects.toMatchObject({ code: outcome });
    expect((await readLedgers(store, new Map())).get('shop')?.ledger.serial).toBe(1);
  }
});

test('another writer is met: fenced, and what it wrote stands', async () => {
  const store = new MemoryStore();
  const etag = await writeLedger(store, ledger(1), null);
  await writeLedger(store, { ...ledger(2), id: 'other' }, { ledger: ledger(1), etag });
  const late = writeLedger(store, ledger(2), { ledger: ledger(1), etag });
  await expect(late).rejects.toMatchObject({ code: 'LAKE_FENCED' });
  await expect(writeLedger(store, ledger(1), null)).rejects.toMatchObject({ code: 'LAKE_FENCED' });
  expect((await readLedgers(store, new Map())).get('shop')?.ledger.id).toBe('other');
});
