import { element, xmlDocument } from './xml.js';

/** Every error that the in-process server can answer, with the status and the words for it. @see Amazon S3 API, "Error responses" */
export const S3_ERRORS = {
  AccessDenied: [403, 'Access Denied'],
  AuthorizationHeaderMalformed: [400, 'The authorization header is malformed.'],
  BadDigest: [400, 'The Content-MD5 or checksum value that you specified did not match what we received.'],
  BucketAlreadyOwnedByYou: [409, 'The bucket exists already and belongs to you.'],
  ConditionalRequestConflict: [409, 'A conflicting operation is in progress. Try again.'],
  EntityTooSmall: [400, 'The proposed upload is smaller than the minimum allowed part size.'],
  IncompleteBody: [400, 'The body has not the number of bytes that its header tells.'],
  InternalError: [500, 'We encountered an internal error. Please try again.'],
  InvalidAccessKeyId: [403, 'The access key id that you provided does not exist in our records.'],
  InvalidArgument: [400, 'Invalid argument.'],
  InvalidDigest: [400, 'The Content-MD5 or checksum value that you specified is not valid.'],
  InvalidPart: [400, 'One or more of the specified parts could not be found, or its ETag did not match.'],
  InvalidPartOrder: [400, 'The list of parts was not in ascending order.'],
  InvalidRange: [416, 'The requested range is not satisfiable.'],
  InvalidRequest: [400, 'Invalid request.'],
  KeyTooLongError: [400, 'Your key is too long.'],
  MalformedXML: [400, 'The XML that you provided was not well-formed or not what is expected here.'],
  MethodNotAllowed: [405, 'The specified method is not allowed against this resource.'],
  MissingContentLength: [411, 'You must provide the Content-Length header.'],
  NoSuchBucket: [404, 'The specified bucket does not exist.'],
  NoSuchKey: [404, 'The specified key does not exist.'],
  NoSuchUpload: [404, 'The specified upload does not exist. It may have been aborted or completed.'],
  NotImplemented: [501, 'Your request implies functionality that is not implemented.'],
  NotModified: [304, ''],
  PreconditionFailed: [412, 'At least one of the preconditions that you specified did not hold.'],
  RequestTimeTooSkewed: [403, 'The difference between the time of the request and the current time is too large.'],
  ServiceUnavailable: [503, 'Service is unable to handle the request.'],
  SignatureDoesNotMatch: [403, 'The request signature that we calculated does not match the one that you provided.'],
  SlowDown: [503, 'Please reduce your request rate.'],
  XAmzContentSHA256Mismatch: [400, 'The provided x-amz-content-sha256 header does not match what was computed.'],
} as const satisfies Record<string, readonly [number, string]>;

export type S3ErrorCode = keyof typeof S3_ERRORS;

/** What the server answers instead of a result: thrown anywhere in a request's handling. */
export class S3Error extends Error {
  readonly code: S3ErrorCode;
  readonly status: number;
  /** Further elements of the error's document, such as the Key or the Condition. */
  readonly details: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: S3ErrorCode, details: Readonly<Record<string, string>> = {}, headers: Record<string, string> = {}) {
    super(S3_ERRORS[code][1]);
    this.code = code;
    this.status = S3_ERRORS[code][0];
    this.details = details;
    this.headers = headers;
  }

  /** The document that a client parses; `Message` among the details replaces the usual one. */
  xml(resource: string, requestId: string): string {
    const { Message: message = this.message, ...details } = this.details;
    return xmlDocument(
      'Error',
      element('Code', this.code) +
        element('Message', message) +
        Object.entries(details)
          .map(([name, text]) => element(name, text))
          .join('') +
        element('Resource', resource) +
        element('RequestId', requestId),
    );
  }
}
