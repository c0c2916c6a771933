import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Clock } from '../../executor/engine.js';

/** What a service manager is told of a daemon. Where there is none every call does nothing. */
export interface ServiceNotifier {
  /** Started, or done with a reload. @param text one line for `systemctl status` */
  ready(text: string): Promise<void>;
  reloading(): Promise<void>;
  stopping(): Promise<void>;
  status(text: string): Promise<void>;
  /** Says that the daemon lives as often as the manager wants to hear it, until the signal aborts. */
  watch(signal: AbortSignal): Promise<void>;
}

export interface NotifierDeps {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  readonly clock: Clock;
  /** Sends lines such as READY=1. */
  readonly send: (assignments: readonly string[]) => Promise<void>;
  /** Hears once of the first message that could not be sent. */
  readonly onTrouble: (error: unknown) => void;
}

/** The protocol of sd_notify(3): NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID of the environment say what is wanted. */
export function serviceNotifier(deps: NotifierDeps): ServiceNotifier {
  const { env, pid, clock } = deps;
  const wanted = (env['NOTIFY_SOCKET'] ?? '') !== '';
  let told = false;
  const send = async (...assignments: string[]): Promise<void> => {
    if (!wanted) return;
    try {
      await deps.send(assignments);
    } catch (error) {
      // The work does not depend on it; the manager has time limits of its own.
      if (!told) deps.onTrouble(error);
      told = true;
    }
  };
  return {
    ready: (text) => send('READY=1', `STATUS=${oneLine(text)}`),
    reloading: () => send('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1_000n}`),
    stopping: () => send('STOPPING=1', 'STATUS=stopping'),
    status: (text) => send(`STATUS=${oneLine(text)}`),
    async watch(signal) {
      const everyMs = watchdogMs(env, pid);
      if (!wanted || everyMs === null) return;
      while (!signal.aborted) {
        await send('WATCHDOG=1');
        await clock.sleep(everyMs, signal).catch((error: unknown) => {
          if (!signal.aborted) throw error;
        });
      }
    },
  };
}

/** Half of the time after which the manager takes the daemon for dead, as sd_watchdog_enabled(3) advises. */
function watchdogMs(env: NotifierDeps['env'], pid: number): number | null {
  const usec = Number(env['WATCHDOG_USEC'] ?? '');
  const whose = env['WATCHDOG_PID'] ?? '';
  if (!Number.isSafeInteger(usec) || usec <= 0 || (whose !== '' && whose !== String(pid))) return null;
  return Math.max(1, Math.floor(usec / 2_000));
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim();
}

const SEND_TIMEOUT_MS = 5_000;

/** Node has no datagrams on unix sockets, which the protocol speaks; systemd's own program sends them. */
export async function systemdNotify(assignments: readonly string[]): Promise<void> {
  await promisify(execFile)('systemd-notify', [...assignments], { timeout: SEND_TIMEOUT_MS });
}

/** For a daemon that nobody manages. */
export const NO_SERVICE: ServiceNotifier = {
  ready: async () => undefined,
  reloading: async () => undefined,
  stopping: async () => undefined,
  status: async () => undefined,
  watch: async () => undefined,
};
