import { createHmac } from 'node:crypto';
import { expect, test } from 'vitest';
import { keysOf, knownName } from './known-hosts.js';

const KEY = Buffer.from('\0\0\0\x0bssh-ed25519 one').toString('base64');
const OTHER = Buffer.from('\0\0\0\x0bssh-ed25519 two').toString('base64');

function hashed(name: string): string {
  const salt = Buffer.from('01234567890123456789');
  return `|1|${salt.toString('base64')}|${createHmac('sha1', salt).update(name).digest('base64')}`;
}

test.each<{ name: string; line: string; host: string; port: number; found: boolean }>([
  { name: 'a name', line: `bastion ssh-ed25519 ${KEY} comment`, host: 'bastion', port: 22, found: true },
  { name: 'a name in other case', line: `Bastion ssh-ed25519 ${KEY}`, host: 'BASTION', port: 22, found: true },
  {
    name: 'a list with an address',
    line: `bastion,10.0.0.1 ssh-ed25519 ${KEY}`,
    host: '10.0.0.1',
    port: 22,
    found: true,
  },
  { name: 'another port', line: `bastion ssh-ed25519 ${KEY}`, host: 'bastion', port: 2222, found: false },
  { name: 'a port of its own', line: `[bastion]:2222 ssh-ed25519 ${KEY}`, host: 'bastion', port: 2222, found: true },
  { name: 'an IPv6 address', line: `[::1]:2222 ssh-ed25519 ${KEY}`, host: '::1', port: 2222, found: true },
  { name: 'a pattern', line: `*.example.com ssh-ed25519 ${KEY}`, host: 'a.example.com', port: 22, found: true },
  { name: 'a dot is no pattern', line: `a.b ssh-ed25519 ${KEY}`, host: 'acb', port: 22, found: false },
  { name: 'taken out of a pattern', line: `*.x,!b.x ssh-ed25519 ${KEY}`, host: 'b.x', port: 22, found: false },
  { name: 'a hashed name', line: `${hashed('bastion')} ssh-ed25519 ${KEY}`, host: 'bastion', port: 22, found: true },
  {
    name: 'a hashed name with its port',
    line: `${hashed('[b]:23')} ssh-ed25519 ${KEY}`,
    host: 'b',
    port: 23,
    found: true,
  },
  { name: 'another hashed name', line: `${hashed('bastion')} ssh-ed25519 ${KEY}`, host: 'b', port: 22, found: false },
  {
    name: 'a CA of host certificates',
    line: `@cert-authority * ssh-ed25519 ${KEY}`,
    host: 'b',
    port: 22,
    found: false,
  },
  { name: 'a comment', line: `# bastion ssh-ed25519 ${KEY}`, host: 'bastion', port: 22, found: false },
  { name: 'a line that is cut', line: 'bastion ssh-ed25519', host: 'bastion', port: 22, found: false },
])('$name', ({ line, host, port, found }) => {
  expect(keysOf(`${line}\r\n`, host, port).trusted).toEqual(found ? [Buffer.from(KEY, 'base64')] : []);
});

test('revoked keys are kept apart, and a host may have several keys', () => {
  const text = `\nb ssh-ed25519 ${KEY}\n\n@revoked * ssh-ed25519 ${OTHER}\nb ssh-ed25519 ${OTHER}\n`;
  const keys = keysOf(text, 'b', 22);
  expect(keys.trusted.map((key) => key.toString('base64'))).toEqual([KEY, OTHER]);
  expect(keys.revoked.map((key) => key.toString('base64'))).toEqual([OTHER]);
});

test('a host is named with its port where that is not 22', () => {
  expect([knownName('B', 22), knownName('b', 2222)]).toEqual(['b', '[b]:2222']);
});
