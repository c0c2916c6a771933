import type { Config } from '../config/config.js';
import { leastPrivilegePolicy } from '../destination/lake/store/policy.js';

export interface DestinationPolicy {
  readonly destination: string;
  readonly bucket: string;
  /** The IAM policy as JSON text, to be pasted. */
  readonly policy: string;
}

/** What each bucket of the file has to allow, and nothing more. Pure; nobody is asked. */
export function policiesOf(config: Config): DestinationPolicy[] {
  return Object.values(config.destinations).flatMap((destination): DestinationPolicy[] => {
    if (destination.type !== 's3') return [];
    const { name, bucket, prefix, access } = destination;
    const kmsKeyId = access.encryption?.type === 'sse-kms' ? access.encryption.kmsKeyId : null;
    return [
      {
        destination: name,
        bucket,
        policy: leastPrivilegePolicy({ bucket, prefix, region: access.region, kmsKeyId }),
      },
    ];
  });
}
