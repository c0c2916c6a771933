import { SluiceError } from '../../../error/sluice-error.js';

/** Holds what a folder store is just writing; no key begins with it. */
export const TEMPORARY_FOLDER = '.sluice-tmp';

/** Printable ASCII without the backslash, which some systems take for a separator. */
const PART = /^[\x20-\x5b\x5d-\x7e]+$/;

/**
 * The key itself, where it names the same object in a bucket and in a folder.
 * @throws SluiceError INTERNAL: keys are made by Sluice, so a bad one is its own fault
 */
export function checkKey(key: string): string {
  const parts = key.split('/');
  const good = parts.every((part) => PART.test(part) && part !== '.' && part !== '..') && parts[0] !== TEMPORARY_FOLDER;
  if (good && key.length <= 1024) return key;
  throw new SluiceError({ code: 'INTERNAL', message: `not a key of an object: ${JSON.stringify(key)}` });
}
