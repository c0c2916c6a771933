import { SluiceError } from '../error/sluice-error.js';
import type { RefusedReading } from './command.js';

/** CONFIG_INVALID together with every problem of the file; views print them all. */
export class ConfigRefused extends SluiceError {
  /** Plain data, for JSON. */
  readonly problems: readonly object[];
  /** The problems with their places and lines, for people. */
  readonly text: string;

  constructor(file: string, reading: RefusedReading) {
    super({
      code: 'CONFIG_INVALID',
      message: `${file} has ${reading.mistakes === 1 ? 'a mistake' : `${reading.mistakes} mistakes`}`,
    });
    this.problems = reading.problems;
    this.text = reading.text;
  }
}
