import type { DestinationConfig } from '../../../config/config.js';
import { resolveSecret, type SecretDeps } from '../../../config/secret.js';
import type { S3Credentials, S3Settings } from './s3-settings.js';

type BucketConfig = Pick<Extract<DestinationConfig, { type: 's3' }>, 'bucket' | 'prefix' | 'access'>;

/**
 * The settings of a bucket, of a destination or a state, with its secrets fetched, so that a store can be opened.
 * @throws SluiceError SECRET_MISSING
 */
export async function resolveS3Settings(config: BucketConfig, secrets: SecretDeps): Promise<S3Settings> {
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
