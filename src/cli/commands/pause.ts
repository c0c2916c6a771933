import { SluiceError } from '../../error/sluice-error.js';
import type { Engine } from '../../executor/engine.js';
import { type Pausing, pausings } from '../../state/pause.js';
import { type Context, command } from '../command.js';
import { pauseJson, pauseQuestion, pauseText } from '../view/pause-view.js';

export interface PauseArgs {
  readonly addresses: readonly string[];
  readonly yes: boolean;
}

export const pause = command<PauseArgs, readonly Pausing[]>({
  name: 'pause',
  summary: 'Let sources or tables stand still until resume',
  description:
    'A paused source is not synced. Its stream stands still, so that resume loses nothing; meanwhile its slot goes on holding WAL on the server, which the guard goes on watching. A paused table of an incremental, append or full_table method goes on at its cursor, or with its next copy.\n\nWhere a single cdc table is paused and the stream goes on for others, its changes pass by unread: after resume it is loaded anew, and its history lacks the versions in between. This needs consent. Rows that are there stay readable all the time.',
  arguments: [{ name: 'ADDRESS', description: 'source or source:schema.table', required: true, variadic: true }],
  options: [{ kind: 'flag', name: 'yes', description: 'do not ask' }],
  examples: [
    { command: 'pause shop', text: 'while the server is moved, say' },
    { command: 'pause shop:public.users --yes', text: 'one table, without a question' },
  ],
  parse: (input) => ({ addresses: input.rest('ADDRESS'), yes: input.flag('yes') }),
  run: (args, context) => context.withActingEngine((engine) => pauseWith(engine, args, context)),
  views: { human: pauseText, json: pauseJson },
});

async function pauseWith(engine: Engine, args: PauseArgs, context: Context): Promise<readonly Pausing[]> {
  const state = await engine.state.read();
  const missing = state === null ? [] : pausings(state, args.addresses).filter((each) => each.missesChanges);
  const news = missing.filter((each) => !each.already).map(({ address }) => address);
  if (news.length > 0 && !args.yes && !(await context.confirm({ text: pauseQuestion(news), what: 'pause' }))) {
    throw new SluiceError({ code: 'CANCELLED', message: 'not confirmed; nothing was changed' });
  }
  return engine.pause(args.addresses, context.signal);
}
