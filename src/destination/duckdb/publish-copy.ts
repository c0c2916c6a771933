import { constants, copyFile, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { causeText, SluiceError } from '../../error/sluice-error.js';
import { failpoint } from '../../thread/failpoint.js';

/**
 * Swaps a copy of a closed DuckDB file in for long readers: copied beside its target, synced, renamed. Readers that have
 * the old copy open keep it until they close it.
 * @throws SluiceError DESTINATION_FAILED
 */
export async function publishCopy(from: string, to: string): Promise<void> {
  // One name, so that what a crash leaves is taken over by the next copy; it may be as large as the destination.
  const temporary = `${to}.tmp`;
  try {
    const leftoverWal = await stat(`${from}.wal`).catch(() => null);
    if (leftoverWal !== null) {
      throw new SluiceError({
        code: 'DESTINATION_BUSY',
        message: `${from} still has changes beside it in ${from}.wal; it is copied after the next sync`,
      });
    }
    await copyFile(from, temporary, constants.COPYFILE_FICLONE);
    await syncPath(temporary);
    await failpoint('in_publish');
    await rename(temporary, to);
    await syncPath(dirname(to));
  } catch (error) {
    // Where the folder itself is the trouble, there is nothing to remove; the first error says why.
    await rm(temporary, { force: true }).catch(() => undefined);
    if (error instanceof SluiceError) throw error;
    throw new SluiceError({
      code: 'DESTINATION_FAILED',
      message: `cannot publish ${to}: ${causeText(error)}`,
      hint: 'check publish.path of the destination; what was synced is safe in the destination itself',
      cause: error,
    });
  }
}

async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
