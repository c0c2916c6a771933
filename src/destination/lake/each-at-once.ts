/**
 * Does a piece of work for each item, at most `limit` of them at once. After a failure nothing more is begun.
 * @returns what each gave, in turn
 * @throws the first failure, once nothing is under way any more
 */
export async function eachAtOnce<T, R>(
  limit: number,
  items: readonly T[],
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const queue = items.entries();
  const failures: unknown[] = [];
  const workOff = async (): Promise<void> => {
    for (const [index, item] of queue) {
      if (failures.length > 0) return;
      try {
        results[index] = await work(item);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, workOff));
  if (failures.length > 0) throw failures[0];
  return results;
}
