import { stat } from 'node:fs/promises';
import type { Config } from '../config/config.js';
import { asSluiceError, type PlainError, toPlain } from '../error/sluice-error.js';
import type { Destinations } from './destinations.js';
import type { Clock } from './engine.js';

/**
 * Swaps in the copies for readers (`publish:`) of these destinations as far as they are due.
 * @returns by destination: why its copy could not be published; what was synced stands all the same
 */
export async function publishCopies(
  names: ReadonlySet<string>,
  { config, destinations, clock }: { config: Config; destinations: Destinations; clock: Clock },
): Promise<ReadonlyMap<string, PlainError>> {
  const troubles = new Map<string, PlainError>();
  for (const name of names) {
    const settings = config.destinations[name];
    if (settings?.type !== 'duckdb' || settings.publish === null) continue;
    const published = await stat(settings.publish.path).catch(() => null);
    const age = published === null ? Number.POSITIVE_INFINITY : clock.now().getTime() - published.mtimeMs;
    if (age < settings.publish.everyMs) continue;
    try {
      const { path } = settings.publish;
      await destinations.whenIdle(name, ({ writer }) => writer.publish(path));
    } catch (error) {
      troubles.set(name, toPlain(asSluiceError(error)));
    }
  }
  return troubles;
}
