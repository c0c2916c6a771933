import type { Config } from '../../src/config/config.js';
import type { DaemonDeps } from '../../src/daemon/daemon.js';
import { FAKE_HOST } from './engine.js';

/** What a daemon needs beside its clock and engine: a file that stays as it is, and a log that nobody reads. */
export function quietDaemon(config: Config): Omit<DaemonDeps, 'clock' | 'createEngine'> {
  const nothing = (): void => undefined;
  return {
    config,
    loadConfig: async () => config,
    watchConfig: null,
    onHangup: () => nothing,
    host: FAKE_HOST,
    version: '1.2.3',
    statusDocument: (report) => JSON.stringify(report),
    log: { debug: nothing, info: nothing, warn: nothing, error: nothing },
  };
}
