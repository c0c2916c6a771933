import { SluiceError } from '../../error/sluice-error.js';
import { command } from '../command.js';
import { printable } from '../terminal.js';
import { formatDuration } from '../view/quantity.js';

export interface StateUnlockArgs {
  readonly force: boolean;
  readonly yes: boolean;
}

interface Unlocked {
  /** Null: it was free. */
  readonly holder: {
    readonly command: string;
    readonly pid: number;
    readonly host: string;
    readonly since: string;
  } | null;
}

export const stateUnlock = command<StateUnlockArgs, Unlocked>({
  name: 'state unlock',
  summary: 'Free the lock of the state',
  description:
    "The lock of a process that died on this machine frees itself. --force frees that of any holder: be certain that nothing runs there, since two processes that sync at once spoil each other's work.",
  arguments: [],
  options: [
    { kind: 'flag', name: 'force', description: 'also where the holder may still run' },
    { kind: 'flag', name: 'yes', description: 'do not ask' },
  ],
  examples: [
    { command: 'state unlock', text: 'only where the holder is dead' },
    { command: 'state unlock --force', text: 'shows the holder and its age, and asks' },
  ],
  parse: (input) => ({ force: input.flag('force'), yes: input.flag('yes') }),
  run: (args, context) =>
    context.withEngine(async (engine) => {
      const status = await engine.state.holder();
      if (status !== null && !status.dead && args.force && !args.yes) {
        const { command: what, pid, host } = status.holder;
        const who = `"${printable(what)}" (pid ${pid} on ${printable(host)})`;
        const text = `Take the lock away from ${who}, which has had it for ${formatDuration(status.ageMs)}?`;
        if (!(await context.confirm({ text, what: 'state unlock' }))) {
          throw new SluiceError({ code: 'CANCELLED', message: 'not confirmed; nothing was changed' });
        }
      }
      const freed = await engine.state.unlock(args.force);
      if (freed === null) return { holder: null };
      return { holder: { command: freed.command, pid: freed.pid, host: freed.host, since: freed.acquired_at } };
    }),
  views: {
    human: ({ holder }) =>
      holder === null
        ? 'The state is not locked.\n'
        : `unlocked  it was held by "${printable(holder.command)}" (pid ${holder.pid} on ${printable(holder.host)}) since ${holder.since}\n`,
    json: (result) => ({ ...result }),
  },
});
