import { SluiceError } from '../error/sluice-error.js';
import type { StateDocument } from './state.js';
import { checkState, STATE_FORMAT_VERSION } from './state-check.js';
import { inPresentFormat } from './stored-state.js';

/**
 * Reads an exported state document, of an older format too.
 * @param file as given; messages name it so
 * @throws SluiceError STATE_UNREADABLE, STATE_NEWER
 */
export function readStateText(text: string, file: string): StateDocument {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (cause) {
    throw unreadable(file, 'it is not JSON', cause);
  }
  const check = checkState(inPresentFormat(raw));
  if (check.ok) return check.state;
  if ('newerVersion' in check) {
    throw new SluiceError({
      code: 'STATE_NEWER',
      message: `the state ${file} has format ${check.newerVersion}; this version of Sluice knows up to ${STATE_FORMAT_VERSION}`,
      hint: 'install the Sluice that wrote it, or a newer one',
    });
  }
  const [first, ...more] = check.problems;
  throw unreadable(file, `${first}${more.length === 0 ? '' : ` (and ${more.length} more)`}`);
}

function unreadable(file: string, why: string, cause?: unknown): SluiceError {
  return new SluiceError({
    code: 'STATE_UNREADABLE',
    message: `the state ${file} cannot be used: ${why}`,
    cause,
    hint: 'it has to be the whole state document of a Sluice',
  });
}
