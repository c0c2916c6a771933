import { stat } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { SluiceError } from '../../error/sluice-error.js';
import { type Context, command } from '../command.js';
import { jsonText } from '../view/json.js';
import { statusJson } from '../view/status-view.js';

interface DaemonArgs {
  readonly printUnit: boolean;
  readonly user: string;
}

const DEFAULT_USER = 'sluice';
/** What useradd takes, and what can stand in a unit without quotes. */
const USER = /^[a-z_][a-z0-9_-]{0,31}$/;

export const daemon = command<DaemonArgs, string | null>({
  name: 'daemon',
  summary: 'Keep everything in step until stopped',
  description:
    'Runs what is due by its schedule. At its start it applies what auto_apply allows; destructive changes wait for sluice apply. A changed config file is taken over by itself, and at SIGHUP or sluice reload, which tells what became of it; one with mistakes is not, and the last good one goes on. Logs go to stderr, JSON lines unless it is a terminal. SIGTERM or Ctrl-C ends it within 10 seconds, a second one at once.\n\nUnder systemd it says when it is ready, stops, and lives (Type=notify). --print-unit writes a unit for this machine and this config to stdout and runs nothing.',
  arguments: [],
  options: [
    { kind: 'flag', name: 'print-unit', description: 'Print a systemd unit for this machine and config' },
    {
      kind: 'value',
      name: 'user',
      placeholder: 'NAME',
      description: `With --print-unit: the account that it runs under (default ${DEFAULT_USER})`,
    },
  ],
  examples: [
    { command: 'daemon', text: 'with sources.yaml' },
    { command: 'daemon -c /etc/sluice/sources.yaml --log-level debug', text: 'for a service' },
    { command: 'daemon --print-unit -c /etc/sluice/sources.yaml', text: 'how systemd runs it' },
  ],
  parse: (input) => {
    const user = input.value('user');
    if (user !== null && !input.flag('print-unit')) {
      throw new SluiceError({ code: 'USAGE', message: '--user goes only with --print-unit' });
    }
    if (user !== null && !USER.test(user)) {
      throw new SluiceError({ code: 'USAGE', message: `--user ${user}: not the name of an account` });
    }
    return { printUnit: input.flag('print-unit'), user: user ?? DEFAULT_USER };
  },
  async run(args, context) {
    if (args.printUnit) return unitText(args.user, context);
    const config = await context.loadConfig();
    const { LogRing } = await import('../../daemon/log-ring.js');
    const logRing = new LogRing();
    const log = await context.openLog('info', (line) => logRing.push(line));
    // Loaded here, so that short commands start without it.
    const { runDaemon } = await import('../../daemon/daemon.js');
    const { openControlSocket } = await import('../../daemon/control-socket.js');
    const { watchConfig } = await import('../../daemon/config-watch.js');
    const { serviceNotifier, systemdNotify } = await import('../../daemon/systemd/notifier.js');
    const { createEngine, clock, host, version, onHangup } = context;
    const service = serviceNotifier({
      env: host.env,
      pid: host.pid,
      clock,
      send: systemdNotify,
      onTrouble: (error) => log.warn({ error: String(error) }, 'the service manager could not be told'),
    });
    await runDaemon(
      {
        createEngine,
        config,
        loadConfig: () => context.loadConfigQuietly(),
        watchConfig: (onChange) => watchConfig(config.file, { clock, log, onChange }),
        onHangup,
        clock,
        host,
        log,
        logRing,
        version,
        service,
        statusDocument: (report, block) =>
          jsonText({ ...statusJson(report), ...(block === null ? {} : { daemon: block }) }),
        openControl: openControlSocket,
      },
      context.signal,
    );
    return null;
  },
  views: {
    human: (unit) => unit ?? '',
    json: (unit) => (unit === null ? { stopped: true } : { unit }),
  },
});

async function unitText(user: string, context: Context): Promise<string> {
  const config = await context.loadConfig();
  const { factsOfConfig } = await import('../../daemon/systemd/unit-facts.js');
  const { systemdUnit } = await import('../../daemon/systemd/unit.js');
  const facts = factsOfConfig(config);
  const writable = await Promise.all(facts.writable.map(nearestFolder));
  return systemdUnit({
    ...facts,
    version: context.version,
    node: process.execPath,
    script: fileURLToPath(new URL('../main.js', import.meta.url)),
    configFile: config.file,
    configFolder: path.dirname(config.file),
    user,
    writable: [...new Set(writable)],
  });
}

/** systemd gives access to folders that are there; one that the daemon is to make lies in another. */
async function nearestFolder(folder: string): Promise<string> {
  const found = await stat(folder).catch(() => null);
  if (found?.isDirectory() === true || path.dirname(folder) === folder) return folder;
  return nearestFolder(path.dirname(folder));
}
