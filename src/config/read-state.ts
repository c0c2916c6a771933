import { dirname, join } from 'node:path';
import type { StateConfig } from './config.js';
import { suggestion } from './nearest.js';
import { readS3Access } from './read-s3.js';
import type { KnownNames } from './read-source.js';
import type { Reading } from './reading.js';
import type { Pruned } from './schema.js';
import type { State } from './schema-types.js';

const DEFAULT_PATH = '.sluice/state.json';
const DEFAULT_KEY = 'sluice/state.json';
const DEFAULT_SCHEMA = 'sluice';
/** Postgres cuts longer names. */
const LONGEST_NAME_BYTES = 63;

/** The `state:` block; absent it is a file. What lies beside a state elsewhere (spill, caches) is in .sluice here too. */
export function readState(raw: Pruned<State> | undefined, known: KnownNames, reading: Reading): StateConfig {
  const localPath = reading.absolutePath(DEFAULT_PATH);
  switch (raw?.type) {
    case 's3': {
      const key = (raw.key ?? DEFAULT_KEY).replace(/^\/+/, '');
      const parts = key.split('/');
      if (key.length > 900 || parts.some((part) => !/^[\x20-\x5b\x5d-\x7e]+$/.test(part) || /^\.\.?$/.test(part))) {
        reading.problem(
          ['state', 'key'],
          'expected a key of plain ASCII without empty parts, such as sluice/state.json',
        );
      }
      return { type: 's3', bucket: raw.bucket ?? '', key, access: readS3Access(raw, ['state'], reading), localPath };
    }
    case 'postgres': {
      const connection = raw.connection ?? '';
      if (raw.connection !== undefined && !known.connections.includes(connection)) {
        const path = ['state', 'connection'];
        const hint = suggestion(connection, known.connections);
        reading.problem(path, `no connection is called ${reading.quote(path, connection)}${hint}`);
      }
      const schema = raw.schema ?? DEFAULT_SCHEMA;
      if (Buffer.byteLength(schema) > LONGEST_NAME_BYTES) {
        reading.problem(
          ['state', 'schema'],
          `expected at most ${LONGEST_NAME_BYTES} bytes, the longest name in Postgres`,
        );
      }
      return { type: 'postgres', connection, schema, localPath };
    }
    case 'file':
      return { type: 'file', path: reading.absolutePath(raw.path ?? DEFAULT_PATH) };
    default:
      return { type: 'file', path: localPath };
  }
}

/** Beside this path lies what belongs to the state and stays on this machine: spill, working folders, the guard's memory. */
export function localStatePath(state: StateConfig): string {
  return state.type === 'file' ? state.path : state.localPath;
}

/** Where the daemon of a state can be reached: as the config says, else beside what the state keeps on this machine. */
export function controlSocketPath(
  given: string | undefined,
  localPath: string,
  paths: Pick<Reading, 'absolutePath'>,
): string {
  return given === undefined ? join(dirname(localPath), 'control.sock') : paths.absolutePath(given);
}
