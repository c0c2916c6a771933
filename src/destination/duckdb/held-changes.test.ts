import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isVisible, parseSnapshot } from '../../pgoutput/snapshot-visibility.js';
import { holdGap, takeHeldGaps, visibleIn } from './held-changes.js';
import { DuckDbSession } from './session.js';

let folder: string;
let session: DuckDbSession;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-held-'));
  const settings = { path: join(folder, 'w.duckdb'), memoryLimitMb: 128, threads: 1, busyWaitMs: 0 };
  session = await DuckDbSession.open(settings, () => undefined);
  await session.prepareLayout();
});
afterAll(async () => {
  session.close();
  await rm(folder, { recursive: true });
});

test('SQL and the decoder agree on what a snapshot sees, also where the 32-bit ids turn over', async () => {
  const near = fc.tuple(
    fc.constantFrom(1000n, 2n ** 32n - 3n, 2n ** 32n + 5n, 2n ** 33n, 2n ** 40n + 2n ** 31n),
    fc.bigInt({ min: -8n, max: 8n }),
  );
  const place = near.map(([base, offset]) => base + offset);
  await fc.assert(
    fc.asyncProperty(place, fc.nat(12), fc.array(fc.nat(12)), fc.array(place), async (xmin, span, running, ids) => {
      const xip = [...new Set(running)].filter((n) => n < span).map((n) => xmin + BigInt(n));
      const snapshot = `${xmin}:${xmin + BigInt(span)}:${xip.sort((a, b) => (a < b ? -1 : 1)).join(',')}`;
      const xids = [...ids, xmin, xmin + BigInt(span), ...xip].map((id) => Number(BigInt.asUintN(32, id)));
      const rows = await session.rows<{ seen: boolean }>(
        `SELECT ${visibleIn(snapshot, 'x')} AS seen FROM (SELECT unnest([${xids.join(', ')}])::UINTEGER AS x)`,
      );
      expect(rows.map((row) => row.seen)).toEqual(xids.map((xid) => isVisible(xid, parseSnapshot(snapshot))));
    }),
    { numRuns: 60 },
  );
});

describe('a gap in the held changes', () => {
  const cases = [
    { name: 'seen by the snapshot needs no other load', xid: 99, snapshot: '100:100:', reason: null },
    {
      name: 'by a transaction still running in the snapshot asks for one',
      xid: 105,
      snapshot: '100:110:105',
      reason: 'why',
    },
    { name: 'after the snapshot asks for one', xid: 110, snapshot: '100:110:105', reason: 'why' },
  ];

  test.each(cases)('$name', async ({ xid, snapshot, reason }) => {
    await holdGap(session, 's:public.t', { lsn: '0/10', xid }, 'why');
    await holdGap(session, 's:public.other', { lsn: '0/10', xid: 4_000 }, 'not ours');
    expect(await takeHeldGaps(session, 's:public.t', snapshot)).toBe(reason);
    // Taken once: the load that it asked for is not asked for again.
    expect(await takeHeldGaps(session, 's:public.t', snapshot)).toBeNull();
  });
});
