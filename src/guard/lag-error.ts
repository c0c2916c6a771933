import { SluiceError } from '../error/sluice-error.js';
import type { Halt } from '../state/state.js';
import type { WalLag } from './wal-lag.js';

const MIB = 1024 * 1024;

/** A transaction that keeps restart_lsn back though nearly everything is confirmed. */
const OPEN_TRANSACTION_SHARE = 0.1;

/** Why a source is errored though nothing was dropped: its slot holds back too much. Null below the critical level. */
export function lagError(source: string, slot: string, lag: WalLag): SluiceError | null {
  if (lag.level !== 'critical') return null;
  return new SluiceError({
    code: 'WAL_LAG_CRITICAL',
    address: `${source}:slot`,
    message: lagMessage(slot, lag),
    hint: lagHint(lag),
  });
}

/** Why a source whose slot was dropped is not synced. */
export function haltError(source: string, halt: Halt): SluiceError {
  return new SluiceError({
    code: halt.code,
    address: `${source}:slot`,
    message: halt.message,
    hint: 'mend what kept the source from being synced, then run: sluice plan, sluice apply (makes slot and publication anew and loads the tables again)',
  });
}

export function haltOf(slot: string, lag: WalLag, at: string): Halt {
  return {
    code: 'WAL_LAG_CRITICAL',
    at,
    message: `${lagMessage(slot, lag)}; it was dropped to free the server's disk, and nothing is synced until somebody applies`,
  };
}

/** `slot "x" holds back 12 GiB of WAL, critical from 10 GiB` */
export function lagMessage(slot: string, lag: WalLag): string {
  const size = `slot "${slot}" holds back ${sizeText(lag.retainedBytes ?? 0)} of WAL`;
  switch (lag.level) {
    case 'ok':
      return size;
    case 'warning':
      return `${size}, warning from ${sizeText(lag.warningBytes)}, critical from ${sizeText(lag.criticalBytes)}`;
    case 'critical':
      return `${size}, critical from ${sizeText(lag.criticalBytes)}`;
  }
}

export function lagHint(lag: WalLag): string {
  const retained = lag.retainedBytes ?? 0;
  if (retained > 0 && (lag.unconfirmedBytes ?? retained) < OPEN_TRANSACTION_SHARE * retained) {
    return 'a transaction that is open for long holds it back: select pid, xact_start, query from pg_stat_activity where backend_xid is not null order by xact_start; select * from pg_prepared_xacts;';
  }
  return 'see sluice status for what keeps the source from being synced, and mend it; a sync that gets through frees the WAL';
}

function sizeText(bytes: number): string {
  const mib = bytes / MIB;
  return mib >= 10 * 1024 ? `${Math.round(mib / 1024)} GiB` : `${mib >= 10 ? Math.round(mib) : mib.toFixed(1)} MiB`;
}
