import type { DaemonBlock } from '../../daemon/control-protocol.js';
import type { PlainError } from '../../error/sluice-error.js';
import type { SourceStatus, StatusReport, TableStatus } from '../../executor/engine.js';
import { cut, displayWidth, type Paint, printable } from '../terminal.js';
import { formatAge } from './age.js';
import { errorSummary } from './live-view.js';
import { loadLine } from './progress.js';
import { formatCount, formatDuration } from './quantity.js';
import { slotText } from './slot-view.js';
import { NOTHING_APPLIED } from './status-view.js';
import { table } from './table.js';
import { chooseLayout } from './watch-columns.js';

/** What was seen at the last look, and the one before where the rate of loads is told from it. */
export interface Seen {
  /** Null: nobody could tell. */
  readonly report: StatusReport | null;
  readonly daemon: DaemonBlock | null;
  /** By address; null where two looks do not tell yet. */
  readonly rowsPerSecond: ReadonlyMap<string, number | null>;
}

/** All that the screen of `status --watch` is drawn from. */
export interface WatchState {
  readonly title: string;
  readonly everyMs: number;
  /** Null before the first look has ended. */
  readonly seen: Seen | null;
  /** When the last look ended; null before. */
  readonly seenAt: Date | null;
  /** Why the last look told nothing new; null where it did. */
  readonly trouble: PlainError | null;
  /** Only addresses that hold this text are shown, whatever their case. */
  readonly filter: string;
  /** A filter is being typed. */
  readonly typing: boolean;
  /** Lines of the list that are scrolled away above. */
  readonly scrolled: number;
}

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** Of the lines of the screen, those that errors and loads may take together at most. */
const NEWS_SHARE = 0.5;
/** Title, column titles and keys. */
const FIXED_LINES = 3;

/**
 * The lines of a screen: as many as it has rows, none wider than its columns. Errors and running loads stand still above
 * the list of tables, which scrolls.
 */
export function watchFrame(state: WatchState, { columns, rows }: Size, paint: Paint, now: Date): readonly string[] {
  const { news, titles, list } = contents(state, columns, paint, now);
  const room = newsRoom(news.length, rows);
  const shownNews =
    news.length <= room
      ? news
      : [...news.slice(0, Math.max(0, room - 1)), paint('dim', `... and ${news.length - room + 1} more`)].slice(
          0,
          room,
        );
  const listRoom = Math.max(0, rows - FIXED_LINES - shownNews.length);
  const from = Math.min(state.scrolled, Math.max(0, list.length - listRoom));
  const shown = list.slice(from, from + listRoom);
  const padding = Array.from({ length: listRoom - shown.length }, () => '');
  const lines = [
    titleLine(state, columns, paint, now),
    ...shownNews,
    titles,
    ...shown,
    ...padding,
    keysLine(state, { from, shown: shown.length, all: list.length }, columns, paint),
  ];
  // On a screen of one or two lines the title matters most.
  return lines.slice(0, rows).map((line) => cut(line, columns));
}

/** How far the list can be scrolled, and by how much a page is. */
export function watchScroll(state: WatchState, { columns, rows }: Size, now: Date): { last: number; page: number } {
  const { news, list } = contents(state, columns, (_style, text) => text, now);
  const room = Math.max(1, rows - FIXED_LINES - Math.min(news.length, newsRoom(news.length, rows)));
  return { last: Math.max(0, list.length - room), page: Math.max(1, room - 1) };
}

function newsRoom(wanted: number, rows: number): number {
  return Math.min(wanted, Math.max(1, Math.floor((rows - FIXED_LINES) * NEWS_SHARE)));
}

function contents(
  state: WatchState,
  columns: number,
  paint: Paint,
  now: Date,
): { readonly news: readonly string[]; readonly titles: string; readonly list: readonly string[] } {
  const { seen } = state;
  const news = [...(state.trouble === null ? [] : [errorLine('no news', '', state.trouble, paint)])];
  if (seen === null) return { news, titles: '', list: [state.trouble === null ? 'Looking ...' : ''] };
  const matches = (address: string): boolean => address.toLowerCase().includes(state.filter.toLowerCase());
  const sources = chosenSources(seen.report?.sources ?? [], matches);
  news.push(
    ...daemonNews(seen.daemon, paint, now),
    ...lockLine(seen.report, seen.daemon),
    ...sources.flatMap((source) => sourceNews(source, paint, now)),
    ...loadLines(seen, matches, columns),
  );
  const all = sources.flatMap((source) => source.tables);
  const layout = chooseLayout(all, columns, now);
  const laidOut = table(
    layout.columns,
    all.map((each) => layout.cells(each, paint)),
    paint,
  ).split('\n');
  const titles = `  ${laidOut[0] ?? ''}`;
  let next = 1;
  const list = sources.flatMap((source) => {
    const own = laidOut.slice(next, next + source.tables.length).map((line) => `  ${line}`);
    next += source.tables.length;
    return [...headLines(source, columns, paint), ...own];
  });
  return { news, titles: all.length === 0 ? '' : titles, list: list.length > 0 ? list : [emptyText(state, seen)] };
}

function emptyText(state: WatchState, { report }: Seen): string {
  if (report === null) return '';
  if (report.state === null) return NOTHING_APPLIED.trimEnd();
  return state.filter === '' ? 'No tables.' : `Nothing matches "${printable(state.filter)}".`;
}

/** Those with something to show, the ones in trouble first; in each, the tables in trouble first. */
function chosenSources(
  sources: readonly SourceStatus[],
  matches: (address: string) => boolean,
): readonly SourceStatus[] {
  return sources
    .map((source) => ({
      ...source,
      tables: source.tables
        .filter(({ address }) => matches(address))
        .toSorted((left, right) => rank(left) - rank(right)),
    }))
    .filter((source) => source.tables.length > 0 || matches(source.source))
    .toSorted((left, right) => Number(isWell(left)) - Number(isWell(right)));
}

function rank({ phase, lastError }: TableStatus): number {
  if (phase === 'failed' || lastError !== null) return 0;
  return phase === 'needs_load' || phase === 'pending' ? 1 : 2;
}

function isWell(source: SourceStatus): boolean {
  return (
    source.errored === null &&
    source.unreachable === null &&
    source.destinationTrouble === null &&
    (source.slot?.trouble ?? null) === null &&
    source.tables.every((each) => rank(each) > 0)
  );
}

function daemonNews(daemon: DaemonBlock | null, paint: Paint, now: Date): string[] {
  if (daemon === null) return [];
  const { config, plan_error: planError, pending_plan: pending } = daemon;
  const held = daemon.held_sources.map(({ source, error, retry_at: retryAt }) => {
    const next = retryAt === null ? 'stopped until somebody mends it' : `tried again at ${retryAt}`;
    return `${paint('yellow', 'held')}  ${printable(source)}  ${next}: ${errorSummary(error)}`;
  });
  return [
    ...(config.error === null ? [] : [errorLine('config not used', '', firstLineOf(config.error), paint)]),
    ...(planError === null ? [] : [errorLine('not applied', '', planError, paint)]),
    ...held,
    ...(pending === null
      ? []
      : [
          `${paint('yellow', 'waiting')}  ${formatCount(pending.changes.length)} changes for sluice apply, since ${formatAge(pending.since, now)}`,
        ]),
  ];
}

/** Of a lock that somebody else than the daemon holds. */
function lockLine(report: StatusReport | null, daemon: DaemonBlock | null): string[] {
  const lock = report?.lock ?? null;
  if (lock === null || daemon !== null) return [];
  return [`Locked by ${printable(lock.holder)} for ${formatDuration(lock.sinceMs)}.`];
}

function sourceNews(source: SourceStatus, paint: Paint, now: Date): string[] {
  const { source: name, errored, unreachable, destinationTrouble, slot, tables } = source;
  const trouble = slot?.trouble ?? null;
  return [
    ...(unreachable === null ? [] : [errorLine('unreachable', name, unreachable, paint)]),
    ...(errored === null ? [] : [errorLine('errored', name, errored, paint)]),
    ...(trouble === null ? [] : [errorLine('broken', name, trouble, paint)]),
    ...(destinationTrouble === null
      ? []
      : [`${paint('yellow', 'waiting')}  ${printable(name)}  ${errorSummary(destinationTrouble)}`]),
    ...tables.flatMap(({ address, lastError, phase, phaseReason }) => {
      if (lastError !== null) {
        const { code, message, at } = lastError;
        return [
          `${paint('red', 'failed')}  ${printable(address)}  ${code}: ${printable(message)} (${formatAge(at, now)})`,
        ];
      }
      return phase === 'failed' && phaseReason !== null
        ? [`${paint('red', 'failed')}  ${printable(address)}  ${printable(phaseReason)}`]
        : [];
    }),
  ];
}

function errorLine(what: string, address: string, error: PlainError, paint: Paint): string {
  return [paint('red', what), ...(address === '' ? [] : [printable(address)]), errorSummary(error)].join('  ');
}

function firstLineOf(error: PlainError): PlainError {
  return { ...error, message: error.message.split('\n')[0] ?? '' };
}

function loadLines({ daemon, rowsPerSecond }: Seen, matches: (address: string) => boolean, columns: number): string[] {
  return (daemon?.loads ?? [])
    .filter(({ address }) => matches(address))
    .map(({ address, rows, bytes, estimated_rows: estimatedRows }) =>
      loadLine(
        { address: printable(address), rows, bytes, estimatedRows, rowsPerSecond: rowsPerSecond.get(address) ?? null },
        columns,
      ),
    );
}

function headLines(source: SourceStatus, columns: number, paint: Paint): readonly string[] {
  const place = source.place === null ? '' : `  ${paint('dim', printable(source.place))}`;
  const head = `${paint('bold', printable(source.source))}  ${printable(source.connection)} -> ${printable(source.destination)}${place}`;
  if (source.slot === null) return [head];
  const slot = slotText(source.slot, paint);
  return [head, `  ${displayWidth(slot) + 2 <= columns ? slot : slotText(source.slot, paint, true)}`];
}

function titleLine(state: WatchState, columns: number, paint: Paint, now: Date): string {
  const { seen, seenAt } = state;
  const daemon = seen?.daemon ?? null;
  const who =
    seen === null ? '' : daemon === null ? '  no daemon' : `  daemon pid ${daemon.pid}, ${printable(daemon.version)}`;
  const left = `${paint('bold', 'sluice status')}  ${printable(state.title)}${who}`;
  const age = seenAt === null ? '' : `, ${formatAge(seenAt.toISOString(), now)}`;
  const right = `every ${formatDuration(state.everyMs)}${age}`;
  const gap = columns - displayWidth(left) - displayWidth(right);
  return gap < 2 ? left : `${left}${' '.repeat(gap)}${right}`;
}

function keysLine(
  state: WatchState,
  list: { readonly from: number; readonly shown: number; readonly all: number },
  columns: number,
  paint: Paint,
): string {
  if (state.typing) return `/${printable(state.filter)}_  ${paint('dim', 'Enter: keep it, Esc: all again')}`;
  const filter = state.filter === '' ? '/ filter' : `/${printable(state.filter)}  Esc all`;
  const left = `q quit  ${filter}  arrows PgUp PgDn`;
  const right = list.shown < list.all ? `${list.from + 1}-${list.from + list.shown} of ${list.all}` : '';
  const gap = columns - displayWidth(left) - displayWidth(right);
  return paint('dim', right === '' || gap < 2 ? left : `${left}${' '.repeat(gap)}${right}`);
}
