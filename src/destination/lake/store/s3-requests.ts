import { setMaxListeners } from 'node:events';
import type { S3Client } from '@aws-sdk/client-s3';
import { SluiceError } from '../../../error/sluice-error.js';
import { Gate } from './gate.js';
import { failureError, failureOf, isThrottled, isTransient, type S3Failure, type S3Operation } from './s3-failure.js';
import type { S3Settings } from './s3-settings.js';
import type { StoreDeps } from './store-deps.js';
import type { RequestClass, TrafficMeter } from './traffic.js';

/** First pauses before another try; they double up to the longest. Where the store asks for less, it gets more time. */
const PAUSE_MS = 100;
const THROTTLED_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 10_000;

const CLASSES: Readonly<Record<S3Operation, RequestClass>> = {
  GetObject: 'gets',
  HeadObject: 'gets',
  PutObject: 'puts',
  CreateMultipartUpload: 'puts',
  UploadPart: 'puts',
  CompleteMultipartUpload: 'puts',
  AbortMultipartUpload: 'deletes',
  ListMultipartUploads: 'lists',
  ListObjectsV2: 'lists',
  DeleteObjects: 'deletes',
};

export interface S3Request<Result> {
  readonly operation: S3Operation;
  /** `s3://bucket/key`. */
  readonly target: string;
  readonly bytesSent?: number;
  readonly conditional?: boolean;
  /** One try: sends the command and reads the whole answer. */
  readonly send: (options: { readonly abortSignal: AbortSignal }) => Promise<Result>;
  /** Failures that are an answer; undefined for the others. */
  readonly answerTo?: (failure: S3Failure) => Result | undefined;
}

/** Sends requests: a few at once, again after trouble that passes, every try counted, failures as SluiceErrors. */
export class S3Requests {
  private readonly gate: Gate;
  private readonly never = new AbortController().signal;
  private lastDate: Date | null = null;

  constructor(
    client: S3Client,
    private readonly settings: S3Settings,
    private readonly meter: TrafficMeter,
    private readonly deps: StoreDeps,
  ) {
    this.gate = new Gate(settings.concurrency);
    client.middlewareStack.add(
      (next) => async (args) => {
        const result = await next(args);
        this.lastDate = dateOf(result.response) ?? this.lastDate;
        return result;
      },
      { step: 'deserialize', name: 'readServerDate', priority: 'low' },
    );
  }

  /** The Date header of the last answer; null before the first. */
  get serverDate(): Date | null {
    return this.lastDate;
  }

  /**
   * @throws SluiceError STORE_*, after the tries that the settings allow; the signal's reason
   */
  async run<Result>(request: S3Request<Result>, signal: AbortSignal = this.never): Promise<Result> {
    // Every request under way listens to it, and more than ten of them are no leak.
    setMaxListeners(0, signal);
    for (let attempt = 1; ; attempt += 1) {
      let failure: S3Failure;
      try {
        return await this.gate.run(1, () => this.tryOnce(request, signal), signal);
      } catch (error) {
        // The SDK says of an abort only that there was one.
        signal.throwIfAborted();
        if (error instanceof SluiceError) throw error;
        failure = failureOf(error);
      }
      const answer = request.answerTo?.(failure);
      if (answer !== undefined) return answer;
      // 409 under a condition: somebody writes the key this moment, and nobody has won yet.
      const again = isTransient(failure) || (request.conditional === true && failure.status === 409);
      if (!again || attempt >= this.settings.maxAttempts) {
        const { operation, target, conditional = false } = request;
        throw failureError(failure, { operation, target, conditional }, (text) => this.withoutSecrets(text));
      }
      await this.deps.clock.sleep(this.pauseMs(attempt, failure), signal);
    }
  }

  private async tryOnce<Result>(request: S3Request<Result>, signal: AbortSignal): Promise<Result> {
    this.meter.asked(CLASSES[request.operation], request.bytesSent ?? 0);
    return await request.send({ abortSignal: signal });
  }

  /** Half of it by chance, so that writers that met once do not meet again. */
  private pauseMs(attempt: number, failure: S3Failure): number {
    const first = isThrottled(failure) ? THROTTLED_PAUSE_MS : PAUSE_MS;
    return Math.min(LONGEST_PAUSE_MS, first * 2 ** (attempt - 1)) * (0.5 + this.deps.random() / 2);
  }

  private withoutSecrets(text: string): string {
    const { credentials } = this.settings;
    if (credentials.kind === 'chain') return text;
    return text.replaceAll(credentials.secretAccessKey, '***').replaceAll(credentials.accessKeyId, '***');
  }
}

function dateOf(response: unknown): Date | null {
  if (typeof response !== 'object' || response === null || !('headers' in response)) return null;
  const { headers } = response;
  if (typeof headers !== 'object' || headers === null || !('date' in headers)) return null;
  const ms = typeof headers.date === 'string' ? Date.parse(headers.date) : Number.NaN;
  return Number.isNaN(ms) ? null : new Date(ms);
}
