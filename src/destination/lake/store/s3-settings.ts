/** Everything that is needed to reach a bucket; secrets in plain text, so it is never logged or kept. */
export interface S3Settings {
  readonly bucket: string;
  /** Folder in the bucket, with or without slashes at its ends; empty for the whole bucket. */
  readonly prefix: string;
  /** Null: AWS_REGION, else that of the profile. */
  readonly region: string | null;
  /** Null: Amazon S3. */
  readonly endpoint: string | null;
  readonly forcePathStyle: boolean;
  readonly credentials: S3Credentials;
  /** A role to take on with those credentials. */
  readonly assumeRole: {
    readonly roleArn: string;
    readonly externalId: string | null;
    readonly sessionName: string;
  } | null;
  /** Absolute path of certificates (PEM) to trust instead of the system's. */
  readonly caFile: string | null;
  readonly encryption: S3Encryption | null;
  /** For opening a connection. */
  readonly connectTimeoutMs: number;
  /** How long the server may be silent in a request; a large body that moves along may take longer. */
  readonly requestTimeoutMs: number;
  /** Tries of one request, the first one included. */
  readonly maxAttempts: number;
  /** Requests at once. */
  readonly concurrency: number;
  /** Of multipart uploads and of downloads in ranges, MiB; S3 takes 5 and more. */
  readonly partSizeMb: number;
}

export type S3Credentials =
  | { readonly kind: 'static'; readonly accessKeyId: string; readonly secretAccessKey: string }
  /** The chain of the AWS SDK: environment, shared files (of the profile), web identity, container, instance. */
  | { readonly kind: 'chain'; readonly profile: string | null };

/** Asked for on every write. Null as encryption: what the bucket does by default. */
export type S3Encryption =
  | { readonly type: 'sse-s3' }
  /** Null: the key of the account (aws/s3). */
  | { readonly type: 'sse-kms'; readonly kmsKeyId: string | null };

export const MIB = 1024 * 1024;
