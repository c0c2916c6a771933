import { mkdir } from 'node:fs/promises';
import { causeText, SluiceError } from '../../error/sluice-error.js';

/** Makes the folder of the working file, where there is none. @throws SluiceError WORK_FOLDER_UNWRITABLE */
export async function makeWorkFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (cause) {
    throw new SluiceError({
      code: 'WORK_FOLDER_UNWRITABLE',
      message: `the work folder ${path} cannot be made: ${causeText(cause)}`,
      hint: 'give the account that runs sluice a folder of its own under work_path of the destination',
      cause,
    });
  }
}
