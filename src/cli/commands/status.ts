import type { Config } from '../../config/config.js';
import { formatDuration, parseDuration } from '../../config/duration.js';
import type { DaemonBlock } from '../../daemon/control-protocol.js';
import { SluiceError } from '../../error/sluice-error.js';
import type { Engine, StatusReport } from '../../executor/engine.js';
import { type Context, command, type Input } from '../command.js';
import { ConfigRefused } from '../config-refused.js';
import { controlPathOfBrokenFile } from '../control-path.js';
import { askDaemon, askDaemonAlone } from '../look-at-status.js';
import { daemonText } from '../view/daemon-view.js';
import { statusJson, statusText } from '../view/status-view.js';
import { watchStatus } from '../watch-status.js';

export interface StatusArgs {
  /** Between two looks; null: look once. */
  readonly everyMs: number | null;
}

interface Looked {
  /** Null: the file has mistakes, and no daemon could tell. */
  readonly report: StatusReport | null;
  /** Null: none answers on this machine. */
  readonly daemon: DaemonBlock | null;
  readonly refused: ConfigRefused | null;
}

const DEFAULT_EVERY_MS = 2_000;
/** Each look asks every server and destination. */
const LEAST_EVERY_MS = 500;

export const status = command<StatusArgs, Looked | null>({
  name: 'status',
  summary: 'Show how far each table is',
  description:
    'A source that cannot be reached is shown as such; what the destination knows of its tables still appears. Where a daemon of this config runs on this machine, it is asked, and tells of itself first: the config that it uses, changes that wait for sluice apply, sources that are held back.\n\n--watch fills the terminal and looks again and again: trouble first, then loads that are under way, then all tables. Arrows, PgUp and PgDn scroll, / filters by address, q ends it.',
  arguments: [],
  options: [
    { kind: 'flag', name: 'watch', description: 'fill the terminal and keep it up to date; q ends it' },
    {
      kind: 'value',
      name: 'every',
      placeholder: 'DURATION',
      description: `with --watch: how often to look, such as 10s (default ${formatDuration(DEFAULT_EVERY_MS)})`,
    },
  ],
  examples: [
    { command: 'status', text: 'every source and table' },
    { command: 'status --watch --every 5s', text: 'on the whole screen, until q' },
    { command: 'status --format json', text: 'for monitoring' },
    { command: 'status --watch --format ndjson', text: 'a document on a line, every 2 s' },
  ],
  parse: (input) => ({ everyMs: everyOf(input) }),
  run: ({ everyMs }, context) => (everyMs === null ? lookOnce(context) : watch(everyMs, context)),
  views: {
    human: (looked, page) =>
      looked === null
        ? ''
        : [
            ...(looked.daemon === null
              ? []
              : /* A refused file's mistakes follow on stderr. */ [
                  daemonText(looked.daemon, page, looked.refused === null),
                ]),
            ...(looked.report === null ? [] : [statusText(looked.report, page)]),
          ].join('\n'),
    json: (looked) => (looked === null ? {} : documentOf(looked)),
    ndjson: (looked) => (looked === null ? [] : [{ event: 'status_seen', ...documentOf(looked) }]),
  },
  verdict: (looked) => looked?.refused ?? 0,
});

function documentOf({ report, daemon, refused }: Looked): Record<string, unknown> {
  return {
    ...(report === null ? {} : statusJson(report)),
    ...(refused === null ? {} : { problems: refused.problems }),
    daemon,
  };
}

/** @throws SluiceError USAGE */
function everyOf(input: Input): number | null {
  const text = input.value('every');
  if (!input.flag('watch')) {
    if (text === null) return null;
    throw new SluiceError({ code: 'USAGE', message: '--every says how often --watch looks', hint: 'add --watch' });
  }
  if (text === null) return DEFAULT_EVERY_MS;
  const ms = parseDuration(text);
  if (ms !== null && ms >= LEAST_EVERY_MS) return ms;
  throw new SluiceError({
    code: 'USAGE',
    message: `--every needs a duration of at least ${formatDuration(LEAST_EVERY_MS)}, not "${text}"`,
    hint: 'such as 2s, 30s or 1m',
  });
}

async function lookOnce(context: Context): Promise<Looked> {
  const reading = await context.readConfig();
  if (!reading.ok) {
    const refused = new ConfigRefused(context.configFile, reading);
    const answer = await askDaemon(await controlPathOfBrokenFile(context), context.signal);
    if (answer === null) throw refused;
    return { ...answer, refused };
  }
  const { config } = reading;
  const answer = await askDaemon(config.daemon.socket, context.signal);
  const report = answer?.report ?? (await context.withEngine((engine) => engine.status(context.signal), config));
  return { report, daemon: answer?.daemon ?? null, refused: null };
}

/** @throws SluiceError USAGE where there is no terminal to fill */
async function watch(everyMs: number, context: Context): Promise<null> {
  const { format, screen } = context;
  if (format !== 'ndjson' && (format !== 'human' || screen === null)) {
    throw new SluiceError({
      code: 'USAGE',
      message:
        format === 'human'
          ? 'status --watch fills a terminal, and here is none'
          : `status --watch has no ${format} form: that is one document`,
      hint: 'for a program: sluice status --watch --format ndjson; for one look: sluice status',
    });
  }
  await withLook(context, async (look, socket) => {
    if (screen === null || format === 'ndjson') return report(everyMs, look, context);
    const { clock, configFile: title, signal } = context;
    const glance = (stop: AbortSignal) => askDaemonAlone(socket, stop);
    return watchStatus(screen.open(), { clock, paint: screen.paint, title, everyMs, look, glance }, signal);
  });
  return null;
}

/** A document for every look, until nobody reads them any more. @throws the signal's reason */
async function report(everyMs: number, look: Look, context: Context): Promise<void> {
  while (!context.readerIsGone()) {
    context.live({ kind: 'status_seen', document: documentOf({ ...(await look(context.signal)), refused: null }) });
    await context.clock.sleep(everyMs, context.signal);
  }
}

type Look = (signal: AbortSignal) => Promise<{ report: StatusReport | null; daemon: DaemonBlock | null }>;

/** Looks with one engine as long as no daemon tells; with a broken file only a daemon can. @throws ConfigRefused */
async function withLook(context: Context, use: (look: Look, socket: string) => Promise<void>): Promise<void> {
  const reading = await context.readConfig();
  if (!reading.ok) {
    const socket = await controlPathOfBrokenFile(context);
    if ((await askDaemon(socket, context.signal)) === null) throw new ConfigRefused(context.configFile, reading);
    return use(async (signal) => (await askDaemon(socket, signal)) ?? { report: null, daemon: null }, socket);
  }
  const { config } = reading;
  return context.withEngine(
    (engine) => use((signal) => lookWith(engine, config, signal), config.daemon.socket),
    config,
  );
}

async function lookWith(engine: Engine, config: Config, signal: AbortSignal): ReturnType<Look> {
  const answer = await askDaemon(config.daemon.socket, signal);
  return {
    report: answer?.report ?? (await engine.status(signal)),
    daemon: answer?.daemon ?? null,
  };
}
