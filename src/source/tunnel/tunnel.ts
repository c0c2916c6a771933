import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ClientChannel } from 'ssh2';
import { SluiceError } from '../../error/sluice-error.js';
import { connectTcp } from '../stream-socket.js';
import { openSsh, printable, type SshConnection } from './ssh-connection.js';
import { hopName, type SshHop, type TunnelTarget } from './target.js';
import { TunnelStream } from './tunnel-stream.js';

/** Where a forwarded connection leads, as the last hop sees it. A host that begins with "/" is the folder of a unix socket. */
export interface Beyond {
  readonly host: string;
  readonly port: number;
  /** The entry under `connections:`, for hints. */
  readonly connection: string;
}

export interface TunnelTiming {
  /** A tunnel is asked for a sign of life this often. */
  readonly keepaliveMs: number;
  /** How long it is kept with nothing in it. */
  readonly idleMs: number;
  /** For each hop. */
  readonly connectTimeoutMs: number;
}

/** Without a byte, after which a tunnel counts as dead. */
const SILENT_INTERVALS = 4;

/** Reasons of SSH_MSG_CHANNEL_OPEN_FAILURE (RFC 4254, section 5.1). */
const CONNECT_FAILED = 2;
const RESOURCE_SHORTAGE = 4;

/** SSH connections through all hops, the next one inside of the one before, and the connections forwarded by the last. */
export class Tunnel {
  readonly #connections: readonly SshConnection[];
  readonly #last: SshHop;
  readonly #timing: TunnelTiming;
  readonly #onEnd: () => void;
  readonly #streams = new Set<TunnelStream>();
  readonly #watch: NodeJS.Timeout;
  #idle: NodeJS.Timeout | null = null;
  #opening = 0;
  #ended: SluiceError | null = null;

  /**
   * @param onEnd called once, when it is closed or lost
   * @throws SluiceError with a TUNNEL_ code; the signal's reason when it aborts
   */
  static async open(
    target: TunnelTarget,
    timing: TunnelTiming,
    onEnd: () => void,
    signal: AbortSignal,
  ): Promise<Tunnel> {
    const connections: SshConnection[] = [];
    try {
      for (const [index, hop] of target.hops.entries()) {
        const before = connections.at(-1);
        const name = target.hops[index - 1];
        const isLast = index === target.hops.length - 1;
        connections.push(
          await withDeadline(hop, timing.connectTimeoutMs, signal, (within) =>
            openSsh(
              hop,
              {
                openStream: (until) =>
                  before === undefined || name === undefined
                    ? openSocket(hop, until)
                    : forward(before, { host: hop.host, port: hop.port }, until, (reason, words) =>
                        hopRefused(hop, name, reason, words),
                      ),
                keepaliveMs: isLast ? timing.keepaliveMs : 0,
              },
              within,
            ),
          ),
        );
      }
      return new Tunnel(connections, target.hops.at(-1) ?? noHop(), timing, onEnd);
    } catch (error) {
      hangUp(connections);
      throw error;
    }
  }

  private constructor(connections: readonly SshConnection[], last: SshHop, timing: TunnelTiming, onEnd: () => void) {
    this.#connections = connections;
    this.#last = last;
    this.#timing = timing;
    this.#onEnd = onEnd;
    for (const { client } of connections) {
      client.on('error', (error: Error) => this.#lose(printable(error.message)));
      // Protocol errors end in here, too, and so does a server that was killed.
      client.on('end', () => this.#lose('it was closed'));
      client.on('close', () => this.#lose('it was closed'));
    }
    let heard = this.#bytesRead;
    let silent = 0;
    // Counted in ticks, not in time: a machine that slept, or a thread that was busy, has not listened meanwhile.
    this.#watch = setInterval(() => {
      const now = this.#bytesRead;
      silent = now === heard ? silent + 1 : 0;
      heard = now;
      if (silent < SILENT_INTERVALS) return;
      this.#lose(`nothing has come through it for ${(silent * timing.keepaliveMs) / 1000} s, though it was asked`);
    }, timing.keepaliveMs);
    this.#watch.unref();
    this.#rest();
  }

  /**
   * A connection from the last hop to the database.
   * @throws SluiceError SOURCE_UNREACHABLE, TUNNEL_FORWARD_REFUSED, TUNNEL_LOST; the signal's reason when it aborts
   */
  async connect(beyond: Beyond, signal: AbortSignal): Promise<Duplex> {
    if (this.#ended !== null) throw this.#ended;
    const connection = this.#connections.at(-1);
    if (connection === undefined) throw this.#lost('it was closed');
    this.#opening += 1;
    this.#stopRest();
    try {
      const stream = await forward(connection, beyond, signal, (reason, words) =>
        databaseRefused(beyond, this.#last, reason, words),
      );
      if (this.#ended !== null) {
        stream.abandon(null);
        throw this.#ended;
      }
      this.#streams.add(stream);
      stream.once('close', () => {
        this.#streams.delete(stream);
        this.#rest();
      });
      return stream;
    } catch (error) {
      throw this.#ended ?? error;
    } finally {
      this.#opening -= 1;
      this.#rest();
    }
  }

  /** Whether nothing goes through it. */
  get isIdle(): boolean {
    return this.#streams.size === 0 && this.#opening === 0;
  }

  close(): void {
    this.#end(this.#lost('it was closed'), null);
  }

  get #bytesRead(): number {
    const bytes: unknown = Reflect.get(this.#connections.at(-1)?.stream ?? {}, 'bytesRead');
    return typeof bytes === 'number' ? bytes : 0;
  }

  #rest(): void {
    if (!this.isIdle || this.#ended !== null) return;
    this.#stopRest();
    this.#idle = setTimeout(() => this.close(), this.#timing.idleMs);
    this.#idle.unref();
  }

  #stopRest(): void {
    if (this.#idle !== null) clearTimeout(this.#idle);
    this.#idle = null;
  }

  #lose(why: string): void {
    if (this.#ended !== null) return;
    const error = this.#lost(why);
    this.#end(error, error);
  }

  #lost(why: string): SluiceError {
    return new SluiceError({
      code: 'TUNNEL_LOST',
      message: `the SSH tunnel through ${hopName(this.#last)} broke (${why})`,
      hint: 'see whether the SSH host restarted, or a firewall in between drops connections; it is opened again with the next attempt',
    });
  }

  #end(error: SluiceError, told: SluiceError | null): void {
    if (this.#ended !== null) return;
    this.#ended = error;
    clearInterval(this.#watch);
    this.#stopRest();
    for (const stream of this.#streams) stream.abandon(told);
    this.#streams.clear();
    hangUp(this.#connections);
    this.#onEnd();
  }
}

/** Says goodbye from the innermost connection outwards. The outermost is a socket, and its end is the end of all. */
function hangUp(connections: readonly SshConnection[]): void {
  for (const { client, stream } of [...connections].reverse()) {
    client.on('error', () => {});
    stream.on('error', () => {});
    try {
      client.end();
    } catch {
      // It is gone already.
    }
    if (stream instanceof TunnelStream) stream.abandon(null);
    else if (stream instanceof Socket) stream.destroySoon();
    else stream.destroy();
  }
}

async function openSocket(hop: SshHop, signal: AbortSignal): Promise<Duplex> {
  try {
    return await connectTcp(hop, signal);
  } catch (cause) {
    if (signal.aborted) throw signal.reason;
    const code: unknown = typeof cause === 'object' && cause !== null ? Reflect.get(cause, 'code') : undefined;
    const words = typeof code === 'string' ? code : 'no connection';
    throw new SluiceError({
      code: 'TUNNEL_UNREACHABLE',
      message:
        words === 'ENOTFOUND' || words === 'EAI_AGAIN'
          ? `the name of the SSH host "${hop.host}" does not resolve (${words})`
          : `the SSH host ${hopName(hop)} cannot be reached (${words})`,
      hint: `check ${hop.option}.host and port, and the firewall in between`,
      cause,
    });
  }
}

/** @param refusal the error for a reason of RFC 4254 and the server's words */
function forward(
  { client }: SshConnection,
  to: { readonly host: string; readonly port: number },
  signal: AbortSignal,
  refusal: (reason: number, words: string) => SluiceError,
): Promise<TunnelStream> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) {
      onAbort();
      return;
    }
    signal.addEventListener('abort', onAbort, { once: true });
    const onChannel = (error: Error | undefined, channel: ClientChannel): void => {
      signal.removeEventListener('abort', onAbort);
      if (error === undefined) {
        const stream = new TunnelStream(channel);
        if (signal.aborted) stream.destroy();
        else resolve(stream);
        return;
      }
      const reason: unknown = Reflect.get(error, 'reason');
      if (typeof reason === 'number') {
        reject(refusal(reason, printable(error.message.replace('(SSH) Channel open failure: ', ''))));
      } else {
        reject(refusal(RESOURCE_SHORTAGE, printable(error.message)));
      }
    };
    try {
      if (to.host.startsWith('/')) {
        client.openssh_forwardOutStreamLocal(`${to.host}/.s.PGSQL.${to.port}`, onChannel);
      } else {
        client.forwardOut('127.0.0.1', 0, to.host, to.port, onChannel);
      }
    } catch (error) {
      onChannel(error instanceof Error ? error : new Error('not connected'), Object.create(null));
    }
  });
}

function databaseRefused(beyond: Beyond, last: SshHop, reason: number, words: string): SluiceError {
  const place = beyond.host.startsWith('/')
    ? `${beyond.host}/.s.PGSQL.${beyond.port}`
    : `${beyond.host}:${beyond.port}`;
  const server = hopName(last);
  switch (reason) {
    case CONNECT_FAILED:
      return new SluiceError({
        code: 'SOURCE_UNREACHABLE',
        message: `the tunnel stands, but the SSH host ${server} cannot reach ${place} (${words})`,
        hint: beyond.host.startsWith('/')
          ? // sshd gives this reason also where it may not forward to sockets.
            `check connections.${beyond.connection}.host and port as they are seen from there, that Postgres runs and ${last.user} may open its socket, and that sshd_config there has AllowStreamLocalForwarding`
          : `check connections.${beyond.connection}.host and port as they are seen from there, and that Postgres runs and lets that machine in`,
      });
    case RESOURCE_SHORTAGE:
      return noRoom(server, words);
    default:
      return forwardRefused(server, place, words);
  }
}

function hopRefused(hop: SshHop, before: SshHop, reason: number, words: string): SluiceError {
  switch (reason) {
    case CONNECT_FAILED:
      return new SluiceError({
        code: 'TUNNEL_UNREACHABLE',
        message: `the SSH host ${hopName(before)} cannot reach the next one, ${hopName(hop)} (${words})`,
        hint: `check ${hop.option}.host and port as they are seen from there`,
      });
    case RESOURCE_SHORTAGE:
      return noRoom(hopName(before), words);
    default:
      return forwardRefused(hopName(before), `${hop.host}:${hop.port}`, words);
  }
}

function noRoom(server: string, words: string): SluiceError {
  return new SluiceError({
    code: 'TUNNEL_UNREACHABLE',
    message: `the SSH host ${server} has no room for another connection (${words})`,
    hint: 'see its log (journalctl -u ssh); it is tried again',
  });
}

function forwardRefused(server: string, place: string, words: string): SluiceError {
  return new SluiceError({
    code: 'TUNNEL_FORWARD_REFUSED',
    message: `the SSH host ${server} does not forward to ${place} (${words})`,
    hint: 'allow it in its sshd_config (AllowTcpForwarding local, PermitOpen; AllowStreamLocalForwarding for a unix socket) and in the options of the key in authorized_keys (port-forwarding, permitopen)',
  });
}

async function withDeadline<T>(
  hop: SshHop,
  timeoutMs: number,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const deadline = AbortSignal.timeout(timeoutMs);
  try {
    return await work(AbortSignal.any([signal, deadline]));
  } catch (error) {
    if (signal.aborted || !deadline.aborted || error instanceof SluiceError) throw error;
    throw new SluiceError({
      code: 'TUNNEL_UNREACHABLE',
      message: `the SSH host ${hopName(hop)} does not answer in time`,
      hint: `check ${hop.option}.host, port and the firewall; connect_timeout of the connection sets how long to wait`,
    });
  }
}

function noHop(): never {
  throw new SluiceError({ code: 'INTERNAL', message: 'a tunnel without a hop' });
}
