import path from 'node:path';
import type { Config, StateConfig } from '../config/config.js';
import type { SecretDeps } from '../config/secret.js';
import type { ObjectStore } from '../destination/lake/object-store.js';
import { openStore } from '../destination/lake/store/open-store.js';
import { probeConditionalWrites } from '../destination/lake/store/probe.js';
import { resolveS3Settings } from '../destination/lake/store/resolve-s3.js';
import { SluiceError } from '../error/sluice-error.js';
import { type LockDeps, openStateLock, type StateLock } from '../state/lock.js';
import { openPostgresLock } from '../state/postgres-lock.js';
import { KeptSession, type PostgresStatePlace, postgresMedium } from '../state/postgres-state.js';
import { openS3Lock } from '../state/s3-lock.js';
import { type S3StatePlace, s3Medium } from '../state/s3-state.js';
import { openStateFile } from '../state/state-file.js';
import { openStateStore, type StateStore } from '../state/state-store.js';
import type { StateFormat } from '../state/stored-state.js';
import { SourceConnections } from './source-connections.js';

export interface OpenState {
  readonly store: StateStore;
  readonly lock: StateLock;
  /** Where it is, as a config would say it, for the note that a moved state leaves behind. */
  readonly place: string;
  close(): Promise<void>;
}

export interface OpenStateDeps {
  readonly lock: LockDeps;
  readonly secrets: SecretDeps;
  /** Default: the present one. */
  readonly format?: StateFormat;
}

/** A statement on a few rows; whoever takes this long hangs. */
const STATEMENT_TIMEOUT_MS = 30_000;

/** The state that a config names. Nothing is opened or asked before it is needed. */
export function openState(config: Pick<Config, 'state' | 'connections'>, deps: OpenStateDeps): OpenState {
  const { state } = config;
  switch (state.type) {
    case 'file': {
      const store = openStateFile(state.path, deps.lock, deps.format);
      return { store, lock: openStateLock(state.path, deps.lock), place: state.path, close: async () => undefined };
    }
    case 's3': {
      const bucket = new StateBucket(state, deps);
      const place: S3StatePlace = {
        url: `s3://${state.bucket}/${state.key}`,
        name: path.posix.basename(state.key),
        objects: async (use) => (use === 'read' ? bucket.open() : bucket.proven()),
      };
      return {
        store: openStateStore(s3Medium(place), deps.lock.newToken, deps.format),
        lock: openS3Lock(place, deps.lock),
        place: place.url,
        close: () => bucket.close(),
      };
    }
    case 'postgres': {
      const place = postgresPlace(config, state, deps);
      const session = new KeptSession(place);
      const store = openStateStore(postgresMedium(place, session), deps.lock.newToken, deps.format);
      return {
        store,
        lock: openPostgresLock(place, session, deps.lock),
        place: store.place,
        close: () => session.close(),
      };
    }
  }
}

function postgresPlace(
  config: Pick<Config, 'connections'>,
  state: Extract<StateConfig, { type: 'postgres' }>,
  deps: OpenStateDeps,
): PostgresStatePlace {
  const connections = new SourceConnections(config, deps.secrets);
  return {
    connection: state.connection,
    schema: state.schema,
    async connect(purpose, signal) {
      // Waiting for the lock has a deadline of its own.
      const timeoutMs = purpose === 'state' ? STATEMENT_TIMEOUT_MS : 0;
      const connection = await connections.open(state.connection, purpose, signal, timeoutMs);
      return {
        query: (sql, params, querySignal) => connection.query(sql, params, querySignal ?? NEVER_ABORTED),
        onLost: (told) => void connection.client.once('end', told),
        end: () => connection.end(),
      };
    },
  };
}

/** The bucket of a state. It is shown to honour conditions before anything is written that builds on them. */
class StateBucket {
  #opened: Promise<ObjectStore> | null = null;
  #proven: Promise<ObjectStore> | null = null;

  constructor(
    private readonly state: Extract<StateConfig, { type: 's3' }>,
    private readonly deps: OpenStateDeps,
  ) {}

  open(): Promise<ObjectStore> {
    this.#opened ??= this.#openNow().catch((error: unknown) => {
      this.#opened = null;
      throw error;
    });
    return this.#opened;
  }

  proven(): Promise<ObjectStore> {
    this.#proven ??= this.#prove().catch((error: unknown) => {
      this.#proven = null;
      throw error;
    });
    return this.#proven;
  }

  async close(): Promise<void> {
    const store = await this.#opened?.catch(() => null);
    await store?.close();
  }

  async #openNow(): Promise<ObjectStore> {
    const { bucket, key, access } = this.state;
    const folder = path.posix.dirname(key);
    const s3 = await resolveS3Settings({ bucket, prefix: folder === '.' ? '' : folder, access }, this.deps.secrets);
    return await openStore({ type: 's3', s3 }, { ...this.deps.lock, random: Math.random });
  }

  async #prove(): Promise<ObjectStore> {
    const store = await this.open();
    try {
      await probeConditionalWrites(store, this.deps.lock.newToken());
      return store;
    } catch (error) {
      throw notForStates(error);
    }
  }
}

function notForStates(error: unknown): unknown {
  if (!(error instanceof SluiceError) || error.code !== 'STORE_NOT_CONDITIONAL') return error;
  return new SluiceError({
    code: error.code,
    message: `the state cannot be kept there: ${error.message}`,
    hint: "two writers could lose each other's changes. Use a server with conditional writes (Amazon S3, MinIO, Ceph, Cloudflare R2 in their present versions), or state: { type: postgres, connection: NAME }, or a file",
    cause: error,
  });
}

const NEVER_ABORTED = new AbortController().signal;
