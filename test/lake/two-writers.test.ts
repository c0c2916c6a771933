import { copyFile, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ErrorCode } from '../../src/error/codes.js';
import type { SyncReport } from '../../src/executor/engine.js';
import { EngineFixture } from '../engine-fixture.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { makeShop, SHOP_TABLES, shopProblems, work } from './shop.js';

/** Two daemons of one source, which nothing on their own disks tells of each other: the lake does. */

const FENCED: readonly ErrorCode[] = ['LAKE_FENCED', 'DELTA_FENCED'];
/** One of them reads from the slot. */
const REFUSED: readonly ErrorCode[] = [...FENCED, 'SLOT_IN_USE', 'SNAPSHOT_RACED'];
const MAX_ROUNDS = 25;
const TIMEOUT_MS = 300_000;

describe.each(['dv', 'cow'] as const)('two that sync one source into one lake (%s)', (deletes) => {
  let postgres: TestPostgres;
  let first: EngineFixture;
  let second: EngineFixture;

  beforeAll(async () => {
    postgres = await startPostgres({ major: 17 });
    const database = `twice_${deletes}`;
    await makeShop(postgres, database);
    const shared = {
      ...{ postgres, database, tables: SHOP_TABLES, cdc: { slot: database, publication: database } },
      destination: { type: 'local', path: 'lake', format: 'delta', deletes },
    };
    first = await EngineFixture.create(shared);
    await first.apply();
    await first.sync();
    second = await EngineFixture.create({
      ...shared,
      destination: { ...shared.destination, path: path.join(first.folder, 'lake') },
    });
    await mkdir(path.dirname(second.stateFile), { recursive: true });
    await copyFile(first.stateFile, second.stateFile);
  });
  afterAll(async () => {
    await second?.remove();
    await first?.remove();
    await postgres?.stop();
  });

  test(
    'leave everything there once, and one hears of the other',
    async () => {
      const codes: string[] = [];
      for (let round = 1; round <= MAX_ROUNDS && !codes.some(isFenced); round += 1) {
        await work(first, round);
        const reports = await Promise.all([first.trySync(), second.trySync()]);
        codes.push(...reports.flatMap(errorCodes));
      }
      expect(codes.filter((code) => !isRefused(code))).toEqual([]);
      expect(codes.filter(isFenced)).not.toEqual([]);
      await second.sync();
      await work(first, MAX_ROUNDS + 1);
      await first.sync();
      expect(await shopProblems(first)).toEqual([]);
      expect(await shopProblems(second)).toEqual([]);
    },
    TIMEOUT_MS,
  );
});

function isFenced(code: string): boolean {
  return FENCED.some((known) => known === code);
}

function isRefused(code: string): boolean {
  return REFUSED.some((known) => known === code);
}

function errorCodes({ sources }: SyncReport): string[] {
  return sources.flatMap(({ error, tables }) => [
    ...(error === null ? [] : [error.code]),
    ...tables.flatMap((table) => (table.error === null ? [] : [table.error.code])),
  ]);
}
