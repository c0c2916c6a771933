import { type Address, formatAddress, parseAddress } from '../config/address.js';
import { suggestion } from '../config/nearest.js';
import { formatTableKey } from '../config/table-key.js';
import { SluiceError } from '../error/sluice-error.js';

/**
 * What `--target` lets through of one source. Tables outside keep the state they have; a table's publication and slot
 * come along, as without them it would not work.
 */
export interface SourceScope {
  /** Everything of the source. */
  readonly whole: boolean;
  /** The slot or the publication was named. */
  readonly stream: boolean;
  covers(table: string): boolean;
}

/** @throws SluiceError ADDRESS_UNKNOWN for a text that is no address */
export function parseTargets(targets: readonly string[]): readonly Address[] {
  return targets.map((text) => {
    const address = parseAddress(text);
    if (address !== null) return address;
    throw new SluiceError({
      code: 'ADDRESS_UNKNOWN',
      message: `"${text}" is no address`,
      hint: 'addresses are source, source:schema.table, source:slot and source:publication',
    });
  });
}

/** @returns null when nothing of the source is targeted */
export function scopeOf(source: string, targets: readonly Address[]): SourceScope | null {
  if (targets.length === 0) return { whole: true, stream: true, covers: () => true };
  const own = targets.filter((target) => target.source === source);
  if (own.length === 0) return null;
  if (own.some((target) => target.kind === 'source')) return { whole: true, stream: true, covers: () => true };
  const tables = new Set(
    own.flatMap((target) => (target.kind === 'table' ? [formatTableKey(target.schema, target.name)] : [])),
  );
  return {
    whole: false,
    stream: own.some((target) => target.kind !== 'table'),
    covers: (table) => tables.has(table),
  };
}

/**
 * Refuses targets that name nothing.
 * @param tables by source, all tables of its config and state; null where they cannot be told (unreachable)
 * @throws SluiceError ADDRESS_UNKNOWN with the nearest known address
 */
export function refuseUnknownTargets(
  targets: readonly Address[],
  tables: ReadonlyMap<string, ReadonlySet<string> | null>,
): void {
  for (const target of targets) {
    const known = tables.get(target.source);
    const text = formatAddress(target);
    if (known === undefined) {
      throw new SluiceError({
        code: 'ADDRESS_UNKNOWN',
        message: `"${text}" names no source${suggestion(target.source, [...tables.keys()])}`,
      });
    }
    if (target.kind !== 'table' || known === null || known.has(formatTableKey(target.schema, target.name))) continue;
    throw new SluiceError({
      code: 'ADDRESS_UNKNOWN',
      message: `"${text}" names no table${suggestion(
        text,
        [...known].map((table) => `${target.source}:${table}`),
      )}`,
    });
  }
}
