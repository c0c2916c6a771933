import { parseAddress } from '../config/address.js';
import type { Config } from '../config/config.js';
import { formatTableKey } from '../config/table-key.js';
import { SluiceError } from '../error/sluice-error.js';
import { withoutSource, withoutTable, withPublication } from '../state/edit.js';
import { writeBesideGuard } from '../state/halt.js';
import { type LockStatus, withLock } from '../state/lock.js';
import type { LockHolder } from '../state/lock-file.js';
import type { StateDocument } from '../state/state.js';
import { parseStored } from '../state/stored-state.js';
import type { Clock } from './engine.js';
import { leftBehind } from './left-behind.js';
import { moveState } from './move-state.js';
import type { OpenState } from './open-state.js';
import type { StateAccess } from './state-access.js';

/** How long the other state's lock is waited for, as that of one's own. */
const LOCK_WAIT_MS = 10_000;

/** What `sluice state` does to the document itself. Nothing here touches a database's slots or a destination's tables. */
export interface StateDesk {
  /** A path, `s3://bucket/key`, or the table. */
  readonly place: string;
  /** @throws SluiceError STATE_UNREADABLE, STATE_NEWER, STATE_MOVED */
  read(): Promise<StateDocument | null>;
  holder(): Promise<LockStatus | null>;
  /** @returns whose lock it was, null when it was free. @throws SluiceError STATE_LOCKED where it may live, without `force` */
  unlock(force: boolean): Promise<LockHolder | null>;
  /** Takes a source or a table out of the document. @throws SluiceError ADDRESS_UNKNOWN, STATE_LOCKED */
  forget(address: string, signal: AbortSignal): Promise<StateDocument>;
  /**
   * Puts an exported document in the place of the state.
   * @param text of the file `from`
   * @param force also one of another lineage, an older one, or over what cannot be read
   * @throws SluiceError STATE_IN_THE_WAY, STATE_UNREADABLE, STATE_LOCKED
   */
  import(text: string, from: string, force: boolean, signal: AbortSignal): Promise<StateDocument>;
  /**
   * Brings the state of another place here ({@link moveState}); a note stays there, at which every later use of it ends.
   * @throws SluiceError STATE_IN_THE_WAY where there is a state here, STATE_MOVED, STATE_LOCKED
   */
  migrateFrom(other: Config, signal: AbortSignal): Promise<{ readonly from: string; readonly state: StateDocument }>;
}

export interface StateDeskDeps {
  readonly opened: OpenState;
  readonly access: StateAccess;
  readonly clock: Clock;
  readonly openOther: (other: Config) => OpenState;
}

export function openStateDesk({ opened, access, clock, openOther }: StateDeskDeps): StateDesk {
  const { store, lock, place } = opened;
  return {
    place,
    read: () => store.read(),
    holder: () => lock.status(),
    unlock: (force) => lock.unlock(force),

    forget: (address, signal) =>
      access.change(signal, async (signal) => {
        const state = await store.read();
        signal.throwIfAborted();
        return await writeBesideGuard(store, forgotten(state, address), state);
      }),

    import: (text, from, force, signal) =>
      access.change(signal, async (signal) => {
        const given = parseStored(text, { place: from, mend: 'export it anew: sluice state export' }).state;
        const current = force ? await store.read().catch(() => null) : await store.read();
        if (current !== null && !force) refuseStranger(given, current, from);
        // Beyond both, so that plans made on either are stale.
        const serial = Math.max(given.serial, current?.serial ?? 0) + 1;
        const imported = { ...given, serial };
        signal.throwIfAborted();
        await store.put(imported, current === null && !force ? 'nothing' : 'anything');
        return imported;
      }),

    async migrateFrom(otherConfig, signal) {
      const other = openOther(otherConfig);
      try {
        if (other.place === place) {
          throw new SluiceError({
            code: 'USAGE',
            message: `both configs keep their state in ${place}`,
            hint: 'name with --from where the state is now, and under state: of the config where it is to be',
          });
        }
        return await access.change(signal, (signal) =>
          withLock(other.lock, { waitMs: LOCK_WAIT_MS, signal }, async ({ lost }) => {
            const both = AbortSignal.any([signal, lost]);
            try {
              return { from: other.place, state: await moveState(other, opened, () => clock.now(), both) };
            } catch (error) {
              both.throwIfAborted();
              throw error;
            }
          }),
        );
      } finally {
        await other.close();
      }
    },
  };
}

/** What of an address stays where it is when the state forgets it; lines for people. @throws SluiceError ADDRESS_UNKNOWN */
export function whatStays(state: StateDocument | null, address: string): readonly string[] {
  const { source, name, table } = found(state, address);
  if (table === null) {
    return leftBehind(name, source).map(({ what, sql }) => (sql === null ? what : `${what}: ${sql}`));
  }
  const settings = source.tables[table];
  return [
    ...(source.publication !== null && source.publication_tables.includes(table)
      ? [`${table} in publication "${source.publication}"`]
      : []),
    `${settings?.target.schema}.${settings?.target.name} in destination "${source.destination}"`,
  ];
}

function forgotten(state: StateDocument | null, address: string): StateDocument {
  const { state: known, source, name, table } = found(state, address);
  if (table === null) return withoutSource(known, name);
  const left = withoutTable(known, name, table);
  const published = source.publication_tables.filter((each) => each !== table);
  return withPublication(left, name, source.publication, published);
}

function found(state: StateDocument | null, text: string) {
  const address = parseAddress(text);
  if (address?.kind === 'slot' || address?.kind === 'publication') {
    throw new SluiceError({
      code: 'ADDRESS_UNKNOWN',
      message: `"${text}" cannot be forgotten by itself`,
      hint: `forget the whole source: sluice state forget ${address.source}`,
    });
  }
  const name = address?.source ?? '';
  const source = state?.sources[name];
  const table = address?.kind === 'table' ? formatTableKey(address.schema, address.name) : null;
  if (state === null || source === undefined || (table !== null && source.tables[table] === undefined)) {
    throw new SluiceError({
      code: 'ADDRESS_UNKNOWN',
      message: `the state has no "${text}"`,
      hint: 'what it has: sluice state list',
    });
  }
  return { state, source, name, table };
}

function refuseStranger(given: StateDocument, current: StateDocument, from: string): void {
  if (given.lineage !== current.lineage) {
    throw new SluiceError({
      code: 'STATE_IN_THE_WAY',
      message: `${from} has lineage ${given.lineage}, the state here lineage ${current.lineage}: it is the state of something else`,
      hint: 'to put it in the place of the other all the same: --force (the one before stays as the backup)',
    });
  }
  if (given.serial < current.serial) {
    throw new SluiceError({
      code: 'STATE_IN_THE_WAY',
      message: `${from} has serial ${given.serial}, the state here serial ${current.serial}: it is older`,
      hint: 'to go back to it all the same: --force (the one before stays as the backup), then look at sluice plan',
    });
  }
}
