import { readLog } from '../../daemon/log-client.js';
import { LINE_LEVELS, type LineLevel } from '../../daemon/log-ring.js';
import { SluiceError } from '../../error/sluice-error.js';
import { type Context, command } from '../command.js';
import { controlPathOfBrokenFile } from '../control-path.js';

const USUAL_COUNT = 100;

export interface LogsArgs {
  readonly follow: boolean;
  readonly count: number;
  readonly level: LineLevel;
}

interface Logs {
  /** Where they were not shown one by one. */
  readonly lines: readonly object[];
}

export const logs = command<LogsArgs, Logs>({
  name: 'logs',
  summary: "Show the last lines of the daemon's log",
  description:
    'Asks the daemon of this config by its control socket. It keeps its last 5,000 lines, from its own --log-level up; what is older is where its stderr goes, under systemd journalctl -u sluice. Without a daemon there is nothing to ask, and the exit code is 69.\n\n--format ndjson gives each line as JSON, as it was logged.',
  arguments: [],
  options: [
    { kind: 'flag', name: 'follow', short: 'f', description: "then show new lines, until Ctrl-C or the daemon's end" },
    {
      kind: 'value',
      name: 'lines',
      short: 'n',
      placeholder: 'N',
      description: `so many of the last lines; default: ${USUAL_COUNT}`,
    },
    {
      kind: 'value',
      name: 'level',
      placeholder: 'LEVEL',
      description: 'only lines from this level up; default: info',
      choices: LINE_LEVELS,
    },
  ],
  examples: [
    { command: 'logs', text: `the last ${USUAL_COUNT} lines` },
    { command: 'logs -f --level warn', text: 'what goes wrong, as it happens' },
    { command: 'logs -n 1000 --format ndjson', text: 'for a program to read' },
  ],
  parse(input) {
    const lines = input.value('lines') ?? String(USUAL_COUNT);
    if (!/^\d{1,6}$/.test(lines)) {
      throw new SluiceError({
        code: 'USAGE',
        message: `--lines is a number, not "${lines}"`,
        hint: 'sluice logs -n 50',
      });
    }
    const level = LINE_LEVELS.find((each) => each === input.value('level')) ?? 'info';
    return { follow: input.flag('follow'), count: Number(lines), level };
  },
  run: readDaemonLog,
  views: {
    human: () => '',
    json: ({ lines }) => ({ lines }),
    ndjson: () => [],
  },
});

async function readDaemonLog(args: LogsArgs, context: Context): Promise<Logs> {
  if (args.follow && context.format === 'json') {
    throw new SluiceError({
      code: 'USAGE',
      message: 'what has no end cannot be one JSON document',
      hint: 'sluice logs -f --format ndjson',
    });
  }
  const reading = await context.readConfig();
  const socket = reading.ok ? reading.config.daemon.socket : await controlPathOfBrokenFile(context);
  const { prettyLine } = await import('../log-output.js');
  const lines: object[] = [];
  const show = (text: string): void => {
    const record: unknown = JSON.parse(text);
    if (typeof record !== 'object' || record === null) return;
    if (context.format === 'json') lines.push(record);
    else context.live({ kind: 'log_line', record, text: (colors) => prettyLine(text, colors) });
  };
  try {
    await readLog(
      socket,
      args,
      (line) => {
        if (line.kind === 'line') show(line.text);
        else context.live({ kind: 'notice', address: 'daemon', message: `${line.lines} lines were not read in time` });
      },
      context.signal,
    );
  } catch (error) {
    if (!(error instanceof SluiceError) || error.code !== 'DAEMON_NOT_RUNNING') throw error;
    throw new SluiceError({
      code: error.code,
      message: `${error.message}, so there is no log to ask for`,
      hint: 'what one logged before is where its stderr went, under systemd: journalctl -u sluice; start one: sluice daemon',
    });
  }
  return { lines };
}
