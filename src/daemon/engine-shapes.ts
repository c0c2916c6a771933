import { ALERT_KINDS } from '../config/config.js';
import type {
  DestinationTraffic,
  EngineEvent,
  PageCounts,
  SourceRun,
  SyncReport,
  SyncRequest,
  TableRun,
} from '../executor/engine.js';
import type { LagFacts } from '../guard/wal-lag.js';
import type { Pausing, Resuming } from '../state/pause.js';
import { plainError } from './control-protocol.js';
import { aFlag, aNumber, aText, listOf, nullable, object, oneOf, optional, type Shape } from './shape.js';

/** What an engine is asked and answers, read from JSON. */

export const aSyncRequest = object<SyncRequest>({ address: nullable(aText), untilCaughtUp: aFlag, force: aFlag });

const aTableRun = object<TableRun>({
  address: aText,
  kind: oneOf(['snapshot', 'backfill', 'stream', 'incremental', 'append', 'full_table']),
  status: oneOf(['ok', 'failed']),
  rows: aNumber,
  inserted: aNumber,
  updated: aNumber,
  deleted: aNumber,
  rejected: aNumber,
  durationMs: aNumber,
  error: nullable(plainError),
});

const lagShapes = {
  at: aText,
  exists: aFlag,
  retainedBytes: nullable(aNumber),
  unconfirmedBytes: nullable(aNumber),
  walStatus: nullable(oneOf(['reserved', 'extended', 'unreserved', 'lost'])),
  safeWalSizeBytes: nullable(aNumber),
  keepSizeBytes: nullable(aNumber),
  level: oneOf(['ok', 'warning', 'critical']),
  since: aText,
  warningBytes: aNumber,
  criticalBytes: aNumber,
  growthBytesPerSecond: nullable(aNumber),
  secondsUntilCritical: nullable(aNumber),
  secondsUntilLost: nullable(aNumber),
} as const;

const someLag = object<LagFacts>(lagShapes);

const aSourceRun = object<SourceRun>({
  source: aText,
  transactions: aNumber,
  changes: aNumber,
  confirmedLsn: nullable(aText),
  durationMs: aNumber,
  error: nullable(plainError),
  lag: nullable(someLag),
  tables: listOf(aTableRun),
  drift: listOf(aText),
  newColumns: listOf(aText),
});

const someTraffic = object<DestinationTraffic>({
  destination: aText,
  puts: aNumber,
  gets: aNumber,
  lists: aNumber,
  deletes: aNumber,
  bytesSent: aNumber,
  bytesReceived: aNumber,
});

export const aSyncReport = object<SyncReport>({
  sources: listOf(aSourceRun),
  traffic: optional(listOf(someTraffic)),
  ok: aFlag,
});

export const aPausing = object<Pausing>({
  address: aText,
  already: aFlag,
  heldSlot: nullable(aText),
  missesChanges: aFlag,
});

export const aResuming = object<Resuming>({
  address: aText,
  already: aFlag,
  load: nullable(aText),
  stillPaused: listOf(aText),
});

/** Events that a command shows of the work that it asked for. Those of single changes go as {@link ChangeEvent}. */
export type WorkEvent = Extract<
  EngineEvent,
  {
    kind:
      | 'load_started'
      | 'load_progress'
      | 'load_ended'
      | 'stream_progress'
      | 'page_committed'
      | 'waiting'
      | 'table_failed'
      | 'notice'
      | 'wal_lag'
      | 'wal_lag_unknown'
      | 'guard_dropped'
      | 'guard_failed'
      | 'alert_failed';
  }
>;

type ShapesOf<Event extends { readonly kind: string }> = {
  readonly [Kind in Event['kind']]: Shape<Extract<Event, { readonly kind: Kind }>>;
};

type EventOf<Kind extends WorkEvent['kind']> = Extract<WorkEvent, { readonly kind: Kind }>;

const aPage = object<PageCounts>({
  address: aText,
  inserted: aNumber,
  updated: aNumber,
  deleted: aNumber,
  rejected: aNumber,
});

const WORK_EVENTS: ShapesOf<WorkEvent> = {
  load_started: object<EventOf<'load_started'>>({
    kind: oneOf(['load_started']),
    address: aText,
    method: aText,
    estimatedRows: nullable(aNumber),
  }),
  load_progress: object<EventOf<'load_progress'>>({
    kind: oneOf(['load_progress']),
    address: aText,
    rows: aNumber,
    bytes: aNumber,
    estimatedRows: nullable(aNumber),
  }),
  load_ended: object<EventOf<'load_ended'>>({
    kind: oneOf(['load_ended']),
    address: aText,
    rows: aNumber,
    bytes: aNumber,
    durationMs: aNumber,
  }),
  stream_progress: object<EventOf<'stream_progress'>>({
    kind: oneOf(['stream_progress']),
    source: aText,
    changes: aNumber,
    transactions: aNumber,
    confirmedLsn: aText,
    remainingBytes: nullable(aNumber),
  }),
  page_committed: object<EventOf<'page_committed'>>({
    kind: oneOf(['page_committed']),
    source: aText,
    durationMs: aNumber,
    transactions: aNumber,
    asOf: aText,
    tables: listOf(aPage),
  }),
  waiting: object<EventOf<'waiting'>>({ kind: oneOf(['waiting']), address: aText, what: aText }),
  table_failed: object<EventOf<'table_failed'>>({ kind: oneOf(['table_failed']), address: aText, error: plainError }),
  notice: object<EventOf<'notice'>>({ kind: oneOf(['notice']), address: aText, message: aText }),
  wal_lag: object<EventOf<'wal_lag'>>({
    kind: oneOf(['wal_lag']),
    source: aText,
    slot: aText,
    lag: object<EventOf<'wal_lag'>['lag']>({
      ...lagShapes,
      window: listOf(object({ at: aText, retainedBytes: aNumber })),
    }),
    changed: aFlag,
  }),
  wal_lag_unknown: object<EventOf<'wal_lag_unknown'>>({
    kind: oneOf(['wal_lag_unknown']),
    source: aText,
    error: plainError,
    failures: aNumber,
  }),
  guard_dropped: object<EventOf<'guard_dropped'>>({ kind: oneOf(['guard_dropped']), address: aText, message: aText }),
  guard_failed: object<EventOf<'guard_failed'>>({ kind: oneOf(['guard_failed']), address: aText, error: plainError }),
  alert_failed: object<EventOf<'alert_failed'>>({
    kind: oneOf(['alert_failed']),
    hook: aText,
    alert: oneOf(ALERT_KINDS),
    error: plainError,
  }),
};

export function isWorkEvent(event: EngineEvent): event is WorkEvent {
  return Object.hasOwn(WORK_EVENTS, event.kind);
}

/** Null: an event that this version does not know, of a newer daemon. */
export const aWorkEvent: Shape<WorkEvent | null> = (value) => {
  const kind = object<{ kind: string }>({ kind: aText })(value).kind;
  const known = Object.keys(WORK_EVENTS).find((each): each is WorkEvent['kind'] => each === kind);
  return known === undefined ? null : WORK_EVENTS[known](value);
};
