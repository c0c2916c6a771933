import type { Duplex } from 'node:stream';
import type { TunnelTarget } from './target.js';
import type { Beyond, Tunnel, TunnelTiming } from './tunnel.js';

/**
 * The tunnels of this thread: whoever goes the same way with the same secrets shares one. A thread cannot lend its sockets
 * to another, so each has its own.
 */

/** With four silent intervals a dead tunnel is noticed after 20 to 25 s. */
const KEEPALIVE_MS = 5_000;
/** A command opens several sessions one after the other. */
const IDLE_MS = 5_000;

interface Shared {
  readonly tunnel: Promise<Tunnel>;
  readonly stop: AbortController;
  /** Null until it stands. */
  open: Tunnel | null;
  /** Callers who wait for it to stand; when the last one gives up, it is given up. */
  waiting: number;
}

const shared = new Map<string, Shared>();

/** A way to the database. */
export interface TunnelWay {
  /** Resolves once the tunnel stands. @throws SluiceError with a TUNNEL_ code; the signal's reason when it aborts */
  ready(signal: AbortSignal): Promise<void>;
  /** A connection to the database through it; opens the tunnel where it does not stand. */
  openStream(signal: AbortSignal): Promise<Duplex>;
}

/** @param timing over the usual one, for tests */
export function wayThrough(
  target: TunnelTarget,
  beyond: Beyond,
  connectTimeoutMs: number,
  timing: Partial<TunnelTiming> = {},
): TunnelWay {
  const times = { keepaliveMs: KEEPALIVE_MS, idleMs: IDLE_MS, connectTimeoutMs, ...timing };
  return {
    ready: async (signal) => {
      await tunnelTo(target, times, signal);
    },
    openStream: async (signal) => (await tunnelTo(target, times, signal)).connect(beyond, signal),
  };
}

/** Closes what nobody uses, at once, so that a process can end. */
export function closeIdleTunnels(): void {
  for (const { open } of [...shared.values()]) if (open?.isIdle === true) open.close();
}

async function tunnelTo(target: TunnelTarget, timing: TunnelTiming, signal: AbortSignal): Promise<Tunnel> {
  signal.throwIfAborted();
  const key = JSON.stringify([target, timing]);
  const entry = shared.get(key) ?? start(key, target, timing);
  entry.waiting += 1;
  let onAbort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([entry.tunnel, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
    entry.waiting -= 1;
    if (entry.waiting === 0 && entry.open === null) {
      entry.stop.abort();
      if (shared.get(key) === entry) shared.delete(key);
    }
  }
}

function start(key: string, target: TunnelTarget, timing: TunnelTiming): Shared {
  const stop = new AbortController();
  const forget = (): void => {
    if (shared.get(key) === entry) shared.delete(key);
  };
  const entry: Shared = {
    tunnel: openTunnel(target, timing, forget, stop.signal),
    stop,
    open: null,
    waiting: 0,
  };
  shared.set(key, entry);
  entry.tunnel.then((tunnel) => {
    entry.open = tunnel;
  }, forget);
  return entry;
}

/** ssh2 is loaded where a tunnel is opened and nowhere else: it takes a while. */
async function openTunnel(
  target: TunnelTarget,
  timing: TunnelTiming,
  onEnd: () => void,
  signal: AbortSignal,
): Promise<Tunnel> {
  const { Tunnel: Opened } = await import('./tunnel.js');
  return await Opened.open(target, timing, onEnd, signal);
}
