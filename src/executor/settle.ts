import { SluiceError } from '../error/sluice-error.js';

/** Waits for both, and throws the more telling error of the two: the one that is not a mere echo of the other's end. */
export async function settleBoth<A, B>(first: Promise<A>, second: Promise<B>): Promise<[A, B]> {
  const [a, b] = await Promise.allSettled([first, second]);
  if (a.status === 'fulfilled' && b.status === 'fulfilled') return [a.value, b.value];
  throw mostTelling([a, b]);
}

/** {@link settleBoth} for any number. */
export async function settleAll<T>(all: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(all);
  const values = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  if (values.length === settled.length) return values;
  throw mostTelling(settled);
}

function mostTelling(settled: readonly PromiseSettledResult<unknown>[]): unknown {
  const reasons: unknown[] = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
  return reasons.find((r) => !(r instanceof SluiceError && r.code === 'CANCELLED')) ?? reasons[0];
}
