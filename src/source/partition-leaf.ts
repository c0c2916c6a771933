import type { SourceConnection } from './connect.js';
import { quoteIdentifier, quoteLiteral, quoteQualified } from './sql-identifier.js';

/** The leaf partitions of a table at one moment, as far as that tells whether rows came or went without a change sent. */
export interface PartitionRecord {
  /** pg_snapshot_xmin() of that moment, 64 bits: every transaction below it had ended. */
  readonly seenXmin: string;
  /** In oid order. */
  readonly leaves: readonly PartitionLeaf[];
}

export interface PartitionLeaf {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** pg_class.relfilenode: TRUNCATE gives another, and so do VACUUM FULL, CLUSTER and rewriting ALTERs. */
  readonly filenode: number;
  /** `xid/command` of the catalog row that made it, and each table between it and the root, a partition; the leaf's own first. */
  readonly joined: readonly string[];
}

/**
 * For a table that is no partitioned one there are no leaves. Both parts come from one statement, so from one snapshot.
 * @param root oid of the partitioned table
 */
export async function readPartitions(
  connection: SourceConnection,
  root: number,
  signal: AbortSignal,
): Promise<PartitionRecord> {
  const [row] = await connection.query<{ seenXmin: string; leaves: PartitionLeaf[] }>(
    `with recursive tree as (
       select i.inhrelid as oid, array[i.xmin::text || '/' || i.cmin::text] as joined
       from pg_catalog.pg_inherits as i where i.inhparent = $1
       union all
       select i.inhrelid, (i.xmin::text || '/' || i.cmin::text) || t.joined
       from tree as t join pg_catalog.pg_inherits as i on i.inhparent = t.oid)
     select pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text as "seenXmin",
       (select coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
           'oid', c.oid::int8, 'schema', n.nspname, 'name', c.relname, 'filenode', c.relfilenode::int8, 'joined', t.joined)
           order by c.oid), '[]')
         from tree as t join pg_catalog.pg_class as c on c.oid = t.oid
           join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
         where c.relkind = 'r') as leaves`,
    [root],
    signal,
  );
  return row ?? { seenXmin: '0', leaves: [] };
}

/** Transaction ids are compared over half of their 32 bits. */
const HALF = 1n << 31n;

/** Whether ids of that moment can still be told from ids that came round again. */
export function isComparable(before: PartitionRecord, now: PartitionRecord): boolean {
  return BigInt(now.seenXmin) - BigInt(before.seenXmin) < HALF;
}

/**
 * Whether the partition holds a row that a transaction wrote which had ended at `seenXmin`. Such a row was there then,
 * so the partition was not truncated since: a rewrite by VACUUM FULL or CLUSTER keeps the xmin of rows.
 */
export async function holdsRowFrom(
  connection: SourceConnection,
  leaf: PartitionLeaf,
  seenXmin: string,
  signal: AbortSignal,
): Promise<boolean> {
  const xid = BigInt.asUintN(32, BigInt(seenXmin));
  return exists(connection, leaf, olderThan(xid.toString()), signal);
}

/** Whether the partition holds a row that was in it before it became one: such rows are never sent. */
export async function holdsRowFromOutside(
  connection: SourceConnection,
  leaf: PartitionLeaf,
  signal: AbortSignal,
): Promise<boolean> {
  const before = leaf.joined.map((edge) => {
    const [xid = '0', command = '0'] = edge.split('/');
    // Of the very transaction that attached it, by the order of its commands.
    const same = `(t.xmin = ${quoteLiteral(xid)}::xid and t.cmin::text::int8 < ${quoteLiteral(command)}::int8)`;
    return `(${olderThan(xid)} or ${same})`;
  });
  return exists(connection, leaf, before.join(' or '), signal);
}

/** A negative age is that of a frozen row whose id has come round. */
function olderThan(xid: string): string {
  return `pg_catalog.age(t.xmin) > pg_catalog.age(${quoteLiteral(xid)}::xid) or pg_catalog.age(t.xmin) < 0`;
}

async function exists(
  connection: SourceConnection,
  leaf: PartitionLeaf,
  condition: string,
  signal: AbortSignal,
): Promise<boolean> {
  const sql = `select exists (select from only ${quoteQualified(leaf)} as t where ${condition}) as found`;
  const [row] = await connection.query<{ found: boolean }>(sql, [], signal);
  return row?.found ?? false;
}

/** For messages. */
export function leafName(leaf: PartitionLeaf): string {
  return `${quoteIdentifier(leaf.schema)}.${quoteIdentifier(leaf.name)}`;
}
