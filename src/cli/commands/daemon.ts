import { command } from '../command.js';

export const daemon = command<Record<string, never>, null>({
  name: 'daemon',
  summary: 'Keep everything in step until stopped',
  description:
    'Runs what is due by its schedule. At its start it applies what auto_apply allows; destructive changes wait for sluice apply. Logs go to stderr, JSON lines unless it is a terminal. SIGTERM or Ctrl-C ends it within 10 seconds.',
  arguments: [],
  options: [],
  examples: [
    { command: 'daemon', text: 'with sources.yaml' },
    { command: 'daemon -c /etc/sluice/sources.yaml --log-level debug', text: 'for a service' },
  ],
  parse: () => ({}),
  async run(_args, context) {
    const config = await context.loadConfig();
    const log = await context.openLog('info');
    // Loaded here, so that short commands start without it.
    const { runDaemon } = await import('../../daemon/daemon.js');
    const { createEngine, clock, host } = context;
    await runDaemon({ createEngine, config, clock, host, log }, context.signal);
    return null;
  },
  views: { human: () => '', json: () => ({ stopped: true }) },
});
