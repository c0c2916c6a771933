import { dropPublicationSql } from '../source/publication-sql.js';
import { quoteLiteral } from '../source/sql-identifier.js';
import type { CleanupFailure, SourceState } from '../state/state.js';

/** A thing outside of the state that a source has, for people. */
export interface LeftThing {
  /** `source:slot`, `source:publication`, `source:schema.table`; the source itself for what its destination records of it. */
  readonly address: string;
  readonly what: string;
  /** Removes it by hand; null where that takes no SQL in Postgres. */
  readonly sql: string | null;
  /** Why it could not be cleaned up when that was last tried; null where it was not tried or nothing is to be. */
  readonly failure: CleanupFailure | null;
}

/** What stays outside of the state when a source is taken out of it; what still has to be cleaned up of one that left. */
export function leftBehind(name: string, source: SourceState): readonly LeftThing[] {
  const slot = source.slot ?? source.pending_slot;
  const publication = source.management === 'managed' && source.publication_tables.length > 0 && source.publication;
  const left = (address: string, what: string, sql: string | null): LeftThing => ({
    address,
    what,
    sql,
    failure: source.cleanup?.failures.find((failure) => failure.address === address) ?? null,
  });
  const things = [
    ...(slot === null
      ? []
      : [
          left(
            `${name}:slot`,
            `slot "${slot.name}", which keeps WAL back`,
            `select pg_drop_replication_slot(${quoteLiteral(slot.name)});`,
          ),
        ]),
    ...(typeof publication === 'string'
      ? [left(`${name}:publication`, `publication "${publication}"`, dropPublicationSql(publication))]
      : []),
    ...Object.entries(source.tables)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, { target }]) =>
        left(`${name}:${key}`, `${target.schema}.${target.name} in destination "${source.destination}"`, null),
      ),
  ];
  if (things.length > 0) return things;
  return [left(name, `what destination "${source.destination}" records of the source's stream`, null)];
}
