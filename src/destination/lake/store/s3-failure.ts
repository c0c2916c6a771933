import { causeText, SluiceError } from '../../../error/sluice-error.js';

/** What is known of a request that failed, whatever the SDK threw. */
export interface S3Failure {
  /** HTTP status; null where no answer came. */
  readonly status: number | null;
  /** The server's code (NoSuchKey), else the system's (ECONNREFUSED) or the error's name. */
  readonly code: string;
  readonly message: string;
  readonly requestId: string | null;
  /** Region that the server names where the bucket is elsewhere. */
  readonly region: string | null;
}

/** What was asked for, for messages. */
export interface S3Question {
  /** The SDK's name of the operation, e.g. PutObject. */
  readonly operation: S3Operation;
  /** `s3://bucket/key`. */
  readonly target: string;
  readonly conditional: boolean;
}

/** With the permissions that each one needs. @see "Actions, resources, and condition keys for Amazon S3" */
const ACTIONS = {
  GetObject: 's3:GetObject (and s3:ListBucket, without which a missing object is answered with 403 too)',
  HeadObject: 's3:GetObject (and s3:ListBucket, without which a missing object is answered with 403 too)',
  PutObject: 's3:PutObject',
  CreateMultipartUpload: 's3:PutObject',
  UploadPart: 's3:PutObject',
  CompleteMultipartUpload: 's3:PutObject',
  AbortMultipartUpload: 's3:AbortMultipartUpload',
  ListMultipartUploads: 's3:ListBucketMultipartUploads',
  ListObjectsV2: 's3:ListBucket',
  DeleteObjects: 's3:DeleteObject',
} as const;
export type S3Operation = keyof typeof ACTIONS;

const NETWORK =
  /^(?:ECONNRESET|ECONNREFUSED|ECONNABORTED|EPIPE|ETIMEDOUT|ESOCKETTIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|EHOSTDOWN|ENETDOWN|EADDRNOTAVAIL|ERR_STREAM_PREMATURE_CLOSE|HPE_\w+|TimeoutError)$/;
const TLS =
  /^(?:CERT_\w+|ERR_TLS_\w+|ERR_SSL_\w+|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_\w+|HOSTNAME_MISMATCH|INVALID_CA|EPROTO)$/;
/** Answers with a status of their own that say: again, later. */
const AGAIN = new Set([
  'InternalError',
  'ServiceUnavailable',
  'SlowDown',
  'Throttling',
  'ThrottlingException',
  'TooManyRequestsException',
  'RequestTimeout',
  // The SDK has taken the server's time over for the next try.
  'RequestTimeTooSkewed',
]);
const SLOWER = new Set(['SlowDown', 'Throttling', 'ThrottlingException', 'TooManyRequestsException']);
const BAD_CREDENTIALS = new Set([
  'CredentialsProviderError',
  'TokenProviderError',
  'ProviderError',
  'ExpiredToken',
  'ExpiredTokenException',
  'TokenRefreshRequired',
  'InvalidToken',
  'InvalidClientTokenId',
  'UnrecognizedClientException',
  'InvalidAccessKeyId',
  'SignatureDoesNotMatch',
  // versitygw
  'XAdminUserNotFound',
]);
const OTHER_REGION = new Set([
  'PermanentRedirect',
  'AuthorizationHeaderMalformed',
  'IllegalLocationConstraintException',
]);
/** How servers without conditional writes answer the header. */
const HEADER_REFUSED = new Set([
  'NotImplemented',
  'InvalidArgument',
  'InvalidRequest',
  'UnsupportedOperation',
  'NotSupported',
]);

export function failureOf(error: unknown): S3Failure {
  const message = causeText(error);
  if (!(error instanceof Error)) return { status: null, code: 'unknown', message, requestId: null, region: null };
  const metadata = objectIn(error, '$metadata');
  const status = numberIn(metadata, 'httpStatusCode');
  const headers = objectIn(objectIn(error, '$response'), 'headers');
  return {
    status,
    // A broken connection has a code of the system; an answer is named after what the server said.
    code: (status === null ? textIn(error, 'code') : null) ?? error.name,
    message,
    requestId: textIn(metadata, 'requestId'),
    region: textIn(error, 'Region') ?? textIn(headers, 'x-amz-bucket-region'),
  };
}

/** Whether the same request may well succeed in a moment. */
export function isTransient({ status, code }: S3Failure): boolean {
  if (status === null) return NETWORK.test(code);
  // An answer that broke off in its body has its good status still.
  if (status < 400) return NETWORK.test(code) || AGAIN.has(code);
  return status === 429 || (status >= 500 && status !== 501) || AGAIN.has(code);
}

export function isThrottled({ status, code }: S3Failure): boolean {
  return status === 503 || status === 429 || SLOWER.has(code);
}

/**
 * The failure as an error for people.
 * @param hide takes secrets out of the server's own words
 */
export function failureError(
  failure: S3Failure,
  { operation, target, conditional }: S3Question,
  hide: (text: string) => string,
): SluiceError {
  const { status, code } = failure;
  const said = hide(
    [`${code}: ${failure.message}`, failure.requestId && `(request ${failure.requestId})`].filter(Boolean).join(' '),
  );
  const cause = new Error(said);
  const at = `${operation} of ${target}`;
  if (BAD_CREDENTIALS.has(code)) {
    return new SluiceError({
      code: 'STORE_CREDENTIALS',
      message: `no valid credentials for ${at}: ${said}`,
      hint: 'set access_key_id and secret_access_key, or a profile; where the AWS SDK finds them by itself, look at: aws sts get-caller-identity',
      cause,
    });
  }
  if (code === 'RequestTimeTooSkewed' || code === 'RequestExpired') {
    return new SluiceError({
      code: 'STORE_CLOCK_SKEW',
      message: `${at} was refused: this machine's clock and the store's are too far apart`,
      hint: 'let NTP set the clock: timedatectl set-ntp true',
      cause,
    });
  }
  if (code === 'NoSuchBucket') {
    return new SluiceError({
      code: 'STORE_BUCKET_MISSING',
      message: `${at}: the bucket does not exist`,
      hint: 'check bucket, region and endpoint; sluice makes no buckets itself',
      cause,
    });
  }
  // The SDK's own words where no region is set anywhere.
  if (status === 301 || OTHER_REGION.has(code) || (status === null && /^region is missing/i.test(failure.message))) {
    return new SluiceError({
      code: 'STORE_REGION',
      message: `${at}: ${said}`,
      hint: failure.region === null ? 'set the region of the bucket under region' : `set region: ${failure.region}`,
      cause,
    });
  }
  if (conditional && (status === 501 || (status === 400 && HEADER_REFUSED.has(code)))) {
    return notConditional(`${at} under a condition was refused: ${said}`, cause);
  }
  if (status === 409) {
    return new SluiceError({
      code: 'STORE_CONFLICT',
      message: `${at}: other writers kept coming first (${said})`,
      hint: 'it is tried again; if it stays so, see who else writes there',
      cause,
    });
  }
  if (status === 403) {
    const encryption = /kms/i.test(said) ? '; for its key kms:GenerateDataKey and kms:Decrypt' : '';
    return new SluiceError({
      code: 'STORE_FORBIDDEN',
      message: `${at} is forbidden: ${said}`,
      hint: `allow ${ACTIONS[operation]}${encryption}`,
      cause,
    });
  }
  if (status === null && TLS.test(code)) {
    return new SluiceError({
      code: 'STORE_TLS_UNVERIFIED',
      message: `the certificate for ${at} could not be verified: ${said}`,
      hint: 'for a certificate authority of your own set ca_file to its certificate (PEM)',
      cause,
    });
  }
  if (isTransient(failure)) {
    return new SluiceError({
      code: 'STORE_UNREACHABLE',
      message: `no good answer to ${at}: ${said}`,
      hint: isThrottled(failure)
        ? 'the store asks for fewer requests; lower concurrency, or wait'
        : 'check endpoint, region, network and proxies; timeouts are set under timeout',
      cause,
    });
  }
  return new SluiceError({ code: 'STORE_FAILED', message: `${at} failed: ${said}`, cause });
}

export function notConditional(message: string, cause?: unknown): SluiceError {
  return new SluiceError({
    code: 'STORE_NOT_CONDITIONAL',
    message,
    hint: 'tables need conditional writes (If-None-Match and If-Match on PUT): Amazon S3, MinIO, Ceph, Cloudflare R2 and others have them in their present versions; or use type: local on a disk or NFS',
    cause,
  });
}

function objectIn(value: object | null, key: string): object | null {
  const inner: unknown = value === null ? null : Reflect.get(value, key);
  return typeof inner === 'object' ? inner : null;
}

function textIn(value: object | null, key: string): string | null {
  const inner: unknown = value === null ? null : Reflect.get(value, key);
  return typeof inner === 'string' && inner !== '' ? inner : null;
}

function numberIn(value: object | null, key: string): number | null {
  const inner: unknown = value === null ? null : Reflect.get(value, key);
  return typeof inner === 'number' ? inner : null;
}
