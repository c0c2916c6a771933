import { fstatSync } from 'node:fs';
import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino';
import pretty, { type PrettyOptions, prettyFactory } from 'pino-pretty';
import type { Log } from '../daemon/log.js';
import type { LogLevel } from './command.js';

/**
 * The log on stderr: a JSON object a line, for journald with its priority in front, or text where a person watches. Written at once, so that a crash loses no
 * line. Fields with these names are cut out wherever they stand; nothing logs them, this is the second fence (law 9).
 */
export function openLog(
  level: Exclude<LogLevel, 'silent'>,
  output: { readonly isTty: boolean; readonly colors: boolean },
  env: Readonly<Record<string, string | undefined>> = {},
  onLine: ((line: string) => void) | null = null,
): Log {
  const stderr: DestinationStream = output.isTty
    ? pretty({ ...prettiness(output.colors), destination: 2, sync: true })
    : plainStream(env);
  const stream = onLine === null ? stderr : withListener(stderr, onLine);
  const logger: Logger = pino(
    {
      level,
      timestamp: stdTimeFunctions.isoTime,
      // The name of the level says more than pino's number.
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: [
          'password',
          'passphrase',
          'privateKey',
          'secretAccessKey',
          '*.password',
          '*.passphrase',
          '*.privateKey',
          '*.secretAccessKey',
        ],
        remove: true,
      },
    },
    stream,
  );
  return logger;
}

/** A line of the log as a terminal shows it. */
export function prettyLine(line: string, colors: boolean): string {
  return prettyFactory(prettiness(colors))(line);
}

function prettiness(colors: boolean): PrettyOptions {
  return { colorize: colors, ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss.l' };
}

function plainStream(env: Readonly<Record<string, string | undefined>>): DestinationStream {
  const stderr = pino.destination({ dest: 2, sync: true });
  return isJournal(env['JOURNAL_STREAM']) ? withPriorities(stderr) : stderr;
}

/** Whether stderr goes to journald: systemd.exec(5) names the stream by device and inode. */
function isJournal(stream: string | undefined): boolean {
  if (stream === undefined) return false;
  const { dev, ino } = fstatSync(2, { bigint: true });
  return stream === `${dev}:${ino}`;
}

/** pino's levels and the priorities of syslog, which journald takes from the head of a line (sd-daemon(3)). */
const PRIORITIES: readonly (readonly [fromLevel: number, priority: number])[] = [
  [60, 2],
  [50, 3],
  [40, 4],
  [30, 6],
];
const DEBUG_PRIORITY = 7;

/** Lets somebody else hear each line too, as it was before a priority came in front of it. */
export function withListener(stream: DestinationStream, onLine: (line: string) => void): DestinationStream {
  return {
    [Symbol.for('pino.metadata')]: true,
    lastLevel: 0,
    write(line: string): void {
      if ('lastLevel' in stream) stream.lastLevel = this.lastLevel;
      stream.write(line);
      onLine(line);
    },
  } as DestinationStream & { lastLevel: number };
}

/** Puts the priority of each line in front of it. */
export function withPriorities(stream: DestinationStream): DestinationStream {
  return {
    // pino tells the level of the line to streams that ask for it so.
    [Symbol.for('pino.metadata')]: true,
    lastLevel: 0,
    write(line: string): void {
      const priority = PRIORITIES.find(([from]) => this.lastLevel >= from)?.[1] ?? DEBUG_PRIORITY;
      stream.write(`<${priority}>${line}`);
    },
  } as DestinationStream & { lastLevel: number };
}
