import { ALERT_KINDS, type AlertHook } from './config.js';
import type { ConfigPath } from './problem.js';
import { readSecret } from './read-secret.js';
import { entriesOf, type Reading } from './reading.js';
import type { Pruned } from './schema.js';
import type { Alert } from './schema-types.js';

/** The entries of `alerts:`, in the order of the file. One whose type is not known was reported before. */
export function readAlerts(raw: readonly Pruned<Alert>[] | undefined, reading: Reading): AlertHook[] {
  return (raw ?? []).flatMap((entry, index) => readAlert(entry, ['alerts', index], reading) ?? []);
}

function readAlert(raw: Pruned<Alert>, path: ConfigPath, reading: Reading): AlertHook | null {
  const timeoutMs = reading.duration([...path, 'timeout'], raw.timeout, '10s', 1_000);
  const on = raw.on ?? ALERT_KINDS;
  switch (raw.type) {
    case 'webhook': {
      const url = readUrl(raw.url, [...path, 'url'], reading);
      const headers = entriesOf(raw.headers).flatMap(([name, value]) => {
        const secret = readSecret(value, [...path, 'headers', name], reading);
        return secret === null ? [] : [[name, secret] as const];
      });
      return url === null ? null : { type: 'webhook', url, headers: Object.fromEntries(headers), timeoutMs, on };
    }
    case 'command': {
      const [program, ...rest] = raw.command ?? [];
      if (program === undefined) return null;
      if (program === '') reading.problem([...path, 'command'], 'expected the name of a program first');
      return { type: 'command', command: [program, ...rest], timeoutMs, on };
    }
    default:
      return null;
  }
}

/** An address in the file is no mistake as other secrets there are: most hold nothing secret. It is not printed, though. */
function readUrl(
  raw: Extract<Pruned<Alert>, { type?: 'webhook' }>['url'],
  path: ConfigPath,
  reading: Reading,
): ReturnType<typeof readSecret> {
  if (typeof raw !== 'string') return readSecret(raw, path, reading);
  if (!isWebAddress(raw)) reading.problem(path, 'expected an address that begins with https:// or http://');
  return { kind: 'inline', value: raw };
}

/** What a POST request can be sent to. fetch takes no name and password in an address. */
export function isWebAddress(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password } = new URL(text);
  return (protocol === 'https:' || protocol === 'http:') && username === '' && password === '';
}
