import type { DestinationConfig } from '../../../config/config.js';
import { resolveSecret, type SecretDeps } from '../../../config/secret.js';
import type { S3Credentials, S3Settings } from './s3-settings.js';

type S3DestinationConfig = Extract<DestinationConfig, { type: 's3' }>;

/**
 * The settings of a destination with its secrets fetched, so that a store can be opened.
 * @throws SluiceError SECRET_MISSING
 */
export async function resolveS3Settings(config: S3DestinationConfig, secrets: SecretDeps): Promise<S3Settings> {
  const { keys, profile, ...access } = config.access;
  const credentials: S3Credentials =
    keys === null
      ? { kind: 'chain', profile }
      : {
          kind: 'static',
          accessKeyId: await resolveSecret(keys.accessKeyId, secrets),
          secretAccessKey: await resolveSecret(keys.secretAccessKey, secrets),
        };
  return { ...access, bucket: config.bucket, prefix: config.prefix, credentials };
}
