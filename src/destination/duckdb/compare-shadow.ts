import { isDeepStrictEqual } from 'node:util';
import type { Json } from '@duckdb/node-api';
import { SluiceError } from '../../error/sluice-error.js';
import {
  type Comparison,
  DIFFERENCE_KINDS,
  type DifferenceExample,
  type DifferenceKind,
  type NamedCell,
} from '../comparison.js';
import { historyName, type TargetTable } from '../target-table.js';
import { type CompareShadow, SETTLED_COLUMN } from '../writer.js';
import { historyFaults } from './history-laws.js';
import { differs, groupedIdentity, identityOf } from './identity-sql.js';
import { inSample } from './key-sample-sql.js';
import { deletedColumn } from './merge-sql.js';
import type { DuckDbSession } from './session.js';
import { SHADOW_TABLE } from './shadow.js';
import { columnList, identifier, literal, qualified } from './sql-text.js';
import { columnTypes } from './target-ddl.js';

/**
 * The comparison itself: a join in both directions on the key, or a count of equal rows where there is no key. What
 * differs goes into a temporary table first, so that a table of which nothing is right costs disk and not memory.
 */

const DIFFERENCES = 'verify_differences';
const EXAMPLES = 'verify_examples';
const SETTLED = identifier(SETTLED_COLUMN.name);
/** Characters of a value that are shown; what is longer also tells its length and md5, as the difference may lie behind. */
const SHOWN_CHARACTERS = 200;

/** One table of the destination and how its current rows are read. */
interface Part {
  readonly name: { readonly schema: string; readonly name: string };
  readonly rows: string;
  readonly history: boolean;
}

/** @throws SluiceError CANCELLED, SCHEMA_CHANGED, DESTINATION_FAILED */
export async function compareShadow(session: DuckDbSession, request: CompareShadow): Promise<Comparison[]> {
  const cancelled = interruptWhenAsked(session, request.cancel);
  try {
    const comparisons: Comparison[] = [];
    for (const part of partsOf(request)) {
      cancelled.throwIfAsked();
      await refuseOtherColumns(session, request.table, part);
      comparisons.push(
        request.by === 'key' ? await compareByKey(session, request, part) : await compareRows(session, request, part),
      );
    }
    return comparisons;
  } catch (error) {
    cancelled.throwIfAsked();
    throw error;
  } finally {
    cancelled.end();
    for (const table of [EXAMPLES, DIFFERENCES, SHADOW_TABLE]) await session.run(`DROP TABLE IF EXISTS ${table}`);
  }
}

/** An interrupt that comes between two statements has no effect, so it is repeated. */
const INTERRUPT_EVERY_MS = 50;

/** A statement that runs cannot be told to stop by a call, as calls wait for it; a shared word can. */
function interruptWhenAsked(
  session: DuckDbSession,
  shared: SharedArrayBuffer,
): { readonly throwIfAsked: () => void; readonly end: () => void } {
  const word = new Int32Array(shared);
  let timer: NodeJS.Timeout | null = null;
  let open = true;
  const asked = (): boolean => Atomics.load(word, 0) !== 0;
  const interrupt = (): void => {
    if (open && asked()) timer ??= setInterval(() => session.connection.interrupt(), INTERRUPT_EVERY_MS);
  };
  const wait = Atomics.waitAsync(word, 0, 0);
  if (wait.async) void wait.value.then(interrupt);
  else interrupt();
  return {
    throwIfAsked: () => {
      if (asked()) throw new SluiceError({ code: 'CANCELLED', message: 'the comparison was stopped' });
    },
    end: () => {
      open = false;
      if (timer !== null) clearInterval(timer);
      // Lets go of the wait.
      Atomics.notify(word, 0);
    },
  };
}

function partsOf({ table, sample }: CompareShadow): Part[] {
  const sampled = sample === null ? [] : [inSample(table, sample)];
  const read = (name: Part['name'], conditions: readonly string[]): string =>
    `(SELECT * FROM ${qualified(name)}${conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`})`;
  const cdc = table.method === 'cdc';
  const live = cdc ? [`NOT ${deletedColumn(table)}`] : [];
  const parts: Part[] = [];
  if (!cdc || table.output !== 'history') {
    const name = { schema: table.schema, name: table.name };
    parts.push({ name, rows: read(name, [...live, ...sampled]), history: false });
  }
  if (cdc && table.output !== 'consolidated') {
    const name = { schema: table.schema, name: historyName(table) };
    parts.push({ name, rows: read(name, ['valid_to IS NULL', ...live, ...sampled]), history: true });
  }
  return parts;
}

async function refuseOtherColumns(session: DuckDbSession, table: TargetTable, part: Part): Promise<void> {
  const ours = await columnTypes(session, { schema: 'main', name: SHADOW_TABLE });
  const theirs = await columnTypes(session, part.name);
  const place = `${part.name.schema}.${part.name.name}`;
  const refuse = (message: string): SluiceError =>
    new SluiceError({
      code: 'SCHEMA_CHANGED',
      address: table.address,
      message,
      hint: `load the table anew: sluice resync ${table.address}`,
    });
  if (theirs.size === 0) throw refuse(`the destination has no table ${place}`);
  for (const { name } of table.columns) {
    const type = theirs.get(name);
    if (type === undefined) throw refuse(`${place} has no column "${name}"`);
    if (type !== ours.get(name)) throw refuse(`${place}.${name} is ${type} and not ${ours.get(name)}`);
  }
}

/** Key columns of the table of differences: a table's own names could be anything. */
function keyNames(table: TargetTable): string[] {
  return table.key.map((_, i) => `k${i}`);
}

async function compareByKey(session: DuckDbSession, request: CompareShadow, part: Part): Promise<Comparison> {
  const { table, surplus } = request;
  const keys = keyNames(table);
  const tests = table.columns.map(({ name, type }, i) => ({ name, sql: differs(type, `s.c${i}`, `d.c${i}`) }));
  const read = [
    ...table.key.map((name, i) => `${identifier(name)} AS ${keys[i]}`),
    ...table.columns.map(({ name, type }, i) => `${identityOf(type, identifier(name))} AS c${i}`),
    'true AS __present',
  ].join(', ');
  const keyValues = keys.map((key) => `coalesce(s.${key}, d.${key}) AS ${key}`).join(', ');
  const sameKey = keys.map((key) => `s.${key} IS NOT DISTINCT FROM d.${key}`).join(' AND ');
  const found = tests.map((test) => `CASE WHEN ${test.sql} THEN ${literal(test.name)} END`).join(', ');
  await session.run(`CREATE OR REPLACE TEMP TABLE ${DIFFERENCES} AS
    SELECT CASE WHEN NOT s.${SETTLED} THEN 'pending' WHEN d.__present IS NULL THEN 'missing' WHEN s.__present IS NULL THEN ${literal(surplus)} ELSE 'different' END AS __kind,
      (s.__present AND d.__present) IS TRUE AS __pair,
      CASE WHEN s.__present AND d.__present THEN list_filter([${found}], lambda c: c IS NOT NULL) ELSE []::VARCHAR[] END AS __columns, ${keyValues}
    FROM (SELECT ${read}, ${SETTLED} FROM ${SHADOW_TABLE}) s FULL JOIN (SELECT ${read} FROM ${part.rows}) d ON ${sameKey}
    WHERE s.__present IS NULL OR d.__present IS NULL OR ${tests.map((test) => test.sql).join(' OR ')}`);
  const { sourceRows, destinationRows } = await countRows(session, part);
  const add = (sql: string): Promise<number> =>
    session.run(
      `INSERT INTO ${DIFFERENCES} BY NAME SELECT *, false AS __pair, []::VARCHAR[] AS __columns FROM (${sql})`,
    );
  if (await holdsKeyTwice(session, keys, sourceRows, destinationRows)) {
    const named = table.key.map((name, i) => `${identifier(name)} AS ${keys[i]}`).join(', ');
    await add(
      `SELECT 'duplicate' AS __kind, ${named} FROM ${part.rows} GROUP BY ${columnList(table.key)} HAVING count(*) > 1`,
    );
  }
  if (part.history) {
    await add(historyFaults(table, keys, request.sample === null ? null : inSample(table, request.sample)));
  }
  const columns = await session.rows<{ name: string; n: string }>(
    `SELECT name, count(*) AS n FROM (SELECT unnest(__columns) AS name FROM ${DIFFERENCES}) GROUP BY name ORDER BY n DESC, name`,
  );
  return {
    relation: `${part.name.schema}.${part.name.name}`,
    sourceRows,
    destinationRows,
    counts: await countKinds(session, 'count(*)'),
    columns: columns.map(({ name, n }) => ({ column: name, rows: Number(n) })),
    examples: await examplesByKey(session, request, part),
  };
}

async function countRows(
  session: DuckDbSession,
  part: Part,
): Promise<Pick<Comparison, 'sourceRows' | 'destinationRows'>> {
  const [sizes] = await session.rows<{ source: string; destination: string }>(
    `SELECT (SELECT count(*) FROM ${SHADOW_TABLE}) AS source, (SELECT count(*) FROM ${part.rows}) AS destination`,
  );
  return { sourceRows: Number(sizes?.source ?? 0), destinationRows: Number(sizes?.destination ?? 0) };
}

/**
 * Whether the destination holds some key more than once, told from the counts of the join, which cost nothing: each row of
 * the source meets at most one of the destination, unless that holds its key twice.
 */
async function holdsKeyTwice(
  session: DuckDbSession,
  keys: readonly string[],
  sourceRows: number,
  destinationRows: number,
): Promise<boolean> {
  const alone = `__kind IN ('extra', 'unfollowed')`;
  const [row] = await session.rows<{ alone: string; keys: string; lacking: string }>(
    `SELECT count(*) FILTER (WHERE ${alone}) AS alone, count(DISTINCT (${keys.join(', ')})) FILTER (WHERE ${alone}) AS keys,
       count(*) FILTER (WHERE NOT __pair AND NOT ${alone}) AS lacking
     FROM ${DIFFERENCES}`,
  );
  const alonePairs = destinationRows - Number(row?.alone ?? 0);
  return row?.keys !== row?.alone || alonePairs > sourceRows - Number(row?.lacking ?? 0);
}

async function countKinds(session: DuckDbSession, count: string): Promise<Comparison['counts']> {
  const rows = await session.rows<{ kind: string; n: string }>(
    `SELECT __kind AS kind, ${count} AS n FROM ${DIFFERENCES} GROUP BY __kind`,
  );
  const counts: Partial<Record<DifferenceKind, number>> = {};
  for (const kind of DIFFERENCE_KINDS) {
    const found = rows.find((row) => row.kind === kind);
    if (found !== undefined) counts[kind] = Number(found.n);
  }
  return counts;
}

/** Faults before the rest. */
const RANK = `list_position([${DIFFERENCE_KINDS.map(literal).join(', ')}], __kind)`;

interface ExampleRow extends Record<string, Json> {
  kind: string;
}

async function examplesByKey(
  session: DuckDbSession,
  { table, limit }: CompareShadow,
  part: Part,
): Promise<DifferenceExample[]> {
  const keys = keyNames(table);
  await session.run(
    `CREATE OR REPLACE TEMP TABLE ${EXAMPLES} AS SELECT *, row_number() OVER (ORDER BY ${RANK}, ${keys.join(', ')})::INTEGER AS __nth FROM ${DIFFERENCES} QUALIFY __nth <= ${limit}`,
  );
  const rows = await session.rows<ExampleRow & { columns: string[] }>(
    `SELECT __kind AS kind, __columns AS columns, __nth AS nth, ${keys.map((key) => `${shown(key)} AS ${key}`).join(', ')} FROM ${EXAMPLES} ORDER BY __nth`,
  );
  const sourceCells = await exampleCells(session, table, SHADOW_TABLE);
  const destinationCells = await exampleCells(session, table, part.rows);
  return rows.map((row) => {
    const source = sourceCells.find((cells) => cells['nth'] === row['nth']);
    const candidates = destinationCells.filter((cells) => cells['nth'] === row['nth']);
    // Of a key that is there twice, one of the rows may be right: the other is the one to show.
    const destination = candidates.find((cells) => !isDeepStrictEqual(cells, source)) ?? candidates[0];
    return {
      kind: kindOf(row.kind),
      row: table.key.map((column, i) => ({ column, value: textOf(row[`k${i}`]) })),
      cells: table.columns.flatMap(({ name }, i) =>
        row.columns.includes(name)
          ? [{ column: name, source: textOf(source?.[`v${i}`]), destination: textOf(destination?.[`v${i}`]) }]
          : [],
      ),
    };
  });
}

/** The texts of the cells that differ, by the number of their example. */
async function exampleCells(
  session: DuckDbSession,
  table: TargetTable,
  relation: string,
): Promise<Record<string, Json>[]> {
  const sameKey = table.key.map((name, i) => `e.k${i} IS NOT DISTINCT FROM t.${identifier(name)}`).join(' AND ');
  const cells = table.columns.map(
    ({ name }, i) =>
      `CASE WHEN list_contains(e.__columns, ${literal(name)}) THEN ${shown(`t.${identifier(name)}`)} END AS v${i}`,
  );
  return session.rows<Record<string, Json>>(
    `SELECT e.__nth AS nth, ${cells.join(', ')} FROM ${relation} t JOIN ${EXAMPLES} e ON ${sameKey} WHERE len(e.__columns) > 0`,
  );
}

async function compareRows(session: DuckDbSession, request: CompareShadow, part: Part): Promise<Comparison> {
  const { table, surplus, limit } = request;
  const named = table.columns.map(({ name, type }, i) => ({
    sql: groupedIdentity(type, identifier(name)),
    as: `c${i}`,
  }));
  const values = named.map(({ sql, as }) => `${sql} AS ${as}`).join(', ');
  const names = named.map(({ as }) => as).join(', ');
  await session.run(`CREATE OR REPLACE TEMP TABLE ${DIFFERENCES} AS
    SELECT CASE WHEN __n < 0 THEN ${literal(surplus)} WHEN __settled THEN 'missing' ELSE 'pending' END AS __kind, abs(__n) AS __n, ${names}
    FROM (SELECT ${names}, sum(__n) AS __n, bool_and(__settled) AS __settled FROM (
        SELECT ${values}, 1 AS __n, ${SETTLED} AS __settled FROM ${SHADOW_TABLE}
        UNION ALL SELECT ${values}, -1, NULL FROM ${part.rows}) GROUP BY ${names} HAVING sum(__n) <> 0)`);
  const rows = await session.rows<ExampleRow>(
    `SELECT __kind AS kind, ${named.map(({ as }) => `${shown(as)} AS ${as}`).join(', ')} FROM ${DIFFERENCES} ORDER BY ${RANK}, ${names} LIMIT ${limit}`,
  );
  return {
    relation: `${part.name.schema}.${part.name.name}`,
    ...(await countRows(session, part)),
    counts: await countKinds(session, 'sum(__n)'),
    columns: [],
    examples: rows.map((row) => ({
      kind: kindOf(row.kind),
      row: table.columns.map(({ name }, i): NamedCell => ({ column: name, value: textOf(row[`c${i}`]) })),
      cells: [],
    })),
  };
}

function shown(value: string): string {
  const text = `${value}::VARCHAR`;
  return `CASE WHEN length(${text}) > ${SHOWN_CHARACTERS} THEN concat(left(${text}, ${SHOWN_CHARACTERS}), '... (', length(${text}), ' characters, md5 ', md5(${text}), ')') ELSE ${text} END`;
}

function kindOf(text: string): DifferenceKind {
  const kind = DIFFERENCE_KINDS.find((each) => each === text);
  if (kind === undefined) throw new SluiceError({ code: 'INTERNAL', message: `no kind of difference: ${text}` });
  return kind;
}

function textOf(value: Json | undefined): string | null {
  return typeof value === 'string' ? value : null;
}
