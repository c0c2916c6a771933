import { assertNever, type PlainError } from '../../error/sluice-error.js';
import type { ChangeResult, Clock, EngineEvent } from '../../executor/engine.js';
import { lagMessage } from '../../guard/lag-error.js';
import type { Change } from '../../planner/change.js';
import { cut, type Paint, paintFor, printable, type Sink } from '../terminal.js';
import { describeChange } from './plan-view.js';
import { loadLine, RateWindow, streamLine } from './progress.js';
import { formatBytes, formatCount, formatDuration, formatShortCount, perSecond } from './quantity.js';

/**
 * Shows what an engine does while it does it, on stderr. On a terminal, lines at the bottom are redrawn in place and
 * finished things scroll up above them; elsewhere there are plain lines: one at each start and end and one every ten
 * seconds in between.
 */
export interface LiveView {
  show(event: EngineEvent): void;
  /** Takes the moving lines away; what was finished stays. */
  stop(): void;
}

/** Faster than the eye reads, slow enough to cost nothing. */
const REDRAW_MS = 100;
const PLAIN_INTERVAL_MS = 10_000;
/** More lines would push everything else off a small terminal. */
const MAX_LIVE_LINES = 12;

interface Load {
  readonly method: string;
  readonly rate: RateWindow;
  rows: number;
  bytes: number;
  estimatedRows: number | null;
}

interface Stream {
  readonly rate: RateWindow;
  changes: number;
  transactions: number;
  remainingBytes: number | null;
  confirmedLsn: string;
}

export function createLiveView(sink: Sink, clock: Clock, options: { readonly color: boolean }): LiveView {
  const paint: Paint = paintFor({ colors: sink.colors && options.color });
  return sink.isTty ? new InPlaceView(sink, clock, paint) : new PlainView(sink, clock, paint);
}

/** What both forms know of the work under way. */
abstract class WorkView implements LiveView {
  protected readonly loads = new Map<string, Load>();
  protected readonly streams = new Map<string, Stream>();
  protected readonly waits = new Map<string, string>();
  protected running: Change | null = null;

  constructor(
    protected readonly sink: Sink,
    protected readonly clock: Clock,
    protected readonly paint: Paint,
  ) {}

  abstract stop(): void;
  /** A line that stays. */
  protected abstract keep(line: string): void;
  protected abstract moved(key: string, line: () => string): void;

  show(event: EngineEvent): void {
    switch (event.kind) {
      case 'change_started':
        this.running = event.change;
        this.moved('change', () => changeLine(event.change));
        return;
      case 'change_ended':
        this.running = null;
        this.keep(changeResultLine(event.result, this.paint));
        return;
      case 'load_started':
        this.waits.delete(event.address);
        this.loads.set(event.address, {
          method: event.method,
          rate: new RateWindow(),
          rows: 0,
          bytes: 0,
          estimatedRows: event.estimatedRows,
        });
        this.loads.get(event.address)?.rate.add(this.clock.monotonicMs(), 0);
        this.loadStarted(event.address, event.method, event.estimatedRows);
        return;
      case 'load_progress':
        this.loadProgress(event);
        return;
      case 'load_ended': {
        const method = this.loads.get(event.address)?.method;
        this.waits.delete(event.address);
        this.loads.delete(event.address);
        this.keep(this.loadEndedLine(event, method));
        return;
      }
      case 'stream_progress':
        this.streamProgress(event);
        return;
      case 'waiting':
        this.waits.set(event.address, event.what);
        this.moved(`wait ${event.address} ${event.what}`, () => waitLine(event.address, event.what));
        return;
      case 'table_failed':
        this.waits.delete(event.address);
        this.loads.delete(event.address);
        this.keep(`${this.paint('red', 'failed')}  ${event.address}  ${errorSummary(event.error)}`);
        return;
      case 'notice':
        this.note(event.address, event.message);
        return;
      case 'page_committed':
      case 'source_ended':
        // Told by the progress of the stream and by the report.
        return;
      case 'optimized':
      case 'vacuumed':
        // The report, which follows, has them all.
        return;
      case 'maintenance_failed':
        this.keep(`${this.paint('red', 'failed')}  ${event.address}  ${errorSummary(event.error)}`);
        return;
      case 'wal_lag':
        if (event.changed) this.note(`${event.source}:slot`, lagMessage(event.slot, event.lag));
        return;
      case 'wal_lag_unknown':
        this.note(`${event.source}:slot`, `the guard could not look: ${errorSummary(event.error)}`);
        return;
      case 'guard_dropped':
        this.keep(`${this.paint('red', 'dropped')} ${event.address}  ${printable(event.message)}`);
        return;
      case 'guard_failed':
        this.keep(`${this.paint('red', 'failed')}  ${event.address}  ${errorSummary(event.error)}`);
        return;
      case 'alert_failed':
        this.note(event.hook, errorSummary(event.error));
        return;
      default:
        assertNever(event);
    }
  }

  private note(address: string, message: string): void {
    this.keep(`${this.paint('yellow', 'note')}    ${address}  ${printable(message)}`);
  }

  protected abstract loadStarted(address: string, method: string, estimatedRows: number | null): void;

  protected loadText(address: string, load: Load, columns: number | null = null): string {
    return loadLine(
      {
        address,
        rows: load.rows,
        bytes: load.bytes,
        estimatedRows: load.estimatedRows,
        rowsPerSecond: load.rate.perSecond(),
      },
      columns,
    );
  }

  protected streamText(source: string, stream: Stream, columns: number | null = null): string {
    return streamLine(
      {
        source,
        changes: stream.changes,
        transactions: stream.transactions,
        changesPerSecond: stream.rate.perSecond(),
        remainingBytes: stream.remainingBytes,
        confirmedLsn: stream.confirmedLsn,
      },
      columns,
    );
  }

  private loadProgress(event: EngineEvent & { kind: 'load_progress' }): void {
    const load = this.loads.get(event.address);
    if (load === undefined) return;
    this.waits.delete(event.address);
    load.rows = event.rows;
    load.bytes = event.bytes;
    load.estimatedRows = event.estimatedRows ?? load.estimatedRows;
    load.rate.add(this.clock.monotonicMs(), event.rows);
    this.moved(`load ${event.address}`, () => this.loadText(event.address, load));
  }

  private streamProgress(event: EngineEvent & { kind: 'stream_progress' }): void {
    const stream = this.streams.get(event.source) ?? {
      rate: new RateWindow(),
      changes: 0,
      transactions: 0,
      remainingBytes: null,
      confirmedLsn: event.confirmedLsn,
    };
    this.streams.set(event.source, stream);
    this.waits.delete(event.source);
    stream.changes = event.changes;
    stream.transactions = event.transactions;
    stream.remainingBytes = event.remainingBytes;
    stream.confirmedLsn = event.confirmedLsn;
    stream.rate.add(this.clock.monotonicMs(), event.changes);
    this.moved(`stream ${event.source}`, () => this.streamText(event.source, stream));
  }

  private loadEndedLine(event: EngineEvent & { kind: 'load_ended' }, method: string | undefined): string {
    const rate = perSecond(event.rows, event.durationMs);
    return [
      // Of a comparison the rows were read; the destination is as it was.
      `${this.paint('green', method === 'verify' ? 'read  ' : 'loaded')}  ${event.address}`,
      `${formatCount(event.rows)} rows`,
      formatBytes(event.bytes),
      `in ${formatDuration(event.durationMs)}`,
      ...(rate === null ? [] : [`${formatShortCount(rate)} rows/s`]),
    ].join('  ');
  }
}

class InPlaceView extends WorkView {
  private drawnLines = 0;
  private drawnAtMs = Number.NEGATIVE_INFINITY;

  protected loadStarted(): void {
    this.redraw([]);
  }

  protected keep(line: string): void {
    this.redraw([line]);
  }

  protected moved(): void {
    if (this.clock.monotonicMs() - this.drawnAtMs >= REDRAW_MS) this.redraw([]);
  }

  stop(): void {
    this.loads.clear();
    this.streams.clear();
    this.waits.clear();
    this.running = null;
    this.redraw([]);
  }

  private redraw(kept: readonly string[]): void {
    const live = this.liveLines();
    // Up to the first moving line, then clear from there to the end of the screen.
    const rewind = this.drawnLines === 0 ? '' : `\u001b[${this.drawnLines}A\r\u001b[J`;
    const text = [...kept, ...live].map((line) => `${line}\n`).join('');
    if (rewind !== '' || text !== '') this.sink.write(rewind + text);
    this.drawnLines = live.length;
    this.drawnAtMs = this.clock.monotonicMs();
  }

  private liveLines(): string[] {
    // A line that wraps would be counted as one and drawn as two, so the last column stays free.
    const width = (this.sink.columns() ?? 80) - 1;
    const lines: string[] = [];
    if (this.running !== null) lines.push(changeLine(this.running));
    for (const [address, load] of this.loads) lines.push(this.loadText(address, load, width));
    for (const [source, stream] of this.streams) lines.push(this.streamText(source, stream, width));
    for (const [address, what] of this.waits) lines.push(waitLine(address, what));
    const shown = lines.length > MAX_LIVE_LINES ? lines.slice(0, MAX_LIVE_LINES - 1) : lines;
    if (shown.length < lines.length) shown.push(`... and ${lines.length - shown.length} more`);
    return shown.map((line) => cut(line, width));
  }
}

class PlainView extends WorkView {
  private readonly shownAtMs = new Map<string, number>();

  protected loadStarted(address: string, method: string, estimatedRows: number | null): void {
    this.shownAtMs.set(`load ${address}`, this.clock.monotonicMs());
    const about = estimatedRows === null ? '' : `, about ${formatCount(estimatedRows)} rows`;
    this.keep(`${method === 'verify' ? 'reading' : 'loading'} ${address}  (${method}${about})`);
  }

  protected keep(line: string): void {
    this.sink.write(`${line}\n`);
  }

  protected moved(key: string, line: () => string): void {
    // A change is told when it ends; its start only matters where a line can be taken back.
    if (key === 'change') return;
    const shownAtMs = this.shownAtMs.get(key);
    const now = this.clock.monotonicMs();
    if (shownAtMs !== undefined && now - shownAtMs < PLAIN_INTERVAL_MS) return;
    this.shownAtMs.set(key, now);
    this.keep(line());
  }

  stop(): void {
    this.shownAtMs.clear();
  }
}

/** How one change of a plan ended, on one line; failures carry their hint below. */
export function changeResultLine(result: ChangeResult, paint: Paint): string {
  const what = `${result.change.address}  ${describeChange(result.change)}`;
  switch (result.status) {
    case 'applied':
      return `${paint('green', 'applied')}  ${what}  (${formatDuration(result.durationMs)})`;
    case 'failed':
      return `${paint('red', 'failed')}   ${what}  ${errorSummary(result.error)}`;
    case 'not_attempted':
      return `${paint('yellow', 'skipped')}  ${what}  ${printable(result.because)}`;
    default:
      return assertNever(result);
  }
}

export function errorSummary(error: PlainError): string {
  const cause = error.cause === undefined || error.message.includes(error.cause) ? '' : ` (${printable(error.cause)})`;
  return `${error.code}: ${printable(error.message)}${cause}`;
}

function changeLine(change: Change): string {
  return `${change.address}  ${describeChange(change)} ...`;
}

function waitLine(address: string, what: string): string {
  return `${address}  waiting: ${printable(what)}`;
}
