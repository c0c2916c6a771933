import { expect, test } from 'vitest';
import { parse, problemsOf, withParts } from '../../test/config/config-text.js';
import { ALERT_KINDS, type AlertHook } from './config.js';

function alertsOf(yaml: string): readonly AlertHook[] {
  const result = parse(withParts({ more: `alerts:\n${yaml}` }));
  if (!result.ok) throw new Error(problemsOf(withParts({ more: `alerts:\n${yaml}` })));
  expect(result.warnings.map(({ message }) => message)).toEqual([]);
  return result.config.alerts;
}

test('no alerts is an empty list', () => {
  const result = parse(withParts({}));
  expect(result.ok && result.config.alerts).toEqual([]);
});

test.each<{ name: string; yaml: string; expected: AlertHook }>([
  {
    name: 'a webhook with an address as it stands, no warning',
    yaml: '  - { type: webhook, url: "http://127.0.0.1:9/hook" }',
    expected: {
      type: 'webhook',
      url: { kind: 'inline', value: 'http://127.0.0.1:9/hook' },
      headers: {},
      timeoutMs: 10_000,
      on: ALERT_KINDS,
    },
  },
  {
    name: 'a webhook with everything',
    yaml: '  - { type: webhook, url: { env: U }, headers: { X-Key: { file: k } }, timeout: 3s, on: [slot_dropped] }',
    expected: {
      type: 'webhook',
      url: { kind: 'env', name: 'U' },
      headers: { 'X-Key': { kind: 'file', path: '/etc/sluice/k' } },
      timeoutMs: 3_000,
      on: ['slot_dropped'],
    },
  },
  {
    name: 'a command',
    yaml: '  - { type: command, command: [./page, "a b"] }',
    expected: { type: 'command', command: ['./page', 'a b'], timeoutMs: 10_000, on: ALERT_KINDS },
  },
])('$name', (c) => expect(alertsOf(c.yaml)).toEqual([c.expected]));

test.each<{ name: string; yaml: string; message: string }>([
  {
    name: 'an address that is none',
    yaml: '  - { type: webhook, url: chat.example.com }',
    message: 'expected an address that begins with https:// or http://',
  },
  {
    name: 'another kind of address',
    yaml: '  - { type: webhook, url: "ftp://example.com" }',
    message: 'expected an address that begins with https:// or http://',
  },
  { name: 'no address', yaml: '  - { type: webhook }', message: 'required key is missing' },
  { name: 'a program without a name', yaml: '  - { type: command, command: [""] }', message: 'name of a program' },
  { name: 'an empty command', yaml: '  - { type: command, command: [] }', message: 'expected at least one entry' },
  {
    name: 'an event that there is not',
    yaml: '  - { type: command, command: [a], on: [lag_warnings] }',
    message: 'lag_warning',
  },
  { name: 'an unknown type', yaml: '  - { type: mail }', message: 'webhook' },
  {
    name: 'no time at all',
    yaml: '  - { type: command, command: [a], timeout: 1ms }',
    message: 'expected at least 1s',
  },
])('$name is a mistake', (c) => {
  const text = withParts({ more: `alerts:\n${c.yaml}` });
  expect(parse(text).ok).toBe(false);
  expect(problemsOf(text)).toContain(c.message);
});
