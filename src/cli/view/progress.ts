import { displayWidth } from '../terminal.js';
import { formatBytes, formatCount, formatDuration, formatShortCount, perSecond } from './quantity.js';

/** One table that is loading, as the events told it. Times are the clock's monotonic milliseconds. */
export interface LoadProgress {
  readonly address: string;
  readonly rows: number;
  readonly bytes: number;
  /** Null: not known, then there is no bar and no ETA. */
  readonly estimatedRows: number | null;
  readonly rowsPerSecond: number | null;
}

export interface StreamProgress {
  readonly source: string;
  readonly changes: number;
  readonly transactions: number;
  readonly changesPerSecond: number | null;
  readonly remainingBytes: number | null;
  readonly confirmedLsn: string;
}

const BAR_WIDTH = 20;
const SHORT_BAR_WIDTH = 10;

/**
 * `shop:public.users  [#####...............]  25%  750,000 rows  88 MiB  353k rows/s  ETA 6.4 s`
 * @param columns what the line should fit into; the least telling parts give way first. Null: as long as it is
 */
export function loadLine(load: LoadProgress, columns: number | null = null): string {
  const share = shareOf(load);
  const etaMs = etaOf(load);
  const line = (form: { readonly barWidth: number; readonly bytes: boolean }): string =>
    [
      load.address,
      ...(share === null || form.barWidth === 0 ? [] : [bar(share, form.barWidth)]),
      ...(share === null ? [] : [`${Math.floor(share * 100)}%`]),
      `${formatCount(load.rows)} rows`,
      ...(form.bytes && load.bytes > 0 ? [formatBytes(load.bytes)] : []),
      ...(load.rowsPerSecond === null ? [] : [`${formatShortCount(load.rowsPerSecond)} rows/s`]),
      ...(etaMs === null ? [] : [`ETA ${formatDuration(etaMs)}`]),
    ].join('  ');
  return firstFitting(
    [
      line({ barWidth: BAR_WIDTH, bytes: true }),
      line({ barWidth: SHORT_BAR_WIDTH, bytes: true }),
      line({ barWidth: SHORT_BAR_WIDTH, bytes: false }),
      line({ barWidth: 0, bytes: false }),
    ],
    columns,
  );
}

/**
 * `shop  stream  12,345 changes in 40 transactions  8.1k changes/s  12 MiB remaining  at 0/16B3748`
 * @param columns as for {@link loadLine}
 */
export function streamLine(stream: StreamProgress, columns: number | null = null): string {
  const line = (form: { readonly transactions: boolean; readonly position: boolean }): string =>
    [
      stream.source,
      'stream',
      `${formatCount(stream.changes)} changes${form.transactions ? ` in ${formatCount(stream.transactions)} transactions` : ''}`,
      ...(stream.changesPerSecond === null ? [] : [`${formatShortCount(stream.changesPerSecond)} changes/s`]),
      ...(stream.remainingBytes === null ? [] : [`${formatBytes(stream.remainingBytes)} remaining`]),
      ...(form.position ? [`at ${stream.confirmedLsn}`] : []),
    ].join('  ');
  return firstFitting(
    [
      line({ transactions: true, position: true }),
      line({ transactions: true, position: false }),
      line({ transactions: false, position: false }),
    ],
    columns,
  );
}

/** The last form where none fits; the caller cuts it. */
function firstFitting(forms: readonly [string, ...string[]], columns: number | null): string {
  return forms.find((form) => columns === null || displayWidth(form) <= columns) ?? forms.at(-1) ?? forms[0];
}

/** Milliseconds to the end at the present rate; null where it cannot be told. */
export function etaOf(load: LoadProgress): number | null {
  if (load.estimatedRows === null || load.rowsPerSecond === null || load.rowsPerSecond <= 0) return null;
  return load.rows >= load.estimatedRows ? null : ((load.estimatedRows - load.rows) / load.rowsPerSecond) * 1_000;
}

/** The estimate is Postgres's own guess and may be low: a load that is still running is never shown as complete. */
function shareOf(load: LoadProgress): number | null {
  if (load.estimatedRows === null || load.estimatedRows <= 0) return null;
  return Math.min(load.rows / load.estimatedRows, 0.99);
}

function bar(share: number, width: number): string {
  const filled = Math.round(share * width);
  return `[${'#'.repeat(filled)}${'.'.repeat(width - filled)}]`;
}

/** Samples of a counter over the last seconds, so that the rate follows what happens now and not the average since the start. */
export class RateWindow {
  private samples: { readonly atMs: number; readonly amount: number }[] = [];

  constructor(private readonly windowMs: number = RATE_WINDOW_MS) {}

  /** Takes the counter's value at a moment; values never fall. */
  add(atMs: number, amount: number): void {
    this.samples.push({ atMs, amount });
    // One sample older than the window stays, as the other end of the measured stretch.
    while (this.samples.length > 2 && (this.samples[1]?.atMs ?? atMs) <= atMs - this.windowMs) this.samples.shift();
  }

  /** Null until time has passed between two samples. */
  perSecond(): number | null {
    const first = this.samples[0];
    const last = this.samples.at(-1);
    return first === undefined || last === undefined
      ? null
      : perSecond(last.amount - first.amount, last.atMs - first.atMs);
  }
}

/** Long enough to smooth over batches, short enough to show a stall. */
const RATE_WINDOW_MS = 10_000;
