import { beforeAll, describe, expect, test } from 'vitest';
import { hasPostgres, type PostgresMajor } from '../postgres/binaries.js';
import { families } from './family.js';
import { type FamilyOutcome, type Rejection, type Row, runMatrix } from './run.js';

/** A loaded machine takes several times the half minute of an idle one. */
const RUN_TIMEOUT_MS = 600_000;
/** The columns of a consolidated table that are no cases. */
const OTHER_COLUMNS = /^(id|touched|_ph_.*)$/;

/**
 * Law 3 from end to end: the same values come into the destination by loads, inserts, updates and deletes, by each
 * transport, and must be the same cells, the ones that Postgres's own text and bytes say. What cannot be held is NULL and
 * recorded alike each way.
 */
export function describeMatrix(major: PostgresMajor): void {
  describe(`types on Postgres ${major}`, () => {
    if (!hasPostgres(major)) {
      test.skip('no such server here', () => {});
      return;
    }
    let outcomes: readonly FamilyOutcome[] = [];
    beforeAll(async () => {
      outcomes = await runMatrix(major);
    }, RUN_TIMEOUT_MS);
    const outcomeOf = (name: string): FamilyOutcome => {
      const outcome = outcomes.find((o) => o.family.name === name);
      if (outcome === undefined) throw new Error(`the family "${name}" was not run`);
      return outcome;
    };

    describe.each(families(major))('$name', ({ name, cases }) => {
      test.each(cases.map((c, index) => ({ c, index })))('$c.name', ({ c, index }) => {
        const { expected, views } = outcomeOf(name);
        const column = (rows: readonly Row[]): (string | null)[] => rows.map((row) => row[index] ?? null);
        const wanted = Object.fromEntries(views.map((view) => [view.label, column(expected[view.origin])]));
        expect(Object.fromEntries(views.map((view) => [view.label, column(view.rows)]))).toEqual(wanted);
        // A NULL in Postgres and nothing else is a NULL here, save what is rejected.
        const held = column(expected.final).filter((text) => text !== null);
        expect(held).toHaveLength(c.values.length - (c.rejected?.length ?? 0));
      });

      test('columns have the types of the type table; excluded ones are absent, generated ones before 18', () => {
        const generated = major >= 18 ? [['doubled', 'INTEGER']] : [];
        const wanted = [...cases.map((c) => [c.name, c.duckdb]), ...generated];
        for (const way of outcomeOf(name).ways) {
          const types = way.types.filter(([column]) => !OTHER_COLUMNS.test(column));
          expect({ way: way.label, types }).toEqual({ way: way.label, types: wanted });
        }
      });

      test('what cannot be held is recorded with its key, its text and one reason, and counted', () => {
        const { ways } = outcomeOf(name);
        const [first] = ways;
        const reasons = new Map(first?.rejections.map(({ column, reason }) => [column, reason]));
        for (const { label, rejections, expectedRejections, counted } of ways) {
          const wanted = expectedRejections.map((r) => ({ ...r, reason: reasons.get(r.column) ?? 'unknown' }));
          expect({ label, rejections: [...rejections].sort(byPlace) }).toEqual({
            label,
            rejections: wanted.sort(byPlace),
          });
          const { recorded } = counted;
          expect({ label, counted }).toEqual({ label, counted: { recorded, facts: recorded, status: recorded } });
        }
        expect([...reasons.values()]).not.toContain('');
      });
    });
  });
}

function byPlace(a: Rejection, b: Rejection): number {
  const place = (r: Rejection): string => `${r.column} ${r.key} ${r.text}`;
  return place(a) < place(b) ? -1 : 1;
}
