import { describe, expect, test } from 'vitest';
import type { Change, Plan } from '../planner/change.js';
import type { ObservedSource } from '../source/catalog-model.js';
import type { Readiness } from '../source/readiness-model.js';
import type { LakeLook } from './lake-look.js';
import { withPreflight } from './preflight.js';
import { configOf, events, publication, sampleReadiness, server, slot, users } from './sample-subject.js';

const createPublication: Change = {
  action: 'create_publication',
  address: 'shop:publication',
  destructive: false,
  reason: '',
  cost: { rows: null, bytes: null, seconds: null, wal_bytes: 0, basis: 'none' },
  details: {
    publication: 'sluice_pub_shop',
    tables: [],
    sql: '',
    self_managed: false,
    adopted: false,
    column_lists: {},
  },
};

function blocked(c: {
  readonly readiness: Readiness;
  readonly changes?: readonly Change[];
  readonly targets?: readonly string[];
  readonly usedWalSenders?: number;
  readonly lakes?: readonly LakeLook[];
}): string[] {
  const plan: Plan = {
    format_version: 1,
    id: 'plan-1',
    created_at: '2026-01-01T00:00:00.000Z',
    config_hash: '',
    state: { lineage: '', serial: 0 },
    changes: c.changes ?? [],
    summary: { add: 0, change: 0, destroy: 0, destructive: 0, rows: 0, bytes: 0, seconds: 0 },
    blockers: [],
    notices: [],
    basis: { kind: 'observed' },
    drift: [],
    unknown: [],
  };
  const source: ObservedSource = {
    server: { ...server, walLevel: 'replica', usedWalSenders: c.usedWalSenders ?? 0 },
    tables: [events, users],
    publications: [publication],
    slots: [slot],
  };
  const observed = { sources: { shop: { ok: true as const, source, readiness: c.readiness } }, destinations: {} };
  const config = configOf({ cdc: { transport: 'continuous' } });
  return withPreflight(plan, { config, observed, lakes: c.lakes ?? [] }, c.targets ?? []).blockers.map(
    ({ code, address }) => `${code} ${address}`,
  );
}

const readOnly = sampleReadiness({ session: { defaultReadOnly: true } });

const unwritable: LakeLook = {
  destination: 'warehouse',
  type: 's3',
  store: null,
  trouble: null,
  work: { path: '/work', unwritable: 'EACCES', freeBytes: null, cacheBytes: 0 },
};

describe('what blocks a plan beside the planner', () => {
  // wal_level is wrong in all of them: the planner tells that itself.
  test.each<Parameters<typeof blocked>[0] & { name: string; codes: string[] }>([
    {
      name: 'a lake without a folder to work in',
      readiness: sampleReadiness(),
      changes: [createPublication],
      lakes: [unwritable],
      codes: ['WORK_FOLDER_UNWRITABLE destinations.warehouse'],
    },
    {
      name: 'a lake that nothing is written to',
      readiness: sampleReadiness(),
      lakes: [unwritable],
      codes: [],
    },
    {
      name: 'a lake of a source that is not targeted',
      readiness: sampleReadiness(),
      changes: [createPublication],
      lakes: [unwritable],
      targets: ['other'],
      codes: [],
    },
    { name: 'nothing', readiness: sampleReadiness(), codes: [] },
    {
      name: 'warnings do not',
      readiness: sampleReadiness({ clock: { ok: true, value: { aheadMs: 9e6, roundTripMs: 1 } } }),
      codes: [],
    },
    {
      name: 'a pooler',
      readiness: sampleReadiness({ pooling: 'transaction' }),
      codes: ['SERVER_UNSUITABLE shop'],
    },
    {
      name: 'a pooler of a source that is not targeted does not',
      readiness: sampleReadiness({ pooling: 'transaction' }),
      targets: ['other'],
      codes: [],
    },
    {
      name: 'a pooler, where one table is targeted',
      readiness: sampleReadiness({ pooling: 'transaction' }),
      targets: ['shop:public.users'],
      codes: ['SERVER_UNSUITABLE shop'],
    },
    { name: 'no WAL sender', readiness: sampleReadiness(), usedWalSenders: 10, codes: ['SERVER_UNSUITABLE shop'] },
    {
      name: 'a read-only role, where the publication is to be made',
      readiness: readOnly,
      changes: [createPublication],
      codes: ['PRIVILEGE_MISSING shop'],
    },
    { name: 'a read-only role has nothing to write otherwise', readiness: readOnly, codes: [] },
  ])('$name', ({ codes, ...c }) => expect(blocked(c)).toEqual(codes));
});
