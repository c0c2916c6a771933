import { connect } from 'node:net';

/**
 * A port of loopback on which nobody listens, below the range that systems give to outgoing connections: who is started
 * there again later finds it free. Whoever loses the race for it tries another.
 * @param from the first of `count` ports to choose from
 */
export async function freePort(from = 19_000, count = 1_000): Promise<number> {
  for (;;) {
    const port = from + Math.floor(Math.random() * count);
    if (!(await isTaken(port))) return port;
  }
}

/** Whether somebody listens at this port of loopback. */
export function isTaken(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect({ port, host: '127.0.0.1' });
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}
