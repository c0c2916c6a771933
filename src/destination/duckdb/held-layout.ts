import { OP_DELETE, UNCHANGED_BITS, unchangedColumnNames } from '../../batch/change-columns.js';
import { duckdbTypeName } from '../../batch/logical-type.js';
import type { TargetTable } from '../target-table.js';
import type { DuckDbSession } from './session.js';
import { identifier, qualified } from './sql-text.js';
import { columnTypes } from './target-ddl.js';

/**
 * Held changes are laid out like the table's columns were when the first of them came. Where those have changed since,
 * they are laid out anew before they are used, as the bits of unsent values count columns by their position.
 */
export async function alignHeld(session: DuckDbSession, table: TargetTable): Promise<void> {
  const held = { schema: '_sluice', name: `held ${table.address}` };
  const types = await columnTypes(session, held);
  if (types.size === 0) return;
  const names = [...types.keys()];
  const before = names.slice(0, names.indexOf('__op'));
  const now = table.columns.map((column) => ({ name: column.name, type: duckdbTypeName(column.type) }));
  const same =
    before.length === now.length && now.every(({ name, type }, i) => before[i] === name && types.get(name) === type);
  if (same) return;
  const aligned = { ...held, name: `${held.name} aligned` };
  await session.run(`DROP TABLE IF EXISTS ${qualified(aligned)}`);
  await session.run(`CREATE TABLE ${qualified(aligned)} AS ${alignedSelect(before, now)} FROM ${qualified(held)} h`);
  await session.run(`DROP TABLE ${qualified(held)}`);
  await session.run(`ALTER TABLE ${qualified(aligned)} RENAME TO ${identifier(held.name)}`);
}

function alignedSelect(
  before: readonly string[],
  now: readonly { readonly name: string; readonly type: string }[],
): string {
  const values = now.map(({ name, type }) => {
    const value = before.includes(name) ? `h.${identifier(name)}` : 'NULL';
    return `${value}::${type} AS ${identifier(name)}`;
  });
  const words = unchangedColumnNames(now.length).map((word, index) => {
    const bits = now
      .slice(index * UNCHANGED_BITS, (index + 1) * UNCHANGED_BITS)
      .map(({ name }, bit) => `CASE WHEN ${wasUnsent(before.indexOf(name))} THEN ${1 << bit} ELSE 0 END`);
    return `(${bits.length === 0 ? '0' : bits.join(' + ')})::INTEGER AS ${word}`;
  });
  const fixed = ['__op', '__lsn', '__seq', '__commit_ts', '__xid', '__key_change'].map((name) => `h.${name}`);
  return `SELECT ${[...values, ...fixed, ...words].join(', ')}`;
}

/** A column that the change did not know yet is NULL in it; a delete keeps what the row has. */
function wasUnsent(position: number): string {
  if (position < 0) return `h.__op = ${OP_DELETE}`;
  const word = Math.floor(position / UNCHANGED_BITS);
  return `(h.__unchanged_${word} & ${1 << (position % UNCHANGED_BITS)}) <> 0`;
}
