import type { PeerCertificate } from 'node:tls';
import { expect, test } from 'vitest';
import type { TlsMode } from '../config/config.js';
import { tlsOptions } from './tls.js';

const none = { ca: null, cert: null, key: null };

test.each<{ name: string; mode: TlsMode; host: string; ca?: string; options: object | null }>([
  {
    name: 'verify-full',
    mode: 'verify-full',
    host: 'db',
    options: { rejectUnauthorized: true, servername: 'db', ca: ['system'] },
  },
  {
    name: 'verify-full with a CA of its own',
    mode: 'verify-full',
    host: 'db',
    ca: 'own',
    options: { rejectUnauthorized: true, ca: 'own' },
  },
  { name: 'verify-ca', mode: 'verify-ca', host: 'db', options: { rejectUnauthorized: true } },
  { name: 'require', mode: 'require', host: 'db', options: { rejectUnauthorized: false } },
  {
    name: 'require with a CA verifies the chain',
    mode: 'require',
    host: 'db',
    ca: 'own',
    options: { rejectUnauthorized: true, ca: 'own' },
  },
  { name: 'disable', mode: 'disable', host: 'db', options: null },
  { name: 'unix socket', mode: 'verify-full', host: '/run/postgresql', options: null },
])('$name', ({ mode, host, ca, options }) => {
  const made = tlsOptions(mode, host, { ...none, ca: ca ?? null }, ['system']);
  if (options === null) expect(made).toBeNull();
  else expect(made).toMatchObject(options);
});

test.each(['192.0.2.1', '2001:db8::1'])('the address %s is not sent as a server name', (host) => {
  expect(tlsOptions('verify-full', host, none, [])).not.toHaveProperty('servername');
});

const certificate = (subjectaltname: string): PeerCertificate =>
  ({ subject: { CN: 'cn' }, subjectaltname }) as unknown as PeerCertificate;

test.each<{ name: string; mode: TlsMode; host: string; names: string; accepted: boolean }>([
  { name: 'the name', mode: 'verify-full', host: 'db', names: 'DNS:db', accepted: true },
  { name: 'another name', mode: 'verify-full', host: 'db', names: 'DNS:web', accepted: false },
  { name: 'a wildcard', mode: 'verify-full', host: 'a.example.com', names: 'DNS:*.example.com', accepted: true },
  {
    name: 'an address by its IP entry',
    mode: 'verify-full',
    host: '192.0.2.1',
    names: 'IP Address:192.0.2.1',
    accepted: true,
  },
  {
    name: 'an address written as a name',
    mode: 'verify-full',
    host: '192.0.2.1',
    names: 'DNS:192.0.2.1',
    accepted: false,
  },
  { name: 'any name under verify-ca', mode: 'verify-ca', host: 'db', names: 'DNS:web', accepted: true },
])('a certificate for $name', ({ mode, host, names, accepted }) => {
  const check = tlsOptions(mode, host, none, [])?.checkServerIdentity;
  expect(check?.('whatever Node passes', certificate(names)) === undefined).toBe(accepted);
});
