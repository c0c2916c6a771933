import { askFacts, askStatus } from '../daemon/control-client.js';
import type { DaemonBlock } from '../daemon/control-protocol.js';
import { readStatus } from '../daemon/read-status.js';
import { SluiceError } from '../error/sluice-error.js';
import type { StatusReport } from '../executor/engine.js';

/** What a running daemon told; `report` is null where it could tell of itself alone. */
export interface DaemonAnswer {
  readonly report: StatusReport | null;
  readonly daemon: DaemonBlock;
}

/**
 * Asks the daemon at a control socket, which sees what others cannot: it can look into a file while it loads it. Null
 * where none answers: a status has much to tell without it.
 */
export async function askDaemon(socket: string, signal: AbortSignal): Promise<DaemonAnswer | null> {
  const whole = await orNull(async () => readStatus(await askStatus(socket, signal)), signal);
  if (whole !== null) return whole;
  const daemon = await askDaemonAlone(socket, signal);
  return daemon === null ? null : { report: null, daemon };
}

/** What the daemon tells of itself, at once; null where none answers. */
export function askDaemonAlone(socket: string, signal: AbortSignal): Promise<DaemonBlock | null> {
  return orNull(() => askFacts(socket, signal), signal);
}

async function orNull<T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T | null> {
  try {
    return await ask();
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof SluiceError) return null;
    throw error;
  }
}
