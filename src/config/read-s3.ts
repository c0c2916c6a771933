import type { S3AccessConfig } from './config.js';
import type { ConfigPath } from './problem.js';
import { readSecret } from './read-secret.js';
import type { Reading } from './reading.js';
import type { Pruned } from './schema.js';
import type { S3Destination, StateS3 } from './schema-types.js';

const SESSION_NAME = 'sluice';
const MAX_ATTEMPTS = 5;
const CONCURRENCY = 16;
const PART_SIZE_MB = 16;

/** How a destination's bucket is reached. */
export function readS3Access(raw: Pruned<S3Destination>, path: ConfigPath, reading: Reading): S3AccessConfig {
  const keys = readS3Keys(raw, path, reading);
  const role = raw.assume_role;
  if (keys !== null && raw.profile !== undefined) {
    reading.problem([...path, 'profile'], 'either a profile or access_key_id, not both', 'key');
  }
  if (raw.ca_file !== undefined && raw.endpoint?.startsWith('http://')) {
    reading.problem([...path, 'ca_file'], 'only for an endpoint with https', 'key');
  }
  return {
    region: raw.region ?? null,
    endpoint: raw.endpoint ?? null,
    forcePathStyle: raw.force_path_style ?? false,
    keys,
    profile: raw.profile ?? null,
    assumeRole:
      role === undefined
        ? null
        : {
            roleArn: role.role_arn ?? '',
            externalId: role.external_id ?? null,
            sessionName: role.session_name ?? SESSION_NAME,
          },
    caFile: raw.ca_file === undefined ? null : reading.absolutePath(raw.ca_file),
    encryption: readEncryption(raw, path, reading),
    connectTimeoutMs: reading.duration([...path, 'timeout', 'connect'], raw.timeout?.connect, '5s', 100),
    requestTimeoutMs: reading.duration([...path, 'timeout', 'request'], raw.timeout?.request, '30s', 1_000),
    maxAttempts: raw.max_attempts ?? MAX_ATTEMPTS,
    concurrency: raw.concurrency ?? CONCURRENCY,
    partSizeMb: raw.part_size_mb ?? PART_SIZE_MB,
  };
}

/** An access key is of no use without its secret, nor the other way round. Null where there is none, or half of one. */
export function readS3Keys(
  raw: Pruned<Pick<StateS3, 'access_key_id' | 'secret_access_key'>>,
  path: ConfigPath,
  reading: Reading,
): S3AccessConfig['keys'] {
  const id = readSecret(raw.access_key_id, [...path, 'access_key_id'], reading);
  const secret = readSecret(raw.secret_access_key, [...path, 'secret_access_key'], reading);
  if (id !== null && secret === null)
    reading.problem([...path, 'secret_access_key'], 'required beside access_key_id', 'key');
  if (secret !== null && id === null)
    reading.problem([...path, 'access_key_id'], 'required beside secret_access_key', 'key');
  return id === null || secret === null ? null : { accessKeyId: id, secretAccessKey: secret };
}

function readEncryption(
  { encryption }: Pruned<S3Destination>,
  path: ConfigPath,
  reading: Reading,
): S3AccessConfig['encryption'] {
  const kmsKeyId = encryption?.kms_key_id ?? null;
  switch (encryption?.type) {
    case undefined:
      return null;
    case 'sse-s3':
      if (kmsKeyId !== null) {
        reading.problem([...path, 'encryption', 'kms_key_id'], 'only for type "sse-kms"', 'key');
      }
      return { type: 'sse-s3' };
    case 'sse-kms':
      return { type: 'sse-kms', kmsKeyId };
  }
}
