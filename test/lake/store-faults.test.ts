import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type LakeThreadSettings, openLakeWriter } from '../../src/destination/lake/lake-writer.js';
import { EngineFixture, SOURCE } from '../engine-fixture.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import type { Fault, FaultableRequest } from '../s3/fault.js';
import { type MemoryS3, startMemoryS3 } from '../s3/memory-s3.js';
import { makeShop, SHOP_TABLES, shopProblems, work } from './shop.js';

/** A bucket that breaks at each step of a commit: in the end everything is there exactly once. */

const KEY = { accessKeyId: 'lake', secretAccessKey: 'lake-secret' };
const PREFIX = 'shop';

const isLedger = ({ key }: FaultableRequest): boolean => key.startsWith(`${PREFIX}/_sluice/sources/`);
const isCommit = ({ key }: FaultableRequest): boolean => /\/_delta_log\/\d{20}\.json$/.test(key);
const isData = ({ key }: FaultableRequest): boolean => /\.(parquet|bin)$/.test(key);
const puts = ({ operation }: FaultableRequest): boolean => operation === 'PutObject';

/** The write took effect, and then nobody can look whether it did. */
function lostForGood(): readonly Fault[] {
  let written = false;
  return [
    {
      on: (request) => {
        const strikes = puts(request) && isLedger(request);
        written ||= strikes;
        return strikes;
      },
      does: 'lose_answer',
      times: 3,
    },
    {
      on: (request) => written && request.operation === 'GetObject' && isLedger(request),
      does: { answer: 'ServiceUnavailable' },
      times: 3,
    },
  ];
}

interface Trouble {
  readonly what: string;
  readonly faults: readonly Fault[];
  /** Whether the sync that meets it gets over it; else the one after it does. */
  readonly survives: boolean;
}

const TROUBLES: readonly Trouble[] = [
  {
    what: 'the answer to the ledger is lost',
    faults: [{ on: (r) => puts(r) && isLedger(r), does: 'lose_answer' }],
    survives: true,
  },
  {
    what: 'every answer to the ledger is lost, and it cannot be read',
    faults: lostForGood(),
    survives: false,
  },
  {
    what: 'the answer to a commit is lost',
    faults: [{ on: (r) => puts(r) && isCommit(r), does: 'lose_answer' }],
    survives: true,
  },
  {
    what: 'every answer to the second commit is lost',
    faults: [{ on: (r) => puts(r) && isCommit(r) && r.key.includes('/users'), does: 'lose_answer', times: 9 }],
    survives: true,
  },
  {
    what: 'no commit gets through',
    faults: [{ on: (r) => puts(r) && isCommit(r), does: { answer: 'ServiceUnavailable' }, times: 30 }],
    survives: false,
  },
  {
    what: 'a ledger is refused as another write of it is under way',
    faults: [{ on: (r) => puts(r) && isLedger(r), does: { answer: 'ConditionalRequestConflict' } }],
    survives: true,
  },
  {
    what: 'a commit is refused as another write of it is under way',
    faults: [{ on: (r) => puts(r) && isCommit(r), does: { answer: 'ConditionalRequestConflict' } }],
    survives: true,
  },
  {
    what: 'it is slow now and then',
    faults: [
      { on: (r) => puts(r) && isData(r), does: { answer: 'SlowDown' }, times: 2 },
      { on: (r) => r.operation === 'ListObjectsV2', does: { answer: 'InternalError' } },
    ],
    survives: true,
  },
  {
    what: 'data files do not arrive',
    faults: [{ on: (r) => puts(r) && isData(r), does: 'drop', times: 12 }],
    survives: false,
  },
];

describe('a bucket that breaks', () => {
  let postgres: TestPostgres;
  let s3: MemoryS3;
  let fixture: EngineFixture;
  let round = 0;

  beforeAll(async () => {
    postgres = await startPostgres({ major: 17 });
    s3 = await startMemoryS3({ bucket: 'lake', ...KEY });
    await makeShop(postgres, 'faults');
    fixture = await EngineFixture.create({
      postgres,
      database: 'faults',
      tables: SHOP_TABLES,
      cdc: { slot: 'faults', publication: 'faults' },
    });
    const secret = path.join(fixture.folder, 'secret');
    await writeFile(secret, KEY.secretAccessKey);
    const id = path.join(fixture.folder, 'id');
    await writeFile(id, KEY.accessKeyId);
    await fixture.moveTo('bucket', {
      ...{ type: 's3', bucket: 'lake', prefix: PREFIX, region: 'us-east-1', endpoint: s3.endpoint },
      ...{ force_path_style: true, access_key_id: { file: id }, secret_access_key: { file: secret } },
      ...{ max_attempts: 3, timeout: { connect: '1s', request: '2s' }, work_path: path.join(fixture.folder, 'work') },
    });
    await fixture.apply();
    await fixture.sync();
    expect(await shopProblems(fixture)).toEqual([]);
  });
  afterAll(async () => {
    await fixture?.remove();
    await s3?.stop();
    await postgres?.stop();
  });

  test.each(TROUBLES)('$what', async ({ faults, survives }) => {
    round += 1;
    await work(fixture, round);
    const placed = faults.map((fault) => s3.fault(fault));
    const report = await fixture.trySync();
    const struck = placed.map((fault) => fault.struck > 0);
    for (const fault of placed) fault.clear();
    expect({ struck, ok: report.ok }).toEqual({ struck: placed.map(() => true), ok: survives });
    await fixture.sync();
    expect(await shopProblems(fixture)).toEqual([]);
  });

  test('it goes away in the middle of a sync and comes back', async () => {
    for (const passed of [3, 9, 15]) {
      round += 1;
      await work(fixture, round);
      let requests = 0;
      const gone = s3.fault({ on: () => ++requests > passed, does: 'drop', times: Number.POSITIVE_INFINITY });
      const report = await fixture.trySync();
      expect({ passed, ok: report.ok }).toEqual({ passed, ok: false });
      gone.clear();
      await work(fixture, 500 + round);
      await fixture.sync();
      expect(await shopProblems(fixture)).toEqual([]);
    }
  });

  /** One table's objects. A listing names the folder in its query, which a fault does not see. */
  const closeOrders = () =>
    s3.fault({
      on: ({ key }) => key.startsWith(`${PREFIX}/public/orders/`),
      does: { answer: 'AccessDenied' },
      times: Number.POSITIVE_INFINITY,
    });

  test('one table of it is closed to us: its neighbours go on', async () => {
    round += 1;
    await work(fixture, round);
    const closed = closeOrders();
    const report = await fixture.trySync();
    const tables = report.sources.flatMap((source) => source.tables);
    expect(report.sources.map(({ source, error }) => ({ source, error }))).toEqual([{ source: SOURCE, error: null }]);
    expect(
      tables.filter(({ status }) => status === 'failed').map(({ address, error }) => [address, error?.code]),
    ).toEqual([['shop:public.orders', 'STORE_FORBIDDEN']]);
    closed.clear();
    await fixture.sync();
    expect(await shopProblems(fixture)).toEqual([]);
  });

  test('changes that were held for a table go with the disk that they are on: it is loaded anew', async () => {
    round += 1;
    await work(fixture, round);
    const closed = closeOrders();
    await fixture.trySync();
    closed.clear();
    await fixture.close();
    // Postgres was told that they have arrived, and keeps them no longer.
    await rm(path.join(fixture.folder, 'work'), { recursive: true });
    const settings = await fixture.lakeSettings();
    expect(await loadReasons(settings)).toEqual({ 'shop:public.orders': 'HELD_CHANGES_LOST' });
    await fixture.close();
    await fixture.sync();
    const loads = await fixture.read((lake) =>
      lake.rows("SELECT address FROM _sluice.runs WHERE kind = 'snapshot' ORDER BY started_at DESC LIMIT 1"),
    );
    expect(loads).toEqual([['shop:public.orders']]);
    expect(await shopProblems(fixture)).toEqual([]);
  });
});

/** Why tables have to be loaded anew, as a process finds it that comes to the lake now. */
async function loadReasons(settings: LakeThreadSettings): Promise<Record<string, string>> {
  const writer = await openLakeWriter(settings, () => undefined);
  try {
    const facts = await writer.readFacts();
    const asked = facts.tables.filter(({ resnapshotReason }) => resnapshotReason !== null);
    return Object.fromEntries(asked.map(({ address, resnapshotReason }) => [address, resnapshotReason ?? '']));
  } finally {
    await writer.close();
  }
}
