import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { OP_DELETE, OP_INSERT, OP_UPDATE } from '../../batch/change-columns.js';
import type { Deletes, Output } from '../../config/config.js';
import type { TargetTable } from '../target-table.js';
import { applyChanges } from './apply-changes.js';
import { DuckDbSession } from './session.js';
import { createHistory } from './target-ddl.js';

/**
 * The merge against a model: batches of random changes (with unchanged TOAST values, key changes and chains of them,
 * deletes that carry only the key, reinserts) are applied batch by batch and compared after each.
 */

interface Row {
  readonly id: number;
  readonly big: string | null;
  readonly n: number | null;
}

interface Change {
  readonly op: number;
  readonly row: Row;
  readonly bigUnchanged: boolean;
  readonly keyOnly: boolean;
  readonly keyChange: boolean;
  readonly lsn: number;
  readonly seq: number;
}

type Step =
  | { readonly kind: 'insert'; readonly id: number; readonly big: string | null; readonly n: number | null }
  | {
      readonly kind: 'update';
      readonly id: number;
      readonly big: string | null | 'unchanged';
      readonly n: number | null;
    }
  | {
      readonly kind: 'rekey';
      readonly id: number;
      readonly to: number;
      readonly big: string | null | 'unchanged';
      readonly n: number | null;
    }
  | { readonly kind: 'delete'; readonly id: number; readonly full: boolean };

const id = fc.integer({ min: 1, max: 5 });
const n = fc.option(fc.integer({ min: 0, max: 9 }));
const text = fc.option(fc.constantFrom('red', 'green', "it's", 'a value of more than twelve bytes'));
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('insert' as const), id, big: text, n }),
  fc.record({ kind: fc.constant('update' as const), id, big: fc.oneof(text, fc.constant('unchanged' as const)), n }),
  fc.record({
    kind: fc.constant('rekey' as const),
    id,
    to: id,
    big: fc.oneof(text, fc.constant('unchanged' as const)),
    n,
  }),
  fc.record({ kind: fc.constant('delete' as const), id, full: fc.boolean() }),
);
/** batches of transactions of steps */
const workload = fc.array(fc.array(fc.array(step, { maxLength: 6 }), { maxLength: 3 }), { minLength: 1, maxLength: 4 });

/** What Postgres would hold and send: steps that make no sense for the current rows are left out. */
class Source {
  readonly rows = new Map<number, Row>();
  readonly lastKnown = new Map<number, Row>();
  lsn = 0;

  transaction(steps: readonly Step[]): Change[] {
    this.lsn += 10;
    const changes: Change[] = [];
    const push = (op: number, row: Row, extra: Partial<Change> = {}): void => {
      changes.push({
        op,
        row,
        bigUnchanged: false,
        keyOnly: false,
        keyChange: false,
        lsn: this.lsn,
        seq: changes.length + 1,
        ...extra,
      });
      this.lastKnown.set(row.id, op === OP_DELETE ? (this.lastKnown.get(row.id) ?? row) : row);
    };
    for (const s of steps) {
      const old = this.rows.get(s.id);
      switch (s.kind) {
        case 'insert':
          if (old !== undefined) break;
          this.rows.set(s.id, { id: s.id, big: s.big, n: s.n });
          push(OP_INSERT, { id: s.id, big: s.big, n: s.n });
          break;
        case 'update': {
          if (old === undefined) break;
          const row = { id: s.id, big: s.big === 'unchanged' ? old.big : s.big, n: s.n };
          this.rows.set(s.id, row);
          // Postgres leaves only out-of-line values out, and those are never NULL.
          push(OP_UPDATE, row, { bigUnchanged: s.big === 'unchanged' && old.big !== null });
          break;
        }
        case 'rekey': {
          if (old === undefined || this.rows.has(s.to)) break;
          const row = { id: s.to, big: s.big === 'unchanged' ? old.big : s.big, n: s.n };
          this.rows.delete(s.id);
          this.rows.set(s.to, row);
          push(OP_DELETE, old, { keyOnly: true, keyChange: true });
          push(OP_INSERT, row, { bigUnchanged: s.big === 'unchanged' && old.big !== null, keyChange: true });
          break;
        }
        case 'delete':
          if (old === undefined) break;
          this.rows.delete(s.id);
          push(OP_DELETE, old, { keyOnly: !s.full });
          break;
      }
    }
    return changes;
  }
}

const table = (output: Output, deletes: Deletes): TargetTable => ({
  address: 's:public.t',
  schema: 'main',
  name: `t ${output} ${deletes}`,
  method: 'cdc',
  output,
  deletes,
  columns: [
    { name: 'id', type: { kind: 'int32' } },
    { name: 'big', type: { kind: 'varchar' } },
    { name: 'n', type: { kind: 'int32' } },
  ],
  key: ['id'],
  metadataPrefix: '_ph_',
  generation: 1,
});

let folder: string;
let session: DuckDbSession;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-merge-'));
  session = await DuckDbSession.open(
    { path: join(folder, 'm.duckdb'), memoryLimitMb: 256, threads: 2, busyWaitMs: 0 },
    () => undefined,
  );
});
afterAll(async () => {
  session.close();
  await rm(folder, { recursive: true });
});

async function fresh(t: TargetTable): Promise<void> {
  await session.run(`DROP TABLE IF EXISTS "${t.name}"`);
  await session.run(`DROP TABLE IF EXISTS "${t.name}_cdc"`);
  await session.run(
    `CREATE TABLE "${t.name}" (id INTEGER, big VARCHAR, n INTEGER, _ph_cdc_op VARCHAR, _ph_cdc_timestamp TIMESTAMPTZ, _ph_deleted BOOLEAN, _ph_deleted_at TIMESTAMPTZ, _ph_cdc_lsn BIGINT, _ph_cdc_seq BIGINT)`,
  );
  if (t.output !== 'consolidated') await createHistory(session, t);
}

/** Commit clocks go back now and then; what has to hold does not depend on them. */
function commitSecond(lsn: number): number {
  return lsn % 30 === 0 ? lsn - 15 : lsn;
}

async function stage(changes: readonly Change[]): Promise<void> {
  await session.run('DROP TABLE IF EXISTS staged');
  const rows = changes.map((c) => {
    const quoted = (value: string | null): string => (value === null ? 'NULL' : `'${value.replaceAll("'", "''")}'`);
    const mask = c.keyOnly ? 0b110 : c.bigUnchanged ? 0b010 : 0;
    const big = mask & 0b010 ? 'NULL' : quoted(c.row.big);
    const number = mask & 0b100 ? 'NULL' : String(c.row.n);
    return `(${c.row.id}, ${big}, ${number}, ${c.op}, ${c.lsn}, ${c.seq}, to_timestamp(${commitSecond(c.lsn)}), ${c.lsn}, ${c.keyChange ? 1 : 0}, ${mask})`;
  });
  await session.run(
    'CREATE TEMP TABLE staged (id INTEGER, big VARCHAR, n INTEGER, __op SMALLINT, __lsn BIGINT, __seq BIGINT, __commit_ts TIMESTAMPTZ, __xid UINTEGER, __key_change SMALLINT, __unchanged_0 INTEGER)',
  );
  if (rows.length > 0) await session.run(`INSERT INTO staged VALUES ${rows.join(', ')}`);
}

async function consolidated(t: TargetTable): Promise<{ live: Row[]; deleted: Row[] }> {
  const rows = await session.rows<{ id: number; big: string | null; n: number | null; gone: boolean }>(
    `SELECT id, big, n, _ph_deleted AS gone FROM "${t.name}" ORDER BY id`,
  );
  const pick = (gone: boolean): Row[] => rows.filter((r) => r.gone === gone).map(({ id, big, n }) => ({ id, big, n }));
  return { live: pick(false), deleted: pick(true) };
}

const byId = (rows: Iterable<Row>): Row[] => [...rows].sort((a, b) => a.id - b.id);

describe.each<{ output: Output; deletes: Deletes }>([
  { output: 'consolidated', deletes: 'soft' },
  { output: 'consolidated', deletes: 'hard' },
  { output: 'both', deletes: 'soft' },
  { output: 'history', deletes: 'soft' },
])('$output with $deletes deletes', ({ output, deletes }) => {
  test('equals the model after every batch', async () => {
    const t = table(output, deletes);
    await fc.assert(
      fc.asyncProperty(workload, async (batches) => {
        await fresh(t);
        const source = new Source();
        const sent: Change[] = [];
        const checkpoints: { lsn: number; rows: Row[] }[] = [];
        for (const batch of batches) {
          const changes = batch.flatMap((steps) => source.transaction(steps));
          sent.push(...changes);
          await stage(changes);
          await session.transaction(() => applyChanges(session, t, 'staged'));
          checkpoints.push({ lsn: source.lsn, rows: byId(source.rows.values()) });
          if (output !== 'history') {
            const { live, deleted } = await consolidated(t);
            expect(live).toEqual(byId(source.rows.values()));
            const gone = [...source.lastKnown.values()].filter((row) => !source.rows.has(row.id));
            expect(deleted).toEqual(deletes === 'hard' ? [] : byId(gone));
          }
        }
        if (output !== 'consolidated') await checkHistory(t, sent, checkpoints);
      }),
      { numRuns: 60 },
    );
  }, 120_000);
});

async function checkHistory(
  t: TargetTable,
  sent: readonly Change[],
  checkpoints: readonly { lsn: number; rows: Row[] }[],
): Promise<void> {
  const name = `"${t.name}_cdc"`;
  const [count] = await session.rows<{ n: number }>(`SELECT count(*)::INTEGER AS n FROM ${name}`);
  expect(count?.n).toBe(sent.length);
  const [broken] = await session.rows<{ overlaps: number; unordered: number; open: number }>(
    `WITH v AS (SELECT *, lead(valid_from) OVER w AS next_from, lead(_ph_cdc_lsn) OVER w AS next_lsn FROM ${name}
       WINDOW w AS (PARTITION BY id ORDER BY _ph_cdc_lsn, _ph_cdc_seq))
     SELECT count(*) FILTER (WHERE valid_to IS DISTINCT FROM next_from)::INTEGER AS overlaps,
       count(*) FILTER (WHERE valid_to < valid_from)::INTEGER AS unordered,
       count(*) FILTER (WHERE valid_to IS NULL AND next_lsn IS NOT NULL)::INTEGER AS open FROM v`,
  );
  expect(broken).toEqual({ overlaps: 0, unordered: 0, open: 0 });
  for (const { lsn, rows } of checkpoints) {
    const then = await session.rows<{ id: number; big: string | null; n: number | null }>(
      `SELECT id, big, n FROM (SELECT * FROM ${name} WHERE _ph_cdc_lsn <= ${lsn}
         QUALIFY row_number() OVER (PARTITION BY id ORDER BY _ph_cdc_lsn DESC, _ph_cdc_seq DESC) = 1) WHERE NOT _ph_deleted ORDER BY id`,
    );
    expect(then).toEqual(rows);
  }
}

test('an unchanged value that is nowhere is refused, not made up', async () => {
  const t = table('consolidated', 'soft');
  await fresh(t);
  await stage([
    {
      op: OP_UPDATE,
      row: { id: 1, big: null, n: 1 },
      bigUnchanged: true,
      keyOnly: false,
      keyChange: false,
      lsn: 10,
      seq: 1,
    },
  ]);
  await expect(session.transaction(() => applyChanges(session, t, 'staged'))).rejects.toMatchObject({
    code: 'UNCHANGED_VALUE_LOST',
  });
});
