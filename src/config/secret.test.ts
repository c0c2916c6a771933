import { expect, test } from 'vitest';
import { SluiceError } from '../error/sluice-error.js';
import type { SecretReference } from './config.js';
import { resolveSecret, type SecretDeps } from './secret.js';

const FILES: Readonly<Record<string, string>> = {
  '/run/secret': 'hunter2\n',
  '/run/windows': 'hunter2\r\n',
  '/run/two-lines': 'a\nb\n\n',
  '/run/empty': '\n',
  '/home/ann/.secret': 'from home',
  '/run/credentials/db': 'from systemd\n',
};

function deps(env: Readonly<Record<string, string>>): SecretDeps {
  return {
    env,
    homeDir: '/home/ann',
    readFile: async (path) => {
      const text = FILES[path];
      if (text === undefined) throw new Error(`ENOENT: ${path}`);
      return text;
    },
  };
}

const ENV = { SHOP_PASSWORD: 'hunter2', EMPTY: '', CREDENTIALS_DIRECTORY: '/run/credentials' };

test.each<{ name: string; reference: SecretReference; secret: string }>([
  { name: 'inline', reference: { kind: 'inline', value: ' a b ' }, secret: ' a b ' },
  { name: 'a variable', reference: { kind: 'env', name: 'SHOP_PASSWORD' }, secret: 'hunter2' },
  { name: 'a file without its last newline', reference: { kind: 'file', path: '/run/secret' }, secret: 'hunter2' },
  { name: 'a file with a Windows newline', reference: { kind: 'file', path: '/run/windows' }, secret: 'hunter2' },
  { name: 'only the last newline goes', reference: { kind: 'file', path: '/run/two-lines' }, secret: 'a\nb\n' },
  { name: 'a file in the home folder', reference: { kind: 'file', path: '~/.secret' }, secret: 'from home' },
  { name: 'a credential', reference: { kind: 'credential', name: 'db' }, secret: 'from systemd' },
])('$name', async ({ reference, secret }) => {
  expect(await resolveSecret(reference, deps(ENV))).toBe(secret);
});

test.each<{
  name: string;
  reference: SecretReference;
  env: Readonly<Record<string, string>>;
  message: string;
  hint: string;
}>([
  {
    name: 'a variable that is not set',
    reference: { kind: 'env', name: 'NONE' },
    env: ENV,
    message: 'the environment variable NONE is not set',
    hint: 'set it for the process that runs sluice: export NONE=...',
  },
  {
    name: 'an empty variable',
    reference: { kind: 'env', name: 'EMPTY' },
    env: ENV,
    message: 'the environment variable EMPTY is empty',
    hint: 'set it for the process that runs sluice: export EMPTY=...',
  },
  {
    name: 'a file that is not there',
    reference: { kind: 'file', path: '~/none' },
    env: ENV,
    message: 'the secret file /home/ann/none could not be read',
    hint: 'create it, readable only by the account that runs sluice: install -m 600 /dev/stdin /home/ann/none',
  },
  {
    name: 'an empty file',
    reference: { kind: 'file', path: '/run/empty' },
    env: ENV,
    message: 'the secret file /run/empty is empty',
    hint: 'create it, readable only by the account that runs sluice: install -m 600 /dev/stdin /run/empty',
  },
  {
    name: 'a credential that systemd did not pass',
    reference: { kind: 'credential', name: 'none' },
    env: ENV,
    message: 'the credential none could not be read',
    hint: 'in the systemd unit: LoadCredential=none:/path/to/file',
  },
  {
    name: 'a credential without systemd',
    reference: { kind: 'credential', name: 'db' },
    env: {},
    message: 'the credential db is asked for, but CREDENTIALS_DIRECTORY is not set: systemd passed no credentials',
    hint: 'in the systemd unit: LoadCredential=db:/path/to/file',
  },
])('$name is SECRET_MISSING', async ({ reference, env, message, hint }) => {
  const error = await resolveSecret(reference, deps(env)).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(SluiceError);
  expect(error).toMatchObject({ code: 'SECRET_MISSING', message, hint });
});
