import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { formatBytes, formatCount, formatDuration } from '../../src/cli/view/quantity.js';
import { type Column, table } from '../../src/cli/view/table.js';
import type { Cli } from './cli.js';
import type { Destination } from './destination.js';
import { readStatus, readSync, type StatusAt, type SyncDone } from './report.js';
import type { Screen } from './screen.js';
import { countRows } from './shop.js';
import type { Writer } from './writer.js';

const REDRAW_MS = 250;
const PAUSE_BETWEEN_SYNCS_MS = 300;

function columnsOf({ title }: Destination): readonly Column[] {
  return [
    { title: 'TABLE' },
    { title: 'POSTGRES', align: 'right' },
    { title, align: 'right' },
    { title: 'BEHIND', align: 'right' },
  ];
}

export interface LiveDeps {
  readonly cli: Cli;
  readonly client: pg.Client;
  readonly writer: Writer;
  readonly screen: Screen;
  readonly destination: Destination;
}

interface Round {
  readonly number: number;
  readonly sync: SyncDone;
  readonly status: StatusAt;
}

/**
 * Syncs again and again for about so long. A terminal shows a table that is redrawn in place, more often than there are
 * syncs, so that one sees Postgres run ahead and the copy follow; anything else gets a line after each sync.
 * @returns milliseconds that the last sync took, from the start of its process to the end
 */
export async function watchInStep(deps: LiveDeps, durationMs: number, signal: AbortSignal): Promise<number> {
  const { screen } = deps;
  const until = performance.now() + durationMs;
  let round: Round = {
    number: 0,
    sync: { changes: 0, transactions: 0 },
    status: readStatus(await deps.cli.read('status')),
  };
  let syncMs = 0;
  const ended = new AbortController();
  const drawing = screen.isTty ? redraw(deps, () => round, ended.signal) : Promise.resolve();
  const syncing = (async () => {
    try {
      do {
        const startedMs = performance.now();
        const sync = readSync(await deps.cli.read('sync'));
        syncMs = performance.now() - startedMs;
        round = { number: round.number + 1, sync, status: readStatus(await deps.cli.read('status')) };
        if (!screen.isTty) screen.quote(lineOf(round, await countRows(deps.client)));
        await sleep(PAUSE_BETWEEN_SYNCS_MS, undefined, { signal });
      } while (performance.now() < until);
    } finally {
      ended.abort();
    }
  })();
  await Promise.all([syncing, drawing]);
  return syncMs;
}

async function redraw(deps: LiveDeps, latest: () => Round, ended: AbortSignal): Promise<void> {
  try {
    while (!ended.aborted) {
      const counts = await countRows(deps.client);
      deps.screen.live(tableOf(latest(), counts, deps));
      await sleep(REDRAW_MS, undefined, { signal: ended }).catch(() => {});
    }
  } finally {
    deps.screen.endLive();
  }
}

function tableOf({ number, sync, status }: Round, counts: ReadonlyMap<string, number>, deps: LiveDeps): string {
  const rows = status.tables.map((each) => [
    each.table,
    formatCount(counts.get(each.table) ?? null),
    formatCount(each.rows),
    behind(each.asOf),
  ]);
  const notes = [
    number === 0 ? 'sync 1 is under way' : `sync ${number} brought ${broughtBy(sync)}`,
    `the slot holds back ${formatBytes(status.retainedWalBytes)} of WAL; ${formatCount(deps.writer.committed)} transactions written so far`,
  ];
  const text =
    table(columnsOf(deps.destination), rows, deps.screen.paint) +
    notes.map((note) => deps.screen.paint('dim', note)).join('\n');
  return text.replace(/^(?=.)/gm, '  ');
}

/** Rows in the destination of rows in Postgres, table by table. */
function lineOf({ number, sync, status }: Round, counts: ReadonlyMap<string, number>): string {
  const tables = status.tables
    .map((each) => `${each.table} ${each.rows ?? '?'}/${counts.get(each.table) ?? '?'}`)
    .join('  ');
  const moments = status.tables.flatMap((each) => (each.asOf === null ? [] : [each.asOf.getTime()]));
  const oldest = moments.length === 0 ? null : new Date(Math.min(...moments));
  return `sync ${number}: ${tables}  (${broughtBy(sync)}, at most ${behind(oldest)} behind)`;
}

function broughtBy(sync: SyncDone): string {
  return `${formatCount(sync.changes)} changes of ${formatCount(sync.transactions)} transactions`;
}

/** How old the destination's view of a table is. */
function behind(asOf: Date | null): string {
  return asOf === null ? '?' : formatDuration(Math.max(0, Date.now() - asOf.getTime()));
}
