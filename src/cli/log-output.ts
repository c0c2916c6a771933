import { type Logger, pino, stdTimeFunctions } from 'pino';
import pretty from 'pino-pretty';
import type { Log } from '../daemon/log.js';
import type { LogLevel } from './command.js';

/**
 * The log on stderr: a JSON object a line, or text where a person watches. Written at once, so that a crash loses no
 * line. Fields with these names are cut out wherever they stand; nothing logs them, this is the second fence (law 9).
 */
export function openLog(
  level: Exclude<LogLevel, 'silent'>,
  output: { readonly isTty: boolean; readonly colors: boolean },
): Log {
  const stream = output.isTty
    ? pretty({
        destination: 2,
        sync: true,
        colorize: output.colors,
        ignore: 'pid,hostname',
        translateTime: 'SYS:HH:MM:ss.l',
      })
    : pino.destination({ dest: 2, sync: true });
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
