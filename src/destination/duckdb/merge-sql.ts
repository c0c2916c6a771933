import { OP_DELETE, OP_INSERT, UNCHANGED_BITS, unchangedColumnNames } from '../../batch/change-columns.js';
import { historyName, metadataColumns, metadataNames, type TargetTable } from '../target-table.js';
import { columnList, identifier, keyEquality, qualified } from './sql-text.js';

/**
 * The statements that bring a batch of staged changes into a table and its history. A staged table has the columns of
 * the target followed by those of batch/change-columns.ts. Rows of large tables are deleted and inserted, never updated.
 */

/** What a batch contains, so that the common case skips what it does not need. */
export interface StageContent {
  /** Some insert or update came without an unchanged TOAST value. */
  readonly unchanged: boolean;
  /** Some update changed a key. */
  readonly keyChange: boolean;
  readonly deletes: boolean;
}

const ORDER = '__lsn, __seq';

/** One number that grows with (__lsn, __seq): 40 bits leave room for any count of changes in a transaction. */
function orderNumber(alias: string): string {
  return `(${alias}.__lsn::HUGEINT * 1099511627776 + ${alias}.__seq)`;
}

function isUnchanged(position: number, alias: string): string {
  const word = Math.floor(position / UNCHANGED_BITS);
  return `(${alias}.__unchanged_${word} & ${1 << (position % UNCHANGED_BITS)}) <> 0`;
}

function anyUnchanged(table: TargetTable, alias: string): string {
  return unchangedColumnNames(table.columns.length)
    .map((name) => `${alias}.${name} <> 0`)
    .join(' OR ');
}

/** True when values that the stream did not send have to be looked up before the batch can be applied. */
export function needsFill(table: TargetTable, content: StageContent): boolean {
  const keepsDeleted = table.output !== 'consolidated' || table.deletes === 'soft';
  return content.unchanged || (content.deletes && keepsDeleted);
}

/**
 * Fills values that were not sent. A value is the one before it in the same row's life: earlier in the batch, or else
 * the destination's. A row's life is a chain of segments: a segment is the changes of one key from one insert to the
 * next; the segment that an update of the key began continues the one that its delete ended.
 * @returns a CREATE TEMP TABLE statement for `filled` with the columns of `stage`
 */
export function fillStatement(table: TargetTable, stage: string, filled: string, content: StageContent): string {
  const key = columnList(table.key);
  const words = unchangedColumnNames(table.columns.length);
  const others = table.columns
    .map((column, position) => ({ ...column, position }))
    .filter((c) => !table.key.includes(c.name));
  const chained = content.keyChange;
  const affected = chained
    ? `SELECT * FROM ${stage}`
    : `SELECT s.* FROM ${stage} s SEMI JOIN (SELECT ${key} FROM ${stage} f WHERE ${anyUnchanged(table, 'f')}) k ON ${keyEquality(table.key, 's', 'k')}`;
  const root = chained ? 'coalesce(w.root, n.__segment_id)' : 'n.__segment_id';
  const chainTables = chained
    ? `,
  links AS (
    SELECT c.__segment_id AS child, p.__segment_id AS parent FROM numbered c JOIN numbered p
      ON c.__lsn = p.__lsn AND c.__seq = p.__seq + 1
    WHERE c.__key_change = 1 AND c.__op = ${OP_INSERT} AND p.__key_change = 1 AND p.__op = ${OP_DELETE}),
  walk(segment, root) AS (
    SELECT parent, parent FROM links WHERE parent NOT IN (SELECT child FROM links)
    UNION ALL
    SELECT l.child, w.root FROM links l JOIN walk w ON l.parent = w.segment)`
    : '';
  const window = `(PARTITION BY __root ORDER BY ${ORDER} ROWS UNBOUNDED PRECEDING)`;
  const base = baseRelation(table);
  const filledColumns = table.columns.map((column, position) => {
    const name = identifier(column.name);
    if (table.key.includes(column.name)) return `r.${name}`;
    return `CASE WHEN r.__sent_${position} IS NOT NULL THEN (r.__sent_${position}).v ELSE b.${name} END AS ${name}`;
  });
  const sent = others.map(
    (c) =>
      `last_value(CASE WHEN NOT (${isUnchanged(c.position, 'rooted')}) THEN {'v': rooted.${identifier(c.name)}} END IGNORE NULLS) OVER chain AS __sent_${c.position}`,
  );
  // NULL, which joins with nothing, unless the row's life began before the batch. A condition of its own on one side of
  // the join would make DuckDB compare every pair of rows.
  const rootKey = (name: string, i: number): string =>
    `CASE WHEN first_value(rooted.__segment) OVER chain = 0 THEN first_value(rooted.${identifier(name)}) OVER chain END AS __root_key_${i}`;
  const missing = others.map((c) => `r.__sent_${c.position} IS NULL`).join(' OR ');
  return `CREATE TEMP TABLE ${filled} AS
WITH RECURSIVE affected AS (${affected}),
  segmented AS (
    SELECT *, count(*) FILTER (WHERE __op = ${OP_INSERT}) OVER (PARTITION BY ${key} ORDER BY ${ORDER} ROWS UNBOUNDED PRECEDING) AS __segment
    FROM affected),
  numbered AS (
    SELECT *, min(__lsn::HUGEINT * 4294967296 * 256 + __seq) OVER (PARTITION BY ${key}, __segment) AS __segment_id FROM segmented)${chainTables},
  rooted AS (SELECT n.*, ${root} AS __root FROM numbered n${chained ? ' LEFT JOIN walk w ON w.segment = n.__segment_id' : ''}),
  resolved AS (
    SELECT rooted.*, ${[...sent, ...table.key.map(rootKey)].join(', ')}
    FROM rooted WINDOW chain AS ${window})
SELECT ${filledColumns.join(', ')}, r.__op, r.__lsn, r.__seq, r.__commit_ts, r.__xid, r.__key_change,
  ${words.map((word, i) => (i === 0 ? `CASE WHEN r.__op <> ${OP_DELETE} AND b.__present IS NULL AND (${others.length === 0 ? 'false' : missing}) THEN 1 ELSE 0 END::INTEGER AS ${word}` : `0::INTEGER AS ${word}`)).join(', ')}
FROM resolved r LEFT JOIN (SELECT *, true AS __present FROM ${base}) b
  ON ${table.key.map((name, i) => `r.__root_key_${i} = b.${identifier(name)}`).join(' AND ')}`;
}

/** The row before the batch, by key: the consolidated row or the open version. */
function baseRelation(table: TargetTable): string {
  if (table.output !== 'history') return qualified(table);
  return `(SELECT * FROM ${qualified({ schema: table.schema, name: historyName(table) })} WHERE valid_to IS NULL)`;
}

/** Rows whose unchanged value was found nowhere; any such row means the table has to be loaded anew. */
export function unfilledStatement(filled: string): string {
  return `SELECT count(*) AS n FROM ${filled} WHERE __op <> ${OP_DELETE} AND __unchanged_0 <> 0`;
}

/** The changes of a batch, and those of them that were filled ({@link fillStatement}); null where nothing was. */
export interface MergeInput {
  readonly changes: string;
  readonly filled: string | null;
}

/** Adds to the filled changes those that needed nothing, for history, which keeps them all. */
export function completeStatement(
  table: TargetTable,
  input: { readonly changes: string; readonly filled: string },
): string {
  const { changes, filled } = input;
  return `INSERT INTO ${filled} BY NAME SELECT c.* FROM ${changes} c ANTI JOIN ${filled} f ON ${keyEquality(table.key, 'c', 'f')}`;
}

/**
 * Reduces changes to the last image a key and brings them into the consolidated table. The last image is found by key
 * and position alone and then joined, so that rows that a later change replaces are never sorted or copied.
 */
export function consolidateStatements(table: TargetTable, input: MergeInput, image: string, target: string): string[] {
  const key = columnList(table.key);
  const names = table.columns.map((column) => column.name);
  const meta = metadataNames(table.metadataPrefix);
  const live = table.deletes === 'hard' ? ` WHERE i.__op <> ${OP_DELETE}` : '';
  const latest = `${image}_latest`;
  const { changes, filled } = input;
  const lastOf = (relation: string): string =>
    `SELECT c.* FROM ${relation} c JOIN ${latest} l ON ${keyEquality(table.key, 'c', 'l')} AND ${orderNumber('c')} = l.__last`;
  const untouched = `${lastOf(changes)} WHERE NOT l.__touched`;
  return [
    `CREATE TEMP TABLE ${latest} AS SELECT ${key}, max(${orderNumber('c')}) AS __last, bool_or(${anyUnchanged(table, 'c')}) AS __touched FROM ${changes} c GROUP BY ${key}`,
    `CREATE TEMP TABLE ${image} AS ${filled === null ? lastOf(changes) : `${untouched} UNION ALL BY NAME ${lastOf(filled)} WHERE l.__touched`}`,
    `DROP TABLE ${latest}`,
    `DELETE FROM ${target} t USING ${image} i WHERE ${keyEquality(table.key, 't', 'i')}`,
    `INSERT INTO ${target} (${columnList([...names, ...meta])}) SELECT ${columnList(names, 'i')}, ${changeMetadata('i')} FROM ${image} i${live}`,
    `DROP TABLE ${image}`,
  ];
}

function changeMetadata(alias: string): string {
  return `chr(${alias}.__op), ${alias}.__commit_ts, ${alias}.__op = ${OP_DELETE}, CASE WHEN ${alias}.__op = ${OP_DELETE} THEN ${alias}.__commit_ts END, ${alias}.__lsn, ${alias}.__seq`;
}

/** Every change becomes a version; the version that was open before a key's first change is closed at its start. */
export function historyStatements(table: TargetTable, changes: string, versions: string, open: string): string[] {
  const history = qualified({ schema: table.schema, name: historyName(table) });
  const key = columnList(table.key);
  const names = table.columns.map((column) => column.name);
  const meta = metadataNames(table.metadataPrefix);
  const partition = `PARTITION BY ${columnList(table.key, 'v')} ORDER BY v.__lsn, v.__seq`;
  return [
    `CREATE TEMP TABLE ${open} AS SELECT h.* FROM ${history} h SEMI JOIN ${changes} c ON ${keyEquality(table.key, 'h', 'c')} WHERE h.valid_to IS NULL`,
    `CREATE TEMP TABLE ${versions} AS
      WITH started AS (
        SELECT v.*, max(greatest(v.__commit_ts, coalesce(o.valid_from, v.__commit_ts))) OVER (${partition} ROWS UNBOUNDED PRECEDING) AS __valid_from
        FROM ${changes} v LEFT JOIN (SELECT ${key}, valid_from FROM ${open}) o ON ${keyEquality(table.key, 'v', 'o')})
      SELECT v.*, lead(v.__valid_from) OVER (${partition}) AS __valid_to, row_number() OVER (${partition}) AS __nth FROM started v`,
    `DELETE FROM ${history} h USING ${open} o WHERE ${keyEquality(table.key, 'h', 'o')} AND h.valid_to IS NULL`,
    `INSERT INTO ${history} BY NAME SELECT o.* REPLACE (v.__valid_from AS valid_to) FROM ${open} o JOIN ${versions} v ON ${keyEquality(table.key, 'o', 'v')} AND v.__nth = 1`,
    `INSERT INTO ${history} (${columnList([...names, ...meta])}, valid_from, valid_to)
      SELECT ${columnList(names, 'v')}, ${changeMetadata('v')}, v.__valid_from, v.__valid_to FROM ${versions} v`,
    `DROP TABLE ${versions}`,
    `DROP TABLE ${open}`,
  ];
}

/** TRUNCATE: everything that was open ends, without a version of its own. */
export function closeHistoryStatements(table: TargetTable, at: string, open: string): string[] {
  const history = qualified({ schema: table.schema, name: historyName(table) });
  return [
    `CREATE TEMP TABLE ${open} AS SELECT * FROM ${history} WHERE valid_to IS NULL`,
    `DELETE FROM ${history} WHERE valid_to IS NULL`,
    `INSERT INTO ${history} BY NAME SELECT * REPLACE (greatest(valid_from, ${at}) AS valid_to) FROM ${open}`,
    `DROP TABLE ${open}`,
  ];
}

/** Inserts and replaces rows by key, for incremental syncs; of several rows with one key the one with the highest cursor stays. */
export function upsertStatements(table: TargetTable, stage: string, image: string, cursor: string): string[] {
  const names = columnList(table.columns.map((column) => column.name));
  const target = qualified(table);
  return [
    `CREATE TEMP TABLE ${image} AS SELECT ${names} FROM ${stage} QUALIFY row_number() OVER (PARTITION BY ${columnList(table.key)} ORDER BY ${identifier(cursor)} DESC NULLS LAST) = 1`,
    `DELETE FROM ${target} t USING ${image} i WHERE ${keyEquality(table.key, 't', 'i')}`,
    `INSERT INTO ${target} (${names}) SELECT ${names} FROM ${image}`,
    `DROP TABLE ${image}`,
  ];
}

export function deletedColumn(table: TargetTable): string {
  return identifier(metadataColumns(table.metadataPrefix).deleted);
}
