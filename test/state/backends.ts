import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Config, ConnectionConfig, S3AccessConfig, StateConfig } from '../../src/config/config.js';
import { type OpenState, openState } from '../../src/executor/open-state.js';
import type { LockDeps } from '../../src/state/lock.js';
import type { StateFormat } from '../../src/state/stored-state.js';
import { systemStoreDeps } from '../lake/store-deps.js';
import type { TestPostgres } from '../postgres/server.js';
import { type MemoryS3, type MemoryS3Options, startMemoryS3 } from '../s3/memory-s3.js';

/** Where states are kept, for the suite that holds all three to the same. Each place begins empty. */

export const BACKENDS = ['file', 's3', 'postgres'] as const;
export type Backend = (typeof BACKENDS)[number];

export const S3_KEYS = { accessKeyId: 'AKIASTATETEST', secretAccessKey: 'a-secret-of-the-state' };

/** One process's view of a place. */
export type Opened = OpenState;

/** What is unlike the usual: the way to Postgres, who goes it, what is odd about the bucket. */
export interface PlaceOptions {
  readonly connection?: Partial<Pick<ConnectionConfig, 'port' | 'user'>>;
  readonly bucket?: Pick<MemoryS3Options, 'now' | 'deafTo'>;
}

export interface Place {
  /** As a config names it. */
  readonly config: Pick<Config, 'state' | 'connections'>;
  /** @param fields of the process: another pid, host or clock */
  open(fields?: Partial<LockDeps>, format?: StateFormat): Opened;
  /** What is stored, and under another name (`backup`); null where there is nothing. */
  raw(name?: string): Promise<string | null>;
  /** Writes behind everybody's back. */
  overwrite(text: string): Promise<void>;
  readonly s3: MemoryS3 | null;
  remove(): Promise<void>;
}

export async function makePlace(
  backend: Backend,
  postgres: () => TestPostgres,
  options: PlaceOptions = {},
): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-state-place-'));
  const opened: Opened[] = [];
  const opener =
    (config: Pick<Config, 'state' | 'connections'>) =>
    (fields: Partial<LockDeps> = {}, format?: StateFormat): Opened => {
      const lock: LockDeps = { ...systemStoreDeps, newToken: () => randomUUID(), ...fields };
      const secrets = { env: {}, homeDir: folder, readFile: (path: string) => readFile(path, 'utf8') };
      const one = openState(config, { lock, secrets, ...(format && { format }) });
      opened.push(one);
      return one;
    };
  const closeAll = async (): Promise<void> => {
    await Promise.all(opened.map((one) => one.close()));
    await rm(folder, { recursive: true });
  };

  switch (backend) {
    case 'file': {
      const path = join(folder, 'state.json');
      const config = { state: { type: 'file', path }, connections: {} } as const;
      return {
        config,
        open: opener(config),
        raw: (name) => readFile(name === undefined ? path : `${path}.${name}`, 'utf8').catch(() => null),
        overwrite: (text) => writeFile(path, text),
        s3: null,
        remove: closeAll,
      };
    }
    case 's3': {
      const s3 = await startMemoryS3({ bucket: 'states', ...S3_KEYS, ...options.bucket });
      const key = 'team/state.json';
      const config = { state: s3State(s3, key), connections: {} };
      return {
        config,
        open: opener(config),
        raw: async (name) => {
          const body = await s3.read(name === undefined ? key : `${key}.${name}`).catch(() => null);
          return body === null ? null : body.toString('utf8');
        },
        overwrite: async (text) => s3.write(key, Buffer.from(text)),
        s3,
        remove: async () => {
          await closeAll();
          await s3.stop();
        },
      };
    }
    case 'postgres': {
      const server = postgres();
      const database = `state_${randomUUID().slice(0, 8)}`;
      await server.createDatabase(database);
      const table = '"our ""state""".sluice_state';
      const state: StateConfig = {
        type: 'postgres',
        connection: 'meta',
        schema: 'our "state"',
        localPath: join(folder, 'state.json'),
      };
      const meta = { ...connectionTo(server, database), ...options.connection };
      const config = { state, connections: { meta } };
      return {
        config,
        open: opener(config),
        raw: async (name = 'state') => {
          const [row] = await server
            .query<{ document: string }>(`select document from ${table} where name = $1`, [name], database)
            .catch(() => []);
          return row?.document ?? null;
        },
        overwrite: async (text) => {
          await server.query(`update ${table} set document = $1 where name = 'state'`, [text], database);
        },
        s3: null,
        remove: closeAll,
      };
    }
  }
}

export function s3State(s3: MemoryS3, key: string): StateConfig {
  const access: S3AccessConfig = {
    region: 'us-east-1',
    endpoint: s3.endpoint,
    forcePathStyle: true,
    keys: {
      accessKeyId: { kind: 'inline', value: S3_KEYS.accessKeyId },
      secretAccessKey: { kind: 'inline', value: S3_KEYS.secretAccessKey },
    },
    profile: null,
    assumeRole: null,
    caFile: null,
    encryption: null,
    connectTimeoutMs: 2_000,
    requestTimeoutMs: 5_000,
    maxAttempts: 2,
    concurrency: 4,
    partSizeMb: 16,
  };
  return { type: 's3', bucket: s3.bucket, key, access, localPath: join(tmpdir(), 'sluice-no-such', 'state.json') };
}

function connectionTo(server: TestPostgres, database: string): ConnectionConfig {
  const { host, port, user, password } = server;
  return {
    name: 'meta',
    host,
    port,
    database,
    user,
    password: { kind: 'inline', value: password },
    tls: { mode: 'disable', caFile: null, certFile: null, keyFile: null },
    tunnel: null,
    connectTimeoutMs: 10_000,
  };
}
