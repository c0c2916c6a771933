import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, test } from 'vitest';
import { FakeClock } from '../../../test/fake/clock.js';
import { isInstalled } from '../../../test/installed.js';
import { serviceNotifier, systemdNotify } from './notifier.js';

const clock = new FakeClock();

function notifier(env: Record<string, string>, send?: (lines: readonly string[]) => Promise<void>) {
  const sent: string[][] = [];
  const troubles: unknown[] = [];
  const deps = {
    env,
    pid: 7,
    clock,
    send: send ?? (async (lines: readonly string[]) => void sent.push([...lines])),
    onTrouble: (error: unknown) => void troubles.push(error),
  };
  return { service: serviceNotifier(deps), sent, troubles };
}

describe('under a service manager', () => {
  test('it hears of start, reload and stop', async () => {
    const { service, sent } = notifier({ NOTIFY_SOCKET: '/run/x' });
    await service.ready('3 sources\nof sources.yaml');
    await service.reloading();
    await service.status('well');
    await service.stopping();
    expect(sent).toEqual([
      ['READY=1', 'STATUS=3 sources of sources.yaml'],
      ['RELOADING=1', expect.stringMatching(/^MONOTONIC_USEC=\d+$/)],
      ['STATUS=well'],
      ['STOPPING=1', 'STATUS=stopping'],
    ]);
  });

  test.each([
    { name: 'of this process', env: { WATCHDOG_USEC: '60000000', WATCHDOG_PID: '7' }, pings: true },
    { name: 'of whoever it is', env: { WATCHDOG_USEC: '60000000' }, pings: true },
    { name: 'of another process', env: { WATCHDOG_USEC: '60000000', WATCHDOG_PID: '8' }, pings: false },
    { name: 'that is off', env: {}, pings: false },
    { name: 'that is no number', env: { WATCHDOG_USEC: 'soon' }, pings: false },
  ])('a watchdog $name is told twice in its time: $pings', async ({ env, pings }) => {
    const stop = new AbortController();
    const times: number[] = [];
    const { service } = notifier({ NOTIFY_SOCKET: '/run/x', ...env }, async () => {
      times.push(clock.monotonicMs());
      if (times.length === 3) stop.abort();
    });
    await service.watch(stop.signal);
    const [first = 0] = times;
    expect(times.map((ms) => ms - first)).toEqual(pings ? [0, 30_000, 60_000] : []);
  });

  test('a message that cannot be sent is said once and stops nothing', async () => {
    const failed = new Error('no systemd-notify');
    const { service, troubles } = notifier({ NOTIFY_SOCKET: '/run/x' }, async () => {
      throw failed;
    });
    await service.ready('x');
    await service.status('y');
    expect(troubles).toEqual([failed]);
  });
});

test('without one nothing is sent', async () => {
  const { service, sent } = notifier({ WATCHDOG_USEC: '60000000' });
  await service.ready('x');
  await service.watch(new AbortController().signal);
  await service.stopping();
  expect(sent).toEqual([]);
});

/** Prints what comes in on a unix datagram socket, and lets go of the descriptors by which a sender waits for that. */
const LISTENER = `
import array, os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("listening", flush=True)
while True:
    data, extra, _, _ = s.recvmsg(4096, 1024)
    for level, kind, packed in extra:
        if kind == socket.SCM_RIGHTS:
            fds = array.array("i"); fds.frombytes(packed[: len(packed) - len(packed) % fds.itemsize])
            for fd in fds: os.close(fd)
    for line in data.decode().split("\\n"):
        if line and line != "BARRIER=1": print(line, flush=True)
`;

test.skipIf(!isInstalled('systemd-notify') || !isInstalled('python3'))(
  "systemd's own program brings the messages to the socket",
  async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'sluice-notify-'));
    const socket = path.join(folder, 'notify');
    const listener = spawn('python3', ['-c', LISTENER, socket], { stdio: ['ignore', 'pipe', 'inherit'] });
    const before = process.env['NOTIFY_SOCKET'];
    try {
      const lines = createInterface({ input: listener.stdout })[Symbol.asyncIterator]();
      expect((await lines.next()).value).toBe('listening');
      process.env['NOTIFY_SOCKET'] = socket;
      await systemdNotify(['READY=1', 'STATUS=two words']);
      expect([(await lines.next()).value, (await lines.next()).value]).toEqual(['READY=1', 'STATUS=two words']);
    } finally {
      if (before === undefined) delete process.env['NOTIFY_SOCKET'];
      else process.env['NOTIFY_SOCKET'] = before;
      listener.kill();
      await once(listener, 'exit');
      await rm(folder, { recursive: true });
    }
  },
);
