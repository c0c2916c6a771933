import type { Config, SourceConfig } from '../config/config.js';
import type { ObservedServer } from '../source/catalog-model.js';
import { placeOf } from '../state/destination-place.js';
import type { SourceIdentity } from '../state/edit.js';
import { connectionFingerprint, destinationFingerprint } from '../state/fingerprint.js';
import type { SourceState } from '../state/state.js';
import type { Blocker, SettingChange } from './change.js';
import type { PlaceComparison } from './place.js';

/**
 * What a source is connected to by the file and the server's own word. The executor passes it to stateAfter.
 * @returns null when the file names no such connection or destination
 */
export function sourceIdentity(config: Config, source: SourceConfig, server: ObservedServer): SourceIdentity | null {
  const connection = config.connections[source.connection];
  const destination = config.destinations[source.destination];
  if (connection === undefined || destination === undefined) return null;
  return {
    connection_fingerprint: connectionFingerprint(connection),
    system_identifier: server.systemIdentifier,
    database: server.database,
    destination: destination.name,
    destination_fingerprint: destinationFingerprint(destination),
    destination_place: placeOf(destination, false),
    management: source.cdc.management,
  };
}

export interface IdentityChange {
  /** Empty when all is as it was. */
  readonly settings: Readonly<Record<string, SettingChange>>;
  readonly identity: SourceIdentity;
  /** The destination is another one, which has to be filled from nothing; the old one is left as it is. */
  readonly elsewhere: boolean;
  /** Where the destination lies, which cannot be looked at from here; null where it can. */
  readonly unseen: string | null;
  /** Why all tables have to be read again; null when they need not. */
  readonly reload: string | null;
  readonly blocker: Blocker | null;
}

/**
 * Compares what the source was connected to with what it is connected to now. The same cluster and database reached by
 * another host name, port or user keeps all data; a cluster that cannot tell its identifier is taken for another one when
 * its address changed.
 */
export function compareIdentity(
  source: string,
  state: SourceState,
  now: SourceIdentity,
  place: PlaceComparison,
): IdentityChange {
  const identity = {
    ...now,
    ...place.recorded,
    // A role that may no longer read the identifier does not make it another cluster.
    system_identifier: now.system_identifier ?? state.system_identifier,
  };
  const settings: Record<string, SettingChange> = {};
  const moved =
    state.connection_fingerprint !== null && state.connection_fingerprint !== identity.connection_fingerprint;
  if (moved || state.connection_fingerprint === null) {
    settings['connection'] = { from: short(state.connection_fingerprint), to: short(identity.connection_fingerprint) };
  }
  if (state.system_identifier !== identity.system_identifier) {
    settings['system_identifier'] = { from: state.system_identifier, to: identity.system_identifier };
  }
  if (state.database !== identity.database) settings['database'] = { from: state.database, to: identity.database };
  if (state.destination !== identity.destination) {
    settings['destination'] = { from: state.destination, to: identity.destination };
  }
  const { elsewhere, unseen } = place;
  if (elsewhere && settings['destination'] === undefined) {
    settings['destination_place'] = {
      from: short(state.destination_fingerprint),
      to: short(identity.destination_fingerprint),
    };
  }
  if (!elsewhere) Object.assign(settings, pathSettings(state, identity));
  if (state.management !== identity.management) {
    settings['management'] = { from: state.management, to: identity.management };
  }
  if (state.cleanup !== null) settings['removal'] = { from: 'pending', to: null };
  const sameSystem = state.system_identifier !== null && state.system_identifier === identity.system_identifier;
  const otherDatabase = state.database !== null && state.database !== identity.database;
  const reload = elsewhere
    ? `the destination is another one: every table is loaded into it anew, and what stands in the old one ("${state.destination}") is left there and followed no more`
    : otherDatabase
      ? `the connection reaches database "${identity.database}", it was "${state.database}"`
      : moved && !sameSystem
        ? 'the connection points elsewhere, and the server does not say whether it is the same cluster'
        : null;
  return {
    settings,
    identity,
    elsewhere,
    unseen,
    reload,
    blocker: systemBlocker(source, state, identity, otherDatabase),
  };
}

function systemBlocker(
  source: string,
  state: SourceState,
  identity: SourceIdentity,
  otherDatabase: boolean,
): Blocker | null {
  const otherSystem = state.system_identifier !== null && state.system_identifier !== identity.system_identifier;
  // A slot belongs to one database; that of the old one can neither be read nor dropped from the new one.
  if (!otherSystem && !(otherDatabase && state.slot !== null)) return null;
  const what = otherSystem
    ? `another database cluster (system identifier ${identity.system_identifier}, it was ${state.system_identifier})`
    : `another database ("${identity.database}", it was "${state.database}") while slot "${state.slot?.name}" belongs to the old one`;
  return {
    address: source,
    code: 'SYSTEM_CHANGED',
    message: `source "${source}" now reaches ${what}`,
    hint: `check host and port; if this is meant: sluice state forget ${source}, then plan again, which loads all its tables anew`,
  };
}

/** The same destination by another path: it was moved with its config, or the file names it otherwise. */
function pathSettings(state: SourceState, now: SourceIdentity): Record<string, SettingChange> {
  const [from, to] = [state.destination_place, now.destination_place];
  if (from === null || to === null) return {};
  return {
    ...(from.path === to.path ? {} : { destination_place: { from: from.path, to: to.path } }),
    ...(from.written === to.written ? {} : { destination_path: { from: from.written, to: to.written } }),
  };
}

/** Enough of a fingerprint to see that two differ. */
function short(fingerprint: string | null): string | null {
  return fingerprint === null ? null : fingerprint.slice(0, 12);
}
