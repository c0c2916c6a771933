import { SluiceError } from '../../error/sluice-error.js';

/** The properties of a Delta table that Sluice heeds (`metaData.configuration`). Values are text; unset ones have defaults. */
export type TableConfiguration = Readonly<Record<string, string>>;

const DAY_MS = 86_400_000;

/** Calendar units are left out on purpose: a month has no fixed length, and Delta refuses them as well. */
const UNIT_MS: Readonly<Record<string, number>> = {
  week: 7 * DAY_MS,
  day: DAY_MS,
  hour: 3_600_000,
  minute: 60_000,
  second: 1_000,
  millisecond: 1,
  microsecond: 0.001,
};

export function booleanProperty(configuration: TableConfiguration, name: string, unset: boolean): boolean {
  const text = configuration[name];
  return text === undefined ? unset : text.trim().toLowerCase() === 'true';
}

/** How long commits are kept for time travel, in milliseconds. */
export function logRetentionMs(configuration: TableConfiguration): number {
  return intervalProperty(configuration, 'delta.logRetentionDuration', 30 * DAY_MS);
}

/** How long a removed file is kept, and its tombstone in checkpoints, in milliseconds. */
export function removedFileRetentionMs(configuration: TableConfiguration): number {
  return intervalProperty(configuration, 'delta.deletedFileRetentionDuration', 7 * DAY_MS);
}

/** Commits from one checkpoint to the next. */
export function checkpointInterval(configuration: TableConfiguration): number {
  const every = Number(configuration['delta.checkpointInterval'] ?? '10');
  return Number.isSafeInteger(every) && every > 0 ? every : 10;
}

/** @returns milliseconds of a text such as `interval 30 days` or `2 days 12 hours`; null where it is none */
export function intervalMs(text: string): number | null {
  const words = text.trim().toLowerCase().split(/\s+/);
  if (words[0] === 'interval') words.shift();
  if (words.length === 0 || words.length % 2 !== 0) return null;
  let ms = 0;
  for (let i = 0; i < words.length; i += 2) {
    const count = words[i] ?? '';
    const unit = UNIT_MS[(words[i + 1] ?? '').replace(/s$/, '')];
    if (!/^[0-9]+$/.test(count) || unit === undefined) return null;
    ms += Number(count) * unit;
  }
  return ms;
}

/** An interval that cannot be read stops the work: to fall back on a shorter one would delete what should be kept. */
function intervalProperty(configuration: TableConfiguration, name: string, unset: number): number {
  const text = configuration[name];
  if (text === undefined) return unset;
  const ms = intervalMs(text);
  if (ms !== null) return ms;
  throw new SluiceError({
    code: 'DELTA_FEATURE_UNSUPPORTED',
    message: `the table's property ${name} is "${text}", which is no interval in weeks, days or smaller units`,
    hint: `set it to a text such as 'interval 30 days'`,
  });
}
