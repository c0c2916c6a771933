import { expect, test } from 'vitest';
import { isLoopback, type ListenAddress, parseListenAddress } from './listen-address.js';

test.each<{ listen: string; address: ListenAddress; loopback: boolean }>([
  { listen: '127.0.0.1:8470', address: { host: '127.0.0.1', port: 8470 }, loopback: true },
  { listen: '127.8.8.8:1', address: { host: '127.8.8.8', port: 1 }, loopback: true },
  { listen: 'localhost:80', address: { host: 'localhost', port: 80 }, loopback: true },
  { listen: '[::1]:65535', address: { host: '::1', port: 65_535 }, loopback: true },
  { listen: '[::]:8470', address: { host: '::', port: 8470 }, loopback: false },
  { listen: '0.0.0.0:8470', address: { host: '0.0.0.0', port: 8470 }, loopback: false },
  { listen: '127.example.com:8470', address: { host: '127.example.com', port: 8470 }, loopback: false },
])('$listen', (c) => {
  const address = parseListenAddress(c.listen);
  expect(address).toEqual(c.address);
  expect(isLoopback(address.host)).toBe(c.loopback);
});
