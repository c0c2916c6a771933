import type { Config, DestinationConfig } from '../config/config.js';
import type { DestinationFacts, StreamFacts, TableFacts } from '../destination/facts.js';
import { asSluiceError, type PlainError, toPlain } from '../error/sluice-error.js';
import { haltError, lagError } from '../guard/lag-error.js';
import type { LagMemory, RememberedLag } from '../guard/lag-memory.js';
import { readWalLag } from '../guard/read-wal-lag.js';
import { judgeLag, type LagSample, lagFacts, lagSettings, type WalLag } from '../guard/wal-lag.js';
import { parseLsn } from '../pgoutput/lsn.js';
import { formatSchedule } from '../planner/schedule.js';
import { findBreak, type StreamBreak } from '../planner/stream-break.js';
import type { ObservedSlot } from '../source/catalog-model.js';
import { readServer } from '../source/server.js';
import { readSlots } from '../source/slot.js';
import { scheduleOf } from '../state/schedule-state.js';
import type { SourceState, StateDocument, TableState } from '../state/state.js';
import { pendingCleanups } from './clean-up.js';
import type { Destinations } from './destinations.js';
import type { Clock, SourceStatus, TableStatus } from './engine.js';
import { maintenanceStatus } from './maintenance-record.js';
import type { MaintenanceStatus } from './maintenance-report.js';
import { placeTrouble } from './place-check.js';
import { connectionOf, type SourceConnections } from './source-connections.js';
import { checkStream } from './stream-check.js';

/** A status that is asked for while somebody writes the file need not wait for the end of a batch. */
const BUSY_WAIT_MS = 2_000;

/** What every applied source and table is at: the state joined with the destination's facts and the server's slots. */
export async function sourceStatuses(
  config: Config,
  state: StateDocument | null,
  deps: {
    readonly connections: SourceConnections;
    readonly destinations: Destinations;
    readonly clock: Clock;
    readonly lagMemory: LagMemory;
  },
  signal: AbortSignal,
): Promise<SourceStatus[]> {
  const facts = new Map<string, DestinationFacts>();
  const upkeep = new Map<string, MaintenanceStatus | null>();
  const troubles = new Map<string, PlainError>();
  for (const name of new Set(Object.values(state?.sources ?? {}).map((source) => source.destination))) {
    if (config.destinations[name] === undefined) continue;
    try {
      const { writer } = await deps.destinations.get(name);
      facts.set(name, await writer.readFacts({ busyWaitMs: BUSY_WAIT_MS }));
      for (const [source, { destination }] of Object.entries(state?.sources ?? {})) {
        if (destination === name) upkeep.set(source, await maintenanceStatus(writer.maintenance, source));
      }
      await deps.destinations.release(name);
    } catch (error) {
      troubles.set(name, toPlain(asSluiceError(error)));
    }
  }
  const looks = await deps.lagMemory.read();
  const pending = new Map(pendingCleanups(config, state).map(({ source, since, left }) => [source, { since, left }]));
  return Promise.all(
    Object.entries(state?.sources ?? {}).map(async ([name, source]) => {
      const destination = facts.get(source.destination) ?? null;
      const connection = connectionOf(config, name, source);
      const stream = destination?.streams.find((s) => s.source === name) ?? null;
      const tables = Object.entries(source.tables)
        .sort(([a], [b]) => a.localeCompare(b))
        .map(([key, table]) => {
          const address = `${name}:${key}`;
          const tableFacts = destination?.tables.find((t) => t.address === address) ?? null;
          return tableStatus(address, table, tableFacts, destination !== null, stream, source.paused);
        });
      // A paused source goes on from where it stands.
      const live = Object.entries(source.tables).some(([key, table]) => {
        const tableFacts = destination?.tables.find((t) => t.address === `${name}:${key}`) ?? null;
        return table.method === 'cdc' && phaseOf(table, tableFacts, destination !== null, null).phase === 'live';
      });
      const { slot, found, sample, unreachable } = await askSlot(
        { state: source, stream, live, streamNow: () => streamNow(name, source.destination, deps.destinations) },
        connection,
        deps,
        signal,
      );
      const look = sameSlot(looks[name], source.slot) ? looks[name] : undefined;
      const lag = sample === null ? null : judgeLag(sample, look?.past ?? null, lagSettings(config.sources[name]));
      return {
        source: name,
        connection: connection ?? '',
        destination: source.destination,
        place: placeOf(config.destinations[source.destination]),
        slot:
          source.slot === null
            ? null
            : {
                name: source.slot.name,
                exists: unreachable === null ? slot !== null : null,
                active: slot?.active ?? null,
                walStatus: slot?.walStatus ?? null,
                failover: slot?.failover ?? null,
                trouble: found === null ? null : troubleOf(name, found),
                retainedWalBytes: slot?.retainedWalBytes ?? null,
                unconfirmedWalBytes: slot?.unconfirmedWalBytes ?? null,
                confirmedLsn: stream?.confirmedLsn ?? source.slot.created_lsn,
                lag: lag === null ? null : lagFacts(lag),
              },
        pausedAt: source.paused?.at ?? null,
        errored: erroredBy(name, source, lag, look?.dropError ?? null),
        unreachable,
        destinationTrouble: troubles.get(source.destination) ?? (await placeTroubleOf(config, state, name)),
        maintenance: upkeep.get(name) ?? null,
        cleanup: pending.get(name) ?? null,
        tables: tables.map((table) => marked(table, found)),
      };
    }),
  );
}

function placeOf(destination: DestinationConfig | undefined): string | null {
  if (destination === undefined) return null;
  if (destination.type !== 's3') return destination.path;
  const { bucket, prefix } = destination;
  return prefix === '' ? `s3://${bucket}` : `s3://${bucket}/${prefix}`;
}

async function askSlot(
  source: {
    readonly state: SourceState;
    readonly stream: StreamFacts | null;
    readonly live: boolean;
    readonly streamNow: () => Promise<StreamFacts | null>;
  },
  connection: string | null,
  deps: { readonly connections: SourceConnections; readonly clock: Clock },
  signal: AbortSignal,
): Promise<{
  slot: ObservedSlot | null;
  found: StreamBreak | null;
  sample: LagSample | null;
  unreachable: PlainError | null;
}> {
  const { state, live } = source;
  const known = state.slot;
  if (connection === null || known === null) return { slot: null, found: null, sample: null, unreachable: null };
  try {
    return await deps.connections.with(connection, 'status', signal, async (db) => {
      const slots = await readSlots(db, signal);
      const slot = slots.find((each) => each.name === known.name) ?? null;
      const sample = await readWalLag(db, known.name, deps.clock.now().toISOString(), signal);
      // A sync that runs now may have moved both between the two looks.
      const moved = slot !== null && source.stream !== null && isAhead(slot, source.stream);
      const stream = moved ? await source.streamNow() : source.stream;
      const again = () => readServer(db, signal);
      const target = await deps.connections.target(connection);
      const { server, history } = await checkStream(await again(), stream, { target, again }, signal);
      const found = findBreak({ slot: known, state, server, slots, stream, history, continues: live });
      return { slot, found, sample, unreachable: null };
    });
  } catch (error) {
    signal.throwIfAborted();
    return { slot: null, found: null, sample: null, unreachable: toPlain(asSluiceError(error)) };
  }
}

async function placeTroubleOf(config: Config, state: StateDocument | null, source: string): Promise<PlainError | null> {
  const trouble = state === null ? null : await placeTrouble(config, state, source);
  return trouble === null ? null : toPlain(trouble);
}

async function streamNow(source: string, destination: string, destinations: Destinations): Promise<StreamFacts | null> {
  const { writer } = await destinations.get(destination);
  const facts = await writer.readFacts({ busyWaitMs: BUSY_WAIT_MS });
  await destinations.release(destination);
  return facts.streams.find((stream) => stream.source === source) ?? null;
}

function isAhead(slot: ObservedSlot, stream: StreamFacts): boolean {
  return slot.confirmedFlushLsn !== null && parseLsn(slot.confirmedFlushLsn) > parseLsn(stream.confirmedLsn);
}

function troubleOf(source: string, found: StreamBreak): PlainError {
  return { code: found.code, address: `${source}:slot`, message: found.cause, hint: found.hint };
}

/** A streamed table whose stream cannot go on is not live, whatever its own last run was like. */
function marked(table: TableStatus, found: StreamBreak | null): TableStatus {
  if (found === null || table.method !== 'cdc' || table.phase !== 'live') return table;
  return { ...table, phase: found.remedy === 'renew' ? 'needs_load' : 'failed', phaseReason: found.cause };
}

/** What the guard has against a source; a slot that it could not drop is worse than one that only holds back much. */
function erroredBy(
  name: string,
  source: SourceState,
  lag: WalLag | null,
  dropError: PlainError | null,
): PlainError | null {
  if (source.halted !== null) return toPlain(haltError(name, source.halted));
  const error = source.slot === null || lag === null ? null : lagError(name, source.slot.name, lag);
  if (error === null) return null;
  return { ...toPlain(error), ...(dropError === null ? {} : { cause: dropError.message }) };
}

function sameSlot(look: RememberedLag | undefined, slot: SourceState['slot']): boolean {
  return look !== undefined && look.slot.name === slot?.name && look.slot.created_lsn === slot.created_lsn;
}

function tableStatus(
  address: string,
  table: TableState,
  facts: TableFacts | null,
  asked: boolean,
  stream: { readonly confirmedLsn: string; readonly confirmedAt: string } | null,
  paused: SourceState['paused'],
): TableStatus {
  const { phase, reason } = phaseOf(table, facts, asked, paused);
  // A quiet cdc table is as fresh as its stream: everything committed until then was looked at.
  const follows = table.method === 'cdc' && phase === 'live' && stream !== null ? stream : null;
  return {
    address,
    method: table.method,
    output: table.output,
    phase,
    phaseReason: reason,
    rows: facts?.rows ?? null,
    asOf: follows?.confirmedAt ?? facts?.asOf ?? null,
    asOfLsn: follows?.confirmedLsn ?? facts?.asOfLsn ?? null,
    cursor: facts?.cursor ?? null,
    rejectedValues: facts?.rejectedValues ?? 0,
    lastRunAt: facts?.lastRunAt ?? null,
    lastError: facts?.lastError ?? null,
    schedule: formatSchedule(scheduleOf(table.schedule)),
    target: `${table.target.schema}.${table.target.name}`,
  };
}

function phaseOf(
  table: TableState,
  facts: TableFacts | null,
  asked: boolean,
  paused: SourceState['paused'],
): { phase: TableStatus['phase']; reason: string | null } {
  if (!table.enabled) return { phase: 'disabled', reason: 'enabled: false' };
  if (table.paused) return { phase: 'paused', reason: table.pause === null ? null : `since ${table.pause.at}` };
  // The source's line says since when.
  if (paused !== null) return { phase: 'paused', reason: null };
  if (facts?.lastError !== null && facts?.lastError !== undefined)
    return { phase: 'failed', reason: facts.lastError.message };
  if (!asked) return { phase: 'unknown', reason: 'the destination could not be read' };
  if (facts === null || facts.loadedGeneration === 0) return { phase: 'pending', reason: table.generation_reason };
  if (facts.loadedGeneration < table.generation) return { phase: 'needs_load', reason: table.generation_reason };
  if (facts.resnapshotReason !== null) return { phase: 'needs_load', reason: facts.resnapshotReason };
  return { phase: 'live', reason: null };
}
