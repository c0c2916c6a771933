import { expect, test } from 'vitest';
import { type Address, formatAddress, parseAddress } from './address.js';

test.each<{ text: string; address: Address }>([
  { text: 'shop', address: { kind: 'source', source: 'shop' } },
  { text: 'shop:public.users', address: { kind: 'table', source: 'shop', schema: 'public', name: 'users' } },
  { text: 'shop:"my.schema"."a:b."', address: { kind: 'table', source: 'shop', schema: 'my.schema', name: 'a:b.' } },
  { text: 'shop:slot', address: { kind: 'slot', source: 'shop' } },
  { text: 'shop:publication', address: { kind: 'publication', source: 'shop' } },
])('$text', ({ text, address }) => {
  expect(parseAddress(text)).toEqual(address);
  expect(formatAddress(address)).toBe(text);
});

test.each(['', ':', 'shop:', ':public.users', 'shop:users', 'shop:public.*', 'a b', '9a', 'shop:public.users:x.y.z'])(
  '%j is none',
  (text) => {
    expect(parseAddress(text)).toBeNull();
  },
);
