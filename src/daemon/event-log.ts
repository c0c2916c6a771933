import { assertNever } from '../error/sluice-error.js';
import type { PendingSource } from '../executor/clean-up.js';
import type { ChangeResult, EngineEvent } from '../executor/engine.js';
import type { Log } from './log.js';

/** One log line for an event of the engine. What repeats while work goes on is debug, what a person should see is more. */
export function logEvent(log: Log, event: EngineEvent): void {
  switch (event.kind) {
    case 'change_started':
      log.debug({ action: event.change.action, address: event.change.address }, 'change started');
      return;
    case 'change_ended':
      logChange(log, event.result);
      return;
    case 'load_started':
      log.info({ address: event.address, method: event.method, estimated_rows: event.estimatedRows }, 'load started');
      return;
    case 'load_progress':
      log.debug(
        { address: event.address, rows: event.rows, bytes: event.bytes, estimated_rows: event.estimatedRows },
        'loading',
      );
      return;
    case 'load_ended':
      // The table's run, which the report of the sync brings, says more.
      log.debug(
        { address: event.address, rows: event.rows, bytes: event.bytes, duration_ms: Math.round(event.durationMs) },
        'load ended',
      );
      return;
    case 'stream_progress':
      log.debug(
        {
          source: event.source,
          changes: event.changes,
          transactions: event.transactions,
          confirmed_lsn: event.confirmedLsn,
          remaining_bytes: event.remainingBytes,
        },
        'streaming',
      );
      return;
    case 'page_committed':
    case 'source_ended':
      // For metrics; the progress of the stream and the report of the sync have their lines.
      return;
    case 'waiting':
      log.info({ address: event.address, what: event.what }, 'waiting');
      return;
    case 'table_failed':
      log.error({ address: event.address, error: event.error }, 'table failed');
      return;
    case 'notice':
      log.warn({ address: event.address, notice: event.message }, 'notice');
      return;
    case 'optimized':
      log.info(
        {
          address: event.table.address,
          removed_files: event.table.removedFiles,
          added_files: event.table.addedFiles,
          removed_bytes: event.table.removedBytes,
          added_bytes: event.table.addedBytes,
        },
        'table optimized',
      );
      return;
    case 'vacuumed':
      log.info(
        {
          address: event.table.address,
          files: event.table.files,
          bytes: event.table.bytes,
          log_files: event.table.logFiles,
        },
        'table vacuumed',
      );
      return;
    case 'maintenance_failed':
      log.error({ address: event.address, error: event.error }, 'maintenance failed');
      return;
    case 'wal_lag':
      logLag(log, event);
      return;
    case 'wal_lag_unknown':
      log.warn({ source: event.source, error: event.error, failures: event.failures }, 'wal lag could not be read');
      return;
    case 'guard_dropped':
      log.error({ address: event.address, what: event.message }, 'guard dropped');
      return;
    case 'guard_failed':
      log.error({ address: event.address, error: event.error }, 'guard failed, trying again');
      return;
    case 'alert_failed':
      log.error({ hook: event.hook, alert: event.alert, error: event.error }, 'alert failed');
      return;
    default:
      assertNever(event);
  }
}

/** Every look is a line of debug; a new level is told to everybody. */
function logLag(log: Log, { source, slot, lag, changed }: Extract<EngineEvent, { kind: 'wal_lag' }>): void {
  const fields = {
    source,
    slot,
    level: lag.level,
    retained_bytes: lag.retainedBytes,
    unconfirmed_bytes: lag.unconfirmedBytes,
    wal_status: lag.walStatus,
    growth_bytes_per_second: lag.growthBytesPerSecond === null ? null : Math.round(lag.growthBytesPerSecond),
    seconds_until_critical: lag.secondsUntilCritical === null ? null : Math.round(lag.secondsUntilCritical),
  };
  if (!changed) log.debug(fields, 'wal lag');
  else if (lag.level === 'ok') log.info(fields, 'wal lag is well again');
  else if (lag.level === 'warning') log.warn(fields, 'wal lag reached the warning');
  else log.error(fields, 'wal lag is critical');
}

/** What is left of sources that left the file. */
export function logPendingCleanup(log: Log, pending: readonly PendingSource[]): void {
  if (pending.length === 0) log.info({}, 'everything is cleaned up after sources that left the file');
  for (const { source, since, left } of pending) {
    const things = left.map(({ what, failure }) => (failure === null ? what : `${what}: ${failure.message}`));
    log.warn({ source, since, left: things }, 'a source left the file and is not cleaned up yet, trying again');
  }
}

function logChange(log: Log, result: ChangeResult): void {
  const fields = { action: result.change.action, address: result.change.address };
  switch (result.status) {
    case 'applied':
      log.info({ ...fields, duration_ms: Math.round(result.durationMs) }, 'change applied');
      return;
    case 'failed':
      log.error({ ...fields, error: result.error }, 'change failed');
      return;
    case 'not_attempted':
      log.warn({ ...fields, because: result.because }, 'change not attempted');
      return;
    default:
      assertNever(result);
  }
}
