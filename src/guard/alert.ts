import type { AlertKind } from '../config/config.js';
import type { PlainError } from '../error/sluice-error.js';
import type { WalLag } from './wal-lag.js';

/** What a hook of `alerts:` is given, as JSON: snake_case, every key always there. */
export interface AlertEvent {
  readonly format_version: 1;
  readonly kind: AlertKind;
  readonly at: string;
  /** The machine that Sluice runs on. */
  readonly host: string;
  readonly source: string;
  readonly slot: string | null;
  readonly message: string;
  readonly hint: string | null;
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly lag: AlertLag | null;
}

export interface AlertLag {
  readonly level: WalLag['level'];
  readonly retained_bytes: number | null;
  readonly unconfirmed_bytes: number | null;
  readonly wal_status: WalLag['walStatus'];
  readonly safe_wal_size_bytes: number | null;
  readonly growth_bytes_per_second: number | null;
  readonly seconds_until_critical: number | null;
  readonly seconds_until_lost: number | null;
  readonly thresholds: {
    readonly warning_bytes: number;
    readonly critical_bytes: number;
    readonly keep_size_bytes: number | null;
  };
}

export interface AlertContent {
  readonly kind: AlertKind;
  readonly source: string;
  readonly slot: string | null;
  readonly message: string;
  readonly hint: string | null;
  readonly error: PlainError | null;
  readonly lag: WalLag | null;
}

export function alertEvent(content: AlertContent, place: { readonly at: string; readonly host: string }): AlertEvent {
  const { kind, source, slot, message, hint, error, lag } = content;
  return {
    format_version: 1,
    kind,
    at: place.at,
    host: place.host,
    source,
    slot,
    message,
    hint,
    error: error === null ? null : { code: error.code, message: error.message },
    lag: lag === null ? null : alertLag(lag),
  };
}

function alertLag(lag: WalLag): AlertLag {
  return {
    level: lag.level,
    retained_bytes: lag.retainedBytes,
    unconfirmed_bytes: lag.unconfirmedBytes,
    wal_status: lag.walStatus,
    safe_wal_size_bytes: lag.safeWalSizeBytes,
    growth_bytes_per_second: rounded(lag.growthBytesPerSecond),
    seconds_until_critical: rounded(lag.secondsUntilCritical),
    seconds_until_lost: rounded(lag.secondsUntilLost),
    thresholds: {
      warning_bytes: lag.warningBytes,
      critical_bytes: lag.criticalBytes,
      keep_size_bytes: lag.keepSizeBytes,
    },
  };
}

function rounded(value: number | null): number | null {
  return value === null ? null : Math.round(value);
}
