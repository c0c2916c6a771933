import { describe } from 'vitest';
import { conditionalWrites } from './conformance-conditions.js';
import { listings } from './conformance-listing.js';
import { readsAndDeletes } from './conformance-reads.js';
import { signedRequests } from './conformance-signature.js';
import { multipartUploads } from './conformance-uploads.js';
import { type Difference, type S3UnderTest, underTest } from './conformance-world.js';

/**
 * What Sluice relies on of an S3 server, as tests. The in-process server runs them in `npm test`, real ones in
 * `npm run test:s3`, so that the one cannot promise what the others do not hold.
 * @param differences where this server is known to do otherwise than Amazon: that is demanded then
 */
export function conformance(
  server: string,
  start: () => Promise<S3UnderTest>,
  differences: readonly Difference[] = [],
): void {
  describe(server, () => {
    const world = underTest(start, differences);
    conditionalWrites(world);
    readsAndDeletes(world);
    listings(world);
    multipartUploads(world);
    signedRequests(world);
  });
}
