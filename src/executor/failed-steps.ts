import type { ErrorCode } from '../error/codes.js';
import type { PlainError } from '../error/sluice-error.js';
import type { Change } from '../planner/change.js';
import type { CleanupFailure } from '../state/state.js';

interface Failed {
  readonly change: Change;
  readonly error: PlainError;
}

/**
 * Which changes are not made after others failed. Changes of a source that stays build on one another. Of one that leaves
 * as much is cleaned up as can be: a file that somebody holds must not keep a slot on the server.
 */
export class FailedSteps {
  readonly #leaving: ReadonlySet<string>;
  readonly #failed: Failed[] = [];

  constructor(changes: readonly Change[]) {
    this.#leaving = leavingSources(changes);
  }

  /** Whether the source of a change is removed as a whole. */
  isLeaving(change: Change): boolean {
    return this.#leaving.has(sourceOf(change.address));
  }

  add(change: Change, error: PlainError): void {
    this.#failed.push({ change, error });
  }

  /** The failed change that keeps this one from being made; null where none does. */
  inTheWayOf(change: Change): Change | null {
    const failed = this.#of(sourceOf(change.address));
    return (this.isLeaving(change) ? failed.find((each) => holdsUp(each, change)) : failed[0])?.change ?? null;
  }

  /** As the state records them. */
  failuresOf(source: string): readonly CleanupFailure[] {
    return this.#of(source).map(({ change: { address }, error: { code, message, hint } }) => ({
      address,
      code,
      message,
      hint: hint ?? null,
    }));
  }

  #of(source: string): readonly Failed[] {
    return this.#failed.filter(({ change }) => sourceOf(change.address) === source);
  }
}

export function sourceOf(address: string): string {
  return address.split(':', 1)[0] ?? address;
}

/** Sources that a plan removes as a whole. */
function leavingSources(changes: readonly Change[]): ReadonlySet<string> {
  return new Set(changes.filter(({ action }) => action === 'remove_source').map(({ address }) => address));
}

function holdsUp({ change, error }: Failed, next: Change): boolean {
  switch (next.action) {
    // Whoever still reads from the slot would fail without the publication.
    case 'drop_publication':
    case 'remove_publication_tables':
      return change.action === 'drop_slot';
    // Each would wait as long again.
    case 'retire_table':
    case 'drop_table':
      return isTableStep(change) && ofWholeDestination(error.code);
    case 'remove_source':
      return true;
    default:
      return false;
  }
}

const WHOLE_DESTINATION: ReadonlySet<ErrorCode> = new Set([
  'DESTINATION_BUSY',
  'DESTINATION_CHANGED',
  'DESTINATION_ABSENT',
  'SECRET_MISSING',
]);

export function isTableStep({ action }: Change): boolean {
  return action === 'retire_table' || action === 'drop_table';
}

function ofWholeDestination(code: ErrorCode): boolean {
  return WHOLE_DESTINATION.has(code) || code.startsWith('STORE_');
}
