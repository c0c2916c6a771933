import { join } from 'node:path';
import { assertNever, SluiceError } from '../error/sluice-error.js';
import type { SecretReference } from './config.js';
import { absolutePath } from './path.js';

export interface SecretDeps {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly readFile: (path: string) => Promise<string>;
  readonly homeDir: string;
}

/**
 * Fetches a secret at the moment it is needed. It is read anew each time, so a rotated file is picked up.
 * @returns the secret; of a file without the newline at its end
 * @throws SluiceError SECRET_MISSING where the reference points at nothing or at an empty value; never holds the secret
 */
export async function resolveSecret(reference: SecretReference, deps: SecretDeps): Promise<string> {
  switch (reference.kind) {
    case 'inline':
      return reference.value;
    case 'env': {
      const value = deps.env[reference.name];
      if (value !== undefined && value !== '') return value;
      throw new SluiceError({
        code: 'SECRET_MISSING',
        message: `the environment variable ${reference.name} is ${value === undefined ? 'not set' : 'empty'}`,
        hint: `set it for the process that runs sluice: export ${reference.name}=...`,
      });
    }
    case 'file':
      return readSecretFile(absolutePath(reference.path, '.', deps.homeDir), deps, (path) => ({
        what: `the secret file ${path}`,
        hint: `create it, readable only by the account that runs sluice: install -m 600 /dev/stdin ${path}`,
      }));
    case 'credential': {
      const directory = deps.env['CREDENTIALS_DIRECTORY'];
      const hint = `in the systemd unit: LoadCredential=${reference.name}:/path/to/file`;
      if (directory === undefined || directory === '') {
        throw new SluiceError({
          code: 'SECRET_MISSING',
          message: `the credential ${reference.name} is asked for, but CREDENTIALS_DIRECTORY is not set: systemd passed no credentials`,
          hint,
        });
      }
      return readSecretFile(join(directory, reference.name), deps, () => ({
        what: `the credential ${reference.name}`,
        hint,
      }));
    }
    default:
      return assertNever(reference);
  }
}

async function readSecretFile(
  path: string,
  deps: SecretDeps,
  describe: (path: string) => { readonly what: string; readonly hint: string },
): Promise<string> {
  const { what, hint } = describe(path);
  let text: string;
  try {
    text = await deps.readFile(path);
  } catch (cause) {
    throw new SluiceError({ code: 'SECRET_MISSING', message: `${what} could not be read`, hint, cause });
  }
  const secret = text.replace(/\r?\n$/, '');
  if (secret === '') throw new SluiceError({ code: 'SECRET_MISSING', message: `${what} is empty`, hint });
  return secret;
}
