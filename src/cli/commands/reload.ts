import { askReload } from '../../daemon/control-client.js';
import type { ReloadOutcome } from '../../daemon/reload.js';
import { fromPlain, SluiceError } from '../../error/sluice-error.js';
import { type Context, command } from '../command.js';
import { ConfigRefused } from '../config-refused.js';
import { controlPathOfBrokenFile } from '../control-path.js';
import { reloadJson, reloadText } from '../view/reload-view.js';

export const reload = command<Record<string, never>, ReloadOutcome>({
  name: 'reload',
  summary: 'Let the daemon read its config file now',
  description:
    'Asks the daemon of this config by its control socket (daemon.socket), and tells what became of it: work under way ends first, for up to a minute, then the changed config is planned and what auto_apply allows is applied. A file with mistakes changes nothing, and the last good config goes on.\n\nThe exit code is 0 where the config is in use, also where changes wait for sluice apply; 78 for a file with mistakes; 1 where the daemon could not go over to it, or could not plan or apply it; 69 where no daemon runs.',
  arguments: [],
  options: [],
  examples: [
    { command: 'reload', text: 'take the changed sources.yaml over' },
    { command: 'reload --format json', text: 'for a script that deploys it' },
  ],
  parse: () => ({}),
  run: askDaemon,
  views: { human: reloadText, json: reloadJson },
  verdict: (outcome) => {
    switch (outcome.kind) {
      case 'unchanged':
      case 'applied':
        return outcome.plan?.kind === 'failed' ? 1 : 0;
      case 'refused':
        // The mistakes stand in the result, each on a line of its own.
        return fromPlain({ ...outcome.error, message: outcome.error.message.split('\n')[0] ?? '' });
      case 'failed':
        return new SluiceError({
          code: 'RELOAD_FAILED',
          message: 'the daemon could not go over to the changed config',
          cause: fromPlain(outcome.error),
          hint: outcome.error.hint,
        });
    }
  },
});

async function askDaemon(_args: object, context: Context): Promise<ReloadOutcome> {
  const reading = await context.readConfig();
  if (reading.ok) return askReload(reading.config.daemon.socket, context.signal);
  try {
    return await askReload(await controlPathOfBrokenFile(context), context.signal);
  } catch (error) {
    // Whether a daemon runs cannot be told from such a file; that it has mistakes can.
    if (error instanceof SluiceError && error.code === 'DAEMON_NOT_RUNNING') {
      throw new ConfigRefused(context.configFile, reading);
    }
    throw error;
  }
}
