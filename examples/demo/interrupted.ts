/** Why a demo stops early that did nothing wrong: Ctrl-C, SIGTERM or a closed terminal. */
export class Interrupted extends Error {
  /** As shells have it: 128 and the number of the signal. */
  readonly exitCode: number;

  constructor(exitCode: number) {
    super('stopped');
    this.exitCode = exitCode;
  }
}
