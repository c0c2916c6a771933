import type { Config } from '../config/config.js';
import { writeBesideGuard } from '../state/halt.js';
import { type Pausing, pausings, type Resuming, resumed, withPaused } from '../state/pause.js';
import type { StateDocument } from '../state/state.js';
import type { StateStore } from '../state/state-store.js';
import type { Destinations } from './destinations.js';
import type { Clock } from './engine.js';
import { placeTrouble } from './place-check.js';

/** Pausing must not wait for a reader that holds the destination. */
const BUSY_WAIT_MS = 2_000;

export interface PauseDeps {
  readonly config: Config;
  readonly stateFile: StateStore;
  readonly destinations: Destinations;
  readonly clock: Clock;
  readonly applied: () => Promise<StateDocument>;
}

/** Under the state's lock, with nothing under way. @throws SluiceError ADDRESS_UNKNOWN */
export async function pauseAt(addresses: readonly string[], deps: PauseDeps): Promise<readonly Pausing[]> {
  const state = await deps.applied();
  const what = pausings(state, addresses);
  // Where it cannot be told the table is loaded anew, which is right in any case.
  const positions = await streamPositions(state, addresses, deps).catch(() => new Map<string, string>());
  const at = deps.clock.now().toISOString();
  const next = what.reduce(
    (current, pausing) => withPaused(current, pausing, at, (source) => positions.get(source) ?? null),
    state,
  );
  if (next !== state) await writeBesideGuard(deps.stateFile, next, state);
  return what;
}

/**
 * Under the state's lock, with nothing under way.
 * @throws SluiceError ADDRESS_UNKNOWN, PAUSED, DESTINATION_BUSY, DESTINATION_CHANGED, DESTINATION_ABSENT
 */
export async function resumeAt(addresses: readonly string[], deps: PauseDeps): Promise<readonly Resuming[]> {
  const state = await deps.applied();
  // Refused before a destination is looked at.
  pausings(state, addresses);
  const positions = await streamPositions(state, addresses, deps);
  let next = state;
  const done: Resuming[] = [];
  for (const address of addresses) {
    const result = resumed(next, address, (source) => positions.get(source) ?? null);
    next = result.state;
    done.push(result.resuming);
  }
  if (done.some(({ already }) => !already)) await writeBesideGuard(deps.stateFile, next, state);
  return done;
}

/** By source: where its stream stands in the destination. Only of those of which single tables are named. */
async function streamPositions(
  state: StateDocument,
  addresses: readonly string[],
  { config, destinations }: PauseDeps,
): Promise<ReadonlyMap<string, string>> {
  const positions = new Map<string, string>();
  for (const source of new Set(
    addresses.filter((each) => each.includes(':')).map((each) => each.split(':')[0] ?? ''),
  )) {
    const name = state.sources[source]?.destination;
    if (name === undefined) continue;
    const notHere = await placeTrouble(config, state, source);
    if (notHere !== null) throw notHere;
    const { writer } = await destinations.get(name);
    const facts = await writer.readFacts({ busyWaitMs: BUSY_WAIT_MS });
    await writer.release();
    const stream = facts.streams.find((each) => each.source === source);
    // A slot that was made anew under the same name begins a stream of its own.
    const position = stream === undefined ? 'none' : `${stream.confirmedLsn} of ${stream.slotCreatedLsn ?? '-'}`;
    positions.set(source, position);
  }
  return positions;
}
