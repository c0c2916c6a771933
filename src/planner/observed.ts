import type { DestinationFacts } from '../destination/facts.js';
import type { PlainError } from '../error/sluice-error.js';
import type { ObservedSource } from '../source/catalog-model.js';
import type { Readiness } from '../source/readiness-model.js';
import type { TimelineHistory } from '../source/timeline-history.js';

/** What the planner is told of the world. A source that could not be reached is a member, not an exception. */
export interface Observed {
  /** By source name. */
  readonly sources: Readonly<
    Record<
      string,
      | {
          readonly ok: true;
          readonly source: ObservedSource;
          /** For the guard, where it was asked for; the planner decides nothing by it. */
          readonly readiness?: Readiness;
          /** Of the server's timeline, asked for where the destination's position lies on another; null: the server does not tell. */
          readonly timelineHistory?: TimelineHistory | null;
        }
      | { readonly ok: false; readonly error: PlainError }
    >
  >;
  /** By destination name. */
  readonly destinations: Readonly<Record<string, DestinationFacts>>;
}
