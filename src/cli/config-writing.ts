import { chmod, open, realpath, rename, rm, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { causeText, SluiceError } from '../error/sluice-error.js';

/**
 * Puts a text in the place of a config file that is there: whole or not at all, so that a daemon that watches it never
 * reads half of it. Its mode stays, and of a symbolic link the file behind it is replaced.
 * @throws SluiceError CONFIG_UNWRITABLE
 */
export async function replaceText(path: string, text: string): Promise<void> {
  try {
    const target = await realpath(resolve(path));
    const { mode } = await stat(target);
    const beside = `${target}.${process.pid}.tmp`;
    try {
      await writeDurably(beside, text);
      await chmod(beside, mode & 0o7777);
      await rename(beside, target);
    } catch (error) {
      await rm(beside, { force: true });
      throw error;
    }
  } catch (cause) {
    throw new SluiceError({
      code: 'CONFIG_UNWRITABLE',
      message: `${path} could not be written: ${causeText(cause)}`,
      hint: 'it is as it was; see that the file and its folder may be written',
      cause,
    });
  }
}

/** Writes a config file that must not be there yet. @throws SluiceError CONFIG_UNWRITABLE */
export async function createText(path: string, text: string): Promise<void> {
  try {
    await writeDurably(resolve(path), text);
  } catch (cause) {
    const exists = cause instanceof Error && 'code' in cause && cause.code === 'EEXIST';
    throw new SluiceError({
      code: 'CONFIG_UNWRITABLE',
      message: exists ? `${path} is there already` : `${path} could not be written: ${causeText(cause)}`,
      hint: exists
        ? 'name another file with -c FILE, or move that one away'
        : 'see that its folder is there and may be written',
      cause,
    });
  }
}

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx');
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}
