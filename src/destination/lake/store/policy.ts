export interface PolicyPlace {
  readonly bucket: string;
  /** With or without slashes at its ends; empty for the whole bucket. */
  readonly prefix: string;
  /** Tells the partition (China, GovCloud); null for the usual one. */
  readonly region?: string | null;
  /** Id, ARN or alias/name; null without SSE-KMS. */
  readonly kmsKeyId?: string | null;
}

/**
 * The IAM policy that lets a lake do what it does and nothing else, as JSON text to be pasted.
 * @see "Actions, resources, and condition keys for Amazon S3"; a write by If-Match needs s3:GetObject, too
 */
export function leastPrivilegePolicy(place: PolicyPlace): string {
  const partition = partitionOf(place.region ?? '');
  const prefix = place.prefix.replace(/^\/+|\/+$/g, '');
  const bucket = `arn:${partition}:s3:::${place.bucket}`;
  const below = prefix === '' ? '*' : `${prefix}/*`;
  const statements = [
    {
      Sid: 'SluiceList',
      Effect: 'Allow',
      Action: 's3:ListBucket',
      Resource: bucket,
      ...(prefix === '' ? {} : { Condition: { StringLike: { 's3:prefix': below } } }),
    },
    {
      Sid: 'SluiceFindUnfinishedUploads',
      Effect: 'Allow',
      // IAM cannot narrow this one to a prefix.
      Action: 's3:ListBucketMultipartUploads',
      Resource: bucket,
    },
    {
      Sid: 'SluiceObjects',
      Effect: 'Allow',
      Action: ['s3:GetObject', 's3:PutObject', 's3:DeleteObject', 's3:AbortMultipartUpload'],
      Resource: `${bucket}/${below}`,
    },
    ...(place.kmsKeyId === undefined || place.kmsKeyId === null ? [] : [keyStatement(place.kmsKeyId, partition)]),
  ];
  return JSON.stringify({ Version: '2012-10-17', Statement: statements }, null, 2);
}

function keyStatement(keyId: string, partition: string) {
  const statement = { Sid: 'SluiceKey', Effect: 'Allow', Action: ['kms:GenerateDataKey', 'kms:Decrypt'] };
  const alias = /(?:^|:)(alias\/.+)$/.exec(keyId)?.[1];
  // A policy on an alias's ARN has no effect: the alias is a condition on the keys that have it.
  if (alias !== undefined) {
    return {
      ...statement,
      Resource: `arn:${partition}:kms:*:*:key/*`,
      Condition: { 'ForAnyValue:StringEquals': { 'kms:ResourceAliases': alias } },
    };
  }
  return { ...statement, Resource: keyId.startsWith('arn:') ? keyId : `arn:${partition}:kms:*:*:key/${keyId}` };
}

function partitionOf(region: string): string {
  if (region.startsWith('cn-')) return 'aws-cn';
  return region.startsWith('us-gov-') ? 'aws-us-gov' : 'aws';
}
