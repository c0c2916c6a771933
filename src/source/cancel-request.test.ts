import { expect, test } from 'vitest';
import { cancelRequestFor } from './cancel-request.js';

test('holds length, code, process and key, which may be negative', () => {
  const cancel = cancelRequestFor({ name: 'backendKeyData', processID: 4711, secretKey: -2 });
  expect(cancel?.backendPid).toBe(4711);
  expect(Buffer.from(cancel?.request ?? []).toString('hex')).toBe('0000001004d2162e00001267fffffffe');
});

test.each([
  { name: 'nothing', message: null },
  { name: 'another message', message: { name: 'notice' } },
])('is not made of $name', ({ message }) => expect(cancelRequestFor(message)).toBeNull());
