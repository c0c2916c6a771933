import { ERROR_CODES, type ErrorCode } from './codes.js';

export interface ErrorDetails {
  readonly code: ErrorCode;
  /** One line with the names in it; no secrets. */
  readonly message: string;
  /** How to mend it: a command or SQL that can be pasted. */
  readonly hint?: string | undefined;
  readonly cause?: unknown;
  /** `source`, `source:schema.table`, `source:slot` or `source:publication`. */
  readonly address?: string | undefined;
}

/** The only error that Sluice throws on purpose. Plain data travels between threads through {@link toPlain} and {@link fromPlain}. */
export class SluiceError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly address: string | undefined;

  constructor(details: ErrorDetails) {
    super(details.message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'SluiceError';
    this.code = details.code;
    this.hint = details.hint;
    this.address = details.address;
  }

  get exitCode(): number {
    return ERROR_CODES[this.code].exit;
  }
}

export interface PlainError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
  readonly cause?: string;
  readonly address?: string;
}

/** An error as plain data for JSON output, run records and messages between threads. */
export function toPlain(error: unknown): PlainError {
  if (error instanceof SluiceError) {
    return {
      code: error.code,
      message: error.message,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      ...(error.cause === undefined ? {} : { cause: causeText(error.cause) }),
      ...(error.address === undefined ? {} : { address: error.address }),
    };
  }
  if (error instanceof Error && error.name === 'AbortError') return { code: 'CANCELLED', message: 'cancelled' };
  return { code: 'INTERNAL', message: causeText(error) };
}

export function fromPlain(plain: PlainError): SluiceError {
  return new SluiceError(plain);
}

/** Wraps anything that is not yet a SluiceError as INTERNAL (or CANCELLED for an abort), so that every error has a code. */
export function asSluiceError(error: unknown): SluiceError {
  if (error instanceof SluiceError) return error;
  if (error instanceof Error && error.name === 'AbortError') {
    return new SluiceError({ code: 'CANCELLED', message: 'cancelled', cause: error });
  }
  return new SluiceError({ code: 'INTERNAL', message: causeText(error), cause: error });
}

export function causeText(cause: unknown): string {
  if (cause instanceof Error) return cause.message;
  return typeof cause === 'string' ? cause : JSON.stringify(cause);
}

export function assertNever(value: never): never {
  throw new SluiceError({ code: 'INTERNAL', message: `unexpected value ${JSON.stringify(value)}` });
}
