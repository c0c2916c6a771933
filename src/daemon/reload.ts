import type { PlainError } from '../error/sluice-error.js';

/** What the first look at a config came to. */
export type FirstPlan =
  | { readonly kind: 'nothing_to_do' }
  | { readonly kind: 'applied'; readonly changes: readonly string[] }
  /** A person has to apply them. */
  | { readonly kind: 'waiting'; readonly changes: readonly string[] }
  /** Tried again by the daemon. */
  | { readonly kind: 'failed'; readonly error: PlainError };

/** What became of a reload. */
export type ReloadOutcome =
  /** The file means what is in use. `plan`: what that came to last; null where nobody waits for it. */
  | { readonly kind: 'unchanged'; readonly plan: FirstPlan | null }
  | { readonly kind: 'applied'; readonly plan: FirstPlan }
  /** The file is broken; the last good config goes on. */
  | { readonly kind: 'refused'; readonly error: PlainError }
  /** The file is right, and what it asks for could not be begun; the last good config goes on. */
  | { readonly kind: 'failed'; readonly error: PlainError };
