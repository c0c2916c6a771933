import { createHash } from 'node:crypto';
import type { ConnectionConfig, DestinationConfig } from '../config/config.js';
import { assertNever } from '../error/sluice-error.js';

/**
 * Which database a connection reaches, as sha256 in hex of host, port, database and user. Secrets, TLS and the tunnel are
 * left out: they change how it is reached, not what.
 */
export function connectionFingerprint(connection: ConnectionConfig): string {
  return sha256(JSON.stringify([connection.host, connection.port, connection.database, connection.user]));
}

/** Where a destination writes, as sha256 in hex; tuning and copies for readers are left out. */
export function destinationFingerprint(destination: DestinationConfig): string {
  return sha256(JSON.stringify(placeOf(destination)));
}

function placeOf(destination: DestinationConfig): readonly string[] {
  switch (destination.type) {
    case 'duckdb':
      return ['duckdb', destination.path];
    case 's3':
      // The bucket of that name on another server is another one.
      return [
        's3',
        destination.access.endpoint?.replace(/\/$/, '') ?? '',
        destination.format,
        destination.bucket,
        destination.prefix,
      ];
    case 'local':
      return ['local', destination.format, destination.path];
    default:
      return assertNever(destination);
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
