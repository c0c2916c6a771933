import { SluiceError } from '../error/sluice-error.js';

/** @param packageJson the text of the package's own package.json */
export function packageVersion(packageJson: string): string {
  const parsed: unknown = JSON.parse(packageJson);
  if (typeof parsed === 'object' && parsed !== null && 'version' in parsed && typeof parsed.version === 'string') {
    return parsed.version;
  }
  throw new SluiceError({ code: 'INTERNAL', message: 'package.json names no version' });
}
