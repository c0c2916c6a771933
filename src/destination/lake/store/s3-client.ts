import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { fromNodeProviderChain, fromTemporaryCredentials } from '@aws-sdk/credential-providers';
import { causeText, SluiceError } from '../../../error/sluice-error.js';
import type { S3Settings } from './s3-settings.js';

/** For servers other than Amazon, most of which take any region but want one in the signature. */
const ANY_REGION = 'us-east-1';

/**
 * The SDK's client for the settings. It never retries by itself: {@link S3Requests} does, where a wait can be cancelled
 * and a broken body is retried too.
 * @throws SluiceError STORE_TLS_UNVERIFIED where the file of certificates cannot be read
 */
export async function openS3Client(settings: S3Settings): Promise<S3Client> {
  const region = settings.region ?? (settings.endpoint === null ? null : ANY_REGION);
  const credentials = credentialsOf(settings);
  const ca = settings.caFile === null ? null : await readCertificates(settings.caFile);
  const agent = { keepAlive: true, maxSockets: settings.concurrency };
  const config: S3ClientConfig = {
    ...(region === null ? {} : { region }),
    ...(settings.endpoint === null ? {} : { endpoint: settings.endpoint }),
    ...(credentials === null ? {} : { credentials }),
    ...(settings.credentials.kind === 'chain' && settings.credentials.profile !== null
      ? { profile: settings.credentials.profile }
      : {}),
    forcePathStyle: settings.forcePathStyle,
    maxAttempts: 1,
    // Bodies are buffers, whose SHA-256 is part of the signature and is checked by the server, so a further checksum would
    // only add headers and trailers that other servers than Amazon's refuse.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // With it every larger body costs a round trip more, and a connection of its own.
    expectContinueHeader: false,
    requestHandler: {
      connectionTimeout: settings.connectTimeoutMs,
      socketTimeout: settings.requestTimeoutMs,
      httpAgent: agent,
      httpsAgent: ca === null ? agent : { ...agent, ca },
      // It would warn on the console of sockets that wait for each other; here they never do.
      socketAcquisitionWarningTimeout: 2 ** 31 - 1,
    },
    logger: SILENT,
  };
  const client = new S3Client(config);
  if (settings.endpoint !== null) addContentMd5(client);
  return client;
}

const silence = (): void => undefined;
const SILENT = { trace: silence, debug: silence, info: silence, warn: silence, error: silence };

function credentialsOf({
  credentials,
  assumeRole,
  region,
}: S3Settings): NonNullable<S3ClientConfig['credentials']> | null {
  const own =
    credentials.kind === 'static'
      ? { accessKeyId: credentials.accessKeyId, secretAccessKey: credentials.secretAccessKey }
      : null;
  if (assumeRole === null) return own;
  const profile = credentials.kind === 'chain' ? credentials.profile : null;
  return fromTemporaryCredentials({
    masterCredentials: own ?? fromNodeProviderChain(profile === null ? {} : { profile }),
    params: {
      RoleArn: assumeRole.roleArn,
      RoleSessionName: assumeRole.sessionName,
      ...(assumeRole.externalId === null ? {} : { ExternalId: assumeRole.externalId }),
    },
    ...(region === null ? {} : { clientConfig: { region } }),
  });
}

async function readCertificates(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new SluiceError({
      code: 'STORE_TLS_UNVERIFIED',
      message: `the certificates in ${path} could not be read: ${causeText(cause)}`,
      hint: 'give the path of a PEM file under ca_file, readable by the account that runs sluice',
      cause,
    });
  }
}

/** Deleting many needs a checksum. The SDK sends CRC32; older servers know only Content-MD5, and none minds both. */
function addContentMd5(client: S3Client): void {
  client.middlewareStack.add(
    (next, context) => async (args) => {
      if (context.commandName === 'DeleteObjectsCommand' && isRequest(args.request)) {
        args.request.headers['content-md5'] = createHash('md5').update(args.request.body).digest('base64');
      }
      return await next(args);
    },
    { step: 'build', name: 'addContentMd5' },
  );
}

function isRequest(
  request: unknown,
): request is { headers: Record<string, string>; readonly body: string | Uint8Array } {
  if (typeof request !== 'object' || request === null || !('headers' in request) || !('body' in request)) return false;
  return typeof request.body === 'string' || request.body instanceof Uint8Array;
}
