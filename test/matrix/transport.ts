import { FollowedFixture } from '../continuous/followed-fixture.js';
import type { EngineFixture } from '../engine-fixture.js';
import type { TestPostgres } from '../postgres/server.js';

/** A way from the slot to the destination. */
export interface Transport {
  readonly name: string;
  /** Settings of the source's `cdc:`. */
  readonly cdc: Readonly<Record<string, unknown>>;
  /**
   * Loads the tables and makes ready for changes.
   * @returns what resolves when all that has been committed since has landed; the file is free then
   */
  begin(fixture: EngineFixture, postgres: TestPostgres): Promise<() => Promise<void>>;
}

export const TRANSPORTS: readonly Transport[] = [
  {
    name: 'scheduled',
    cdc: { transport: 'scheduled' },
    begin: async (fixture) => {
      await fixture.sync();
      return async () => {
        await fixture.sync();
      };
    },
  },
  {
    name: 'continuous',
    cdc: { transport: 'continuous', flush: { every: '1s' } },
    begin: async (fixture, postgres) => {
      const followed = new FollowedFixture(fixture, postgres);
      await followed.follow();
      return async () => {
        await followed.untilConfirmed();
        const { error } = await followed.stop();
        if (error !== null) throw new Error(`following ended: ${JSON.stringify(error)}`);
      };
    },
  },
];
