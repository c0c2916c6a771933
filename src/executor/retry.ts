import { ERROR_CODES, type ErrorCode, type RetryRule } from '../error/codes.js';
import { assertNever } from '../error/sluice-error.js';

/**
 * How long to wait after a failure.
 * @param attempt how many times in a row it has failed, from 1
 * @returns milliseconds; null: not again until a person has acted
 */
export function retryDelayMs(rule: RetryRule, attempt: number): number | null {
  switch (rule.kind) {
    case 'backoff':
      // 2^30 is past every maximum; a larger exponent would only lose precision.
      return Math.min(rule.firstMs * 2 ** Math.min(attempt - 1, 30), rule.maxMs);
    case 'hold':
      return rule.ms;
    case 'stop':
      return null;
    default:
      return assertNever(rule);
  }
}

/** What stands in the way of trying something again. */
export type Hold =
  | { readonly kind: 'until'; readonly at: Date; readonly attempts: number; readonly code: ErrorCode }
  /** Until the state changes, as it does when a person applies or asks for a resync, or until a restart. */
  | { readonly kind: 'stopped'; readonly attempts: number; readonly code: ErrorCode };

/** The hold after one more failure. A different error starts counting anew, as it is another trouble. */
export function holdAfter(before: Hold | undefined, code: ErrorCode, now: Date): Hold {
  const attempts = before?.code === code ? before.attempts + 1 : 1;
  const delayMs = retryDelayMs(ERROR_CODES[code].retry, attempts);
  return delayMs === null
    ? { kind: 'stopped', attempts, code }
    : { kind: 'until', at: new Date(now.getTime() + delayMs), attempts, code };
}

export function isHeld(hold: Hold | undefined, now: Date): boolean {
  if (hold === undefined) return false;
  return hold.kind === 'stopped' || hold.at.getTime() > now.getTime();
}
