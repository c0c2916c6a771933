import type { SourceConfig } from '../config/config.js';

/**
 * How far a slot holds back the server's WAL, judged from one look and what was judged before. Pure: gathered by
 * read-wal-lag.ts, acted on by lag-guard.ts. Times are ISO texts and sizes numbers, so that a judgement can be kept as
 * JSON between processes.
 */

export type LagLevel = 'ok' | 'warning' | 'critical';

export interface LagSettings {
  readonly warningBytes: number;
  readonly criticalBytes: number;
  readonly onCritical: 'drop_slot' | 'alert';
}

/** What the server says of a slot at one moment. */
export interface LagSample {
  readonly at: string;
  readonly exists: boolean;
  /** WAL that the server keeps for the slot: from its restart_lsn to the end. Null where it keeps none for it. */
  readonly retainedBytes: number | null;
  /** WAL after what was confirmed: from confirmed_flush_lsn to the end. */
  readonly unconfirmedBytes: number | null;
  readonly walStatus: 'reserved' | 'extended' | 'unreserved' | 'lost' | null;
  /** WAL that may still be written before the slot may lose some; null without a limit. */
  readonly safeWalSizeBytes: number | null;
  /** max_slot_wal_keep_size; null: no limit. */
  readonly keepSizeBytes: number | null;
}

export interface LagPoint {
  readonly at: string;
  readonly retainedBytes: number;
}

/** What the next judgement needs of the one before. */
export interface LagPast {
  readonly level: LagLevel;
  /** Since when the level is this one. */
  readonly since: string;
  /** What the growth is told from, oldest first. */
  readonly window: readonly LagPoint[];
}

export interface WalLag extends LagSample, LagPast {
  /** As they apply: the critical one is lowered below max_slot_wal_keep_size. */
  readonly warningBytes: number;
  readonly criticalBytes: number;
  /** Of the retained WAL; negative while it shrinks, null where there is nothing to tell it from. */
  readonly growthBytesPerSecond: number | null;
  /** At this growth; 0 beyond it, null where it does not grow or nobody knows. */
  readonly secondsUntilCritical: number | null;
  /** Until the server may remove WAL that the slot needs. */
  readonly secondsUntilLost: number | null;
}

/** A judgement for people and JSON, without what only the next one needs. */
export type LagFacts = Omit<WalLag, 'window'>;

export function lagFacts(lag: WalLag): LagFacts {
  const { window: _past, ...facts } = lag;
  return facts;
}

/** A level ends below this share of its threshold, so that a lag about there does not alarm again and again. */
const CLEAR_SHARE = 0.8;
/** Beyond max_slot_wal_keep_size the server takes the WAL away by itself; we want to be earlier. */
const KEEP_SIZE_SHARE = 0.8;
/** Where the lowered critical threshold leaves no room for the warning as configured. */
const WARNING_SHARE = 0.5;
/** Long enough to smooth over checkpoints and bulk loads, short enough to follow the day. */
const WINDOW_MS = 300_000;
const MIB = 1024 * 1024;

/** The settings of a source; one that has left the file is only watched. */
export function lagSettings(source: SourceConfig | undefined): LagSettings {
  const { warningMb, criticalMb, onCritical } = source?.cdc.lag ?? DEFAULTS;
  return { warningBytes: warningMb * MIB, criticalBytes: criticalMb * MIB, onCritical };
}

const DEFAULTS: SourceConfig['cdc']['lag'] = { warningMb: 1_024, criticalMb: 10_240, onCritical: 'alert' };

/** @param previous what was judged of the same slot last; null: nothing yet */
export function judgeLag(sample: LagSample, previous: LagPast | null, settings: LagSettings): WalLag {
  const thresholds = thresholdsOf(settings, sample.keepSizeBytes);
  const retained = heldBack(sample);
  const level = retained === null ? 'ok' : levelOf(retained, thresholds, previous?.level ?? 'ok');
  const { growth, window } = growthOf(sample.at, retained, previous?.window ?? []);
  const left = (bytes: number | null): number | null =>
    bytes === null || growth === null || growth <= 0 ? null : Math.max(0, bytes) / growth;
  return {
    ...sample,
    ...thresholds,
    level,
    since: previous !== null && previous.level === level ? previous.since : sample.at,
    growthBytesPerSecond: growth,
    secondsUntilCritical: retained === null ? null : left(thresholds.criticalBytes - retained),
    secondsUntilLost: left(sample.safeWalSizeBytes),
    window,
  };
}

/** Whether the slot is to be dropped. Not while the level only lasts until the lag is well below the threshold. */
export function isOverdue(lag: WalLag): boolean {
  const retained = heldBack(lag);
  return retained !== null && retained >= lag.criticalBytes;
}

/** A lost slot holds nothing back any more, whatever its position. */
function heldBack(sample: LagSample): number | null {
  return sample.exists && sample.walStatus !== 'lost' ? sample.retainedBytes : null;
}

interface Thresholds {
  readonly warningBytes: number;
  readonly criticalBytes: number;
}

function thresholdsOf(settings: LagSettings, keepSizeBytes: number | null): Thresholds {
  const criticalBytes =
    keepSizeBytes === null ? settings.criticalBytes : Math.min(settings.criticalBytes, KEEP_SIZE_SHARE * keepSizeBytes);
  const warningBytes = settings.warningBytes < criticalBytes ? settings.warningBytes : WARNING_SHARE * criticalBytes;
  return { warningBytes, criticalBytes };
}

function levelOf(retained: number, { warningBytes, criticalBytes }: Thresholds, before: LagLevel): LagLevel {
  const from = (threshold: number, held: boolean) => (held ? CLEAR_SHARE * threshold : threshold);
  if (retained >= from(criticalBytes, before === 'critical')) return 'critical';
  return retained >= from(warningBytes, before !== 'ok') ? 'warning' : 'ok';
}

function growthOf(
  at: string,
  retained: number | null,
  before: readonly LagPoint[],
): { readonly growth: number | null; readonly window: readonly LagPoint[] } {
  if (retained === null) return { growth: null, window: [] };
  const now = { at, retainedBytes: retained };
  const last = before.at(-1);
  // Once the slot moved on, what was before tells nothing of how fast it falls behind from here.
  if (last !== undefined && retained < last.retainedBytes) return { growth: slope(last, now), window: [now] };
  const recent = before.filter((point) => Date.parse(at) - Date.parse(point.at) <= WINDOW_MS);
  const [first] = recent;
  return { growth: first === undefined ? null : slope(first, now), window: [...recent, now] };
}

function slope(from: LagPoint, to: LagPoint): number | null {
  const seconds = (Date.parse(to.at) - Date.parse(from.at)) / 1_000;
  return seconds <= 0 ? null : (to.retainedBytes - from.retainedBytes) / seconds;
}
