import type { SourceStatus, StatusReport, TableStatus } from '../executor/engine.js';
import type { LagFacts } from '../guard/wal-lag.js';
import type { CleanupFailure } from '../state/state.js';
import {
  type DaemonBlock,
  type Fields,
  fields,
  list,
  number,
  plainErrorOrNull,
  readDaemonBlock,
  text,
} from './control-protocol.js';
import { aFlag, oneOf } from './shape.js';

/** A status as a daemon gave it. */
export interface AnsweredStatus {
  readonly report: StatusReport;
  readonly daemon: DaemonBlock;
}

/**
 * Reads the document of `GET /status`, which is that of `sluice status --format json`.
 * @throws SluiceError DAEMON_UNREACHABLE where the document is another one
 */
export function readStatus(document: Fields): AnsweredStatus {
  const lock = nullable(document['lock'], fields);
  const state = nullable(document['state'], fields);
  return {
    report: {
      state: state === null ? null : { lineage: text(state['lineage']), serial: number(state['serial']) },
      sources: list(document['sources']).map((each) => readSource(fields(each))),
      lock: lock === null ? null : { holder: text(lock['holder']), sinceMs: number(lock['since_ms']) },
    },
    daemon: readDaemonBlock(document),
  };
}

function readSource(source: Fields): SourceStatus {
  return {
    source: text(source['source']),
    connection: text(source['connection']),
    destination: text(source['destination']),
    place: nullable(source['place'], text),
    slot: nullable(source['slot'], (slot) => readSlot(fields(slot))),
    errored: plainErrorOrNull(source['errored']),
    unreachable: plainErrorOrNull(source['unreachable']),
    destinationTrouble: plainErrorOrNull(source['destination_trouble']),
    maintenance: nullable(source['maintenance'], (upkeep) => readMaintenance(fields(upkeep))),
    pausedAt: nullable(source['paused_at'], text),
    cleanup: nullable(source['cleanup'], (cleanup) => readCleanup(fields(cleanup))),
    tables: list(source['tables']).map((each) => readTable(fields(each))),
  };
}

function readCleanup(cleanup: Fields): NonNullable<SourceStatus['cleanup']> {
  return {
    since: text(cleanup['since']),
    left: list(cleanup['left'])
      .map(fields)
      .map((left) => ({
        address: text(left['address']),
        what: text(left['what']),
        sql: nullable(left['sql'], text),
        failure: nullable(left['failure'], (failure) => readFailure(fields(failure))),
      })),
  };
}

function readFailure(failure: Fields): CleanupFailure {
  return {
    address: text(failure['address']),
    code: text(failure['code']),
    message: text(failure['message']),
    hint: nullable(failure['hint'], text),
  };
}

function readSlot(slot: Fields): NonNullable<SourceStatus['slot']> {
  return {
    name: text(slot['name']),
    exists: nullable(slot['exists'], aFlag),
    active: nullable(slot['active'], aFlag),
    walStatus: nullable(slot['wal_status'], text),
    failover: nullable(slot['failover'], aFlag),
    trouble: plainErrorOrNull(slot['trouble']),
    retainedWalBytes: nullable(slot['retained_wal_bytes'], number),
    unconfirmedWalBytes: nullable(slot['unconfirmed_wal_bytes'], number),
    confirmedLsn: nullable(slot['confirmed_lsn'], text),
    lag: nullable(slot['lag'], (lag) => readLag(fields(lag))),
  };
}

function readLag(lag: Fields): LagFacts {
  return {
    at: text(lag['at']),
    level: oneOf(['ok', 'warning', 'critical'])(lag['level']),
    since: text(lag['since']),
    exists: aFlag(lag['exists']),
    retainedBytes: nullable(lag['retained_bytes'], number),
    unconfirmedBytes: nullable(lag['unconfirmed_bytes'], number),
    walStatus: nullable(lag['wal_status'], (status) => oneOf(['reserved', 'extended', 'unreserved', 'lost'])(status)),
    safeWalSizeBytes: nullable(lag['safe_wal_size_bytes'], number),
    keepSizeBytes: nullable(lag['keep_size_bytes'], number),
    warningBytes: number(lag['warning_bytes']),
    criticalBytes: number(lag['critical_bytes']),
    growthBytesPerSecond: nullable(lag['growth_bytes_per_second'], number),
    secondsUntilCritical: nullable(lag['seconds_until_critical'], number),
    secondsUntilLost: nullable(lag['seconds_until_lost'], number),
  };
}

function readMaintenance(upkeep: Fields): NonNullable<SourceStatus['maintenance']> {
  const health = fields(upkeep['health']);
  return {
    at: text(upkeep['at']),
    vacuumedAt: nullable(upkeep['vacuumed_at'], text),
    error: plainErrorOrNull(upkeep['error']),
    tables: number(upkeep['tables']),
    health: {
      files: number(health['files']),
      bytes: number(health['bytes']),
      smallFiles: number(health['small_files']),
      rows: nullable(health['rows'], number),
      deletedRows: number(health['deleted_rows']),
    },
  };
}

function readTable(table: Fields): TableStatus {
  const error = nullable(table['last_error'], fields);
  return {
    address: text(table['address']),
    method: text(table['method']),
    output: text(table['output']),
    phase: oneOf(['pending', 'live', 'needs_load', 'failed', 'disabled', 'paused', 'unknown'])(table['phase']),
    phaseReason: nullable(table['phase_reason'], text),
    rows: nullable(table['rows'], number),
    asOf: nullable(table['as_of'], text),
    asOfLsn: nullable(table['as_of_lsn'], text),
    cursor: nullable(table['cursor'], text),
    rejectedValues: number(table['rejected_values']),
    lastRunAt: nullable(table['last_run_at'], text),
    lastError:
      error === null ? null : { code: text(error['code']), message: text(error['message']), at: text(error['at']) },
    schedule: text(table['schedule']),
    target: text(table['target']),
  };
}

function nullable<T>(value: unknown, read: (value: unknown) => T): T | null {
  return value === null || value === undefined ? null : read(value);
}
