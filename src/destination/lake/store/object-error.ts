import { SluiceError } from '../../../error/sluice-error.js';

export function missingError(place: string, key: string): SluiceError {
  return new SluiceError({
    code: 'STORE_OBJECT_MISSING',
    message: `${place}/${key} is not there any more`,
    hint: 'something other than sluice removed it (a lifecycle rule, say); if it does not come back, load the table anew: sluice resync',
  });
}

export function shortError(place: string, key: string, wanted: number, found: number): SluiceError {
  return new SluiceError({
    code: 'STORE_OBJECT_CHANGED',
    message: `${place}/${key} ends at byte ${found}, where ${wanted} bytes are needed`,
    hint: 'it was replaced or cut by something other than sluice; if that stays so, load the table anew: sluice resync',
  });
}
