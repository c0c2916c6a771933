import { SluiceError } from '../error/sluice-error.js';
import type { SourceConnection } from '../source/connect.js';
import type { Clock } from './engine.js';

/** A walsender whose receiver died is ended by the server after wal_sender_timeout, by default this long. */
const WAIT_MS = 60_000;
const POLL_MS = 500;

interface Holder extends Record<string, unknown> {
  readonly pid: number;
  /** Null where the role may not see it. */
  readonly application: string | null;
  readonly client: string | null;
}

export interface SlotWait {
  readonly clock: Clock;
  /** Told who is waited for, whenever that changes. */
  readonly onWait: (what: string) => void;
}

/**
 * Waits until nobody reads from the slot: most often that is a dead predecessor, which the server notices after a while.
 * @throws SluiceError SLOT_IN_USE after a minute, naming who reads
 */
export async function waitForFreeSlot(
  control: SourceConnection,
  slot: string,
  { clock, onWait }: SlotWait,
  signal: AbortSignal,
): Promise<void> {
  const deadline = clock.monotonicMs() + WAIT_MS;
  let toldOf: number | null = null;
  for (;;) {
    const holder = await readHolder(control, slot, signal);
    if (holder === null) return;
    const who = describe(holder);
    if (clock.monotonicMs() >= deadline) {
      throw new SluiceError({
        code: 'SLOT_IN_USE',
        message: `slot "${slot}" is still read by ${who} after ${WAIT_MS / 1000} s`,
        hint: `a slot has one reader: stop that one, or, if it is dead, run: select pg_terminate_backend(${holder.pid});`,
      });
    }
    if (toldOf !== holder.pid) onWait(`slot "${slot}" is read by ${who}`);
    toldOf = holder.pid;
    await clock.sleep(POLL_MS, signal);
  }
}

async function readHolder(control: SourceConnection, slot: string, signal: AbortSignal): Promise<Holder | null> {
  const [holder] = await control.query<Holder>(
    `select s.active_pid as "pid", nullif(a.application_name, '') as "application", pg_catalog.host(a.client_addr) as "client"
     from pg_catalog.pg_replication_slots as s left join pg_catalog.pg_stat_activity as a on a.pid = s.active_pid
     where s.slot_name = $1 and s.active_pid is not null`,
    [slot],
    signal,
  );
  return holder ?? null;
}

function describe({ pid, application, client }: Holder): string {
  const details = [
    ...(application === null ? [] : [`application "${application}"`]),
    ...(client === null ? [] : [`from ${client}`]),
  ];
  return details.length === 0 ? `backend ${pid}` : `backend ${pid} (${details.join(', ')})`;
}
