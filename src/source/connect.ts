import type { Duplex } from 'node:stream';
import { setTimeout as timer } from 'node:timers/promises';
import type { ConnectionOptions } from 'node:tls';
import pg from 'pg';
import type { ConnectionConfig } from '../config/config.js';
import { asSluiceError, SluiceError } from '../error/sluice-error.js';
import { cancelRequestFor } from './cancel-request.js';
import { type SourcePlace, sourceError, sqlState, timedOut } from './errors.js';
import { applicationName, sessionSql } from './session.js';
import {
  type OnBytes,
  openStreamSocket,
  type RawConnection,
  type StreamSocket,
  type StreamTarget,
} from './stream-socket.js';
import { readTlsFiles, systemCertificates, tlsOptions } from './tls.js';
import { type TunnelWay, wayThrough } from './tunnel/shared-tunnels.js';
import { hopName, type TunnelTarget } from './tunnel/target.js';
import type { TunnelTiming } from './tunnel/tunnel.js';

/**
 * Where to connect, with the secret resolved. Plain data: it crosses to worker threads. Never log it.
 */
export type ConnectTarget = Omit<ConnectionConfig, 'password' | 'tunnel'> & {
  readonly password: string | null;
  readonly tunnel: TunnelTarget | null;
};

export interface ConnectOptions {
  /** For pg_stat_activity: `snapshot shop:public.users`. */
  readonly purpose: string;
  /** Governs the connecting, and every query that brings no signal of its own. */
  readonly signal: AbortSignal;
  /** Default 0: none. */
  readonly statementTimeoutMs?: number;
  /** A walsender of the database: it takes replication commands, and SQL only in the simple protocol (query() is not for it). */
  readonly replication?: boolean;
  /** Brings a connected stream to speak over, instead of a socket to host and port. Called again for each cancel request. */
  readonly openStream?: (signal: AbortSignal) => Duplex | Promise<Duplex>;
  /** Over the usual one of a tunnel. */
  readonly tunnelTiming?: Partial<TunnelTiming>;
  /** Default: Node's timer. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<unknown>;
}

/** A session of Postgres for one caller: one query at a time. */
export interface SourceConnection {
  /** Ordinary use goes through query(); this is for what pg can do beyond that (COPY streams, notices). */
  readonly client: pg.Client;
  readonly place: SourcePlace;
  /** server_version_num, e.g. 170010. */
  readonly versionNum: number;
  readonly backendPid: number;
  /** For {@link requestCancel} from another thread; null where the server gave no key. */
  readonly cancelRequest: Uint8Array | null;
  readonly tls: boolean;
  /**
   * Runs one statement; int8, numeric and LSNs come as text, oids, int4 and floats as numbers, json parsed.
   * An abort cancels it on the server; the session can be used on afterwards unless the server did not react.
   * @throws SluiceError, CANCELLED after an abort
   */
  query<Row extends pg.QueryResultRow>(sql: string, params?: readonly unknown[], signal?: AbortSignal): Promise<Row[]>;
  /**
   * Hands the wire to somebody who speaks the protocol himself, until release(). pg must be idle and stay unused.
   * Besides the answers expected, NoticeResponse, ParameterStatus and NotificationResponse may come at any time.
   * @param onLost called when the connection ends while it is taken over; nothing comes after it
   */
  takeOver(onBytes: OnBytes, onLost: (error: SluiceError) => void): RawConnection;
  /** Asks the server to end the statement that runs; returns once it was told. Never throws: it is best effort. */
  cancel(): Promise<void>;
  /** Says goodbye; a server that does not answer is hung up on. */
  end(): Promise<void>;
  /** Hangs up at once. */
  destroy(): void;
}

/** After a cancel request Postgres reacts within milliseconds; a server that did not in this time will not be waited for. */
const CANCEL_PATIENCE_MS = 5_000;
const END_PATIENCE_MS = 2_000;

/**
 * Opens a session with the settings of session.ts.
 * @throws SluiceError with a SOURCE_ or TUNNEL_ code, CANCELLED when the signal aborts
 */
export async function connectSource(target: ConnectTarget, options: ConnectOptions): Promise<SourceConnection> {
  const place: SourcePlace = {
    connection: target.name,
    host: target.host,
    port: target.port,
    database: target.database,
    user: target.user,
    behind: target.tunnel === null ? undefined : lastHop(target.tunnel),
  };
  const sleep = options.sleep ?? ((ms, signal) => timer(ms, undefined, { signal, ref: false }));
  const way = wayTo(target, options.tunnelTiming);
  // The database's own time begins where the tunnel stands, which has its own.
  if (options.openStream === undefined) await tunnelReady(way, options.signal);
  const deadline = new AbortController();
  const connecting = AbortSignal.any([options.signal, deadline.signal]);
  const done = new AbortController();
  sleep(target.connectTimeoutMs, done.signal).then(
    () => deadline.abort(new SluiceError({ ...timedOut(place) })),
    () => {}, // connected, or failed, in time
  );
  try {
    const tls = await tlsOf(target);
    const streamTarget: StreamTarget = {
      host: target.host,
      port: target.port,
      tls,
      openStream: options.openStream ?? way?.openStream ?? null,
    };
    const stream = await openStreamSocket(streamTarget, connecting);
    return await Session.open(target, place, options, streamTarget, stream, sleep, connecting);
  } catch (cause) {
    if (options.signal.aborted) throw cancelled(options.signal);
    if (deadline.signal.aborted) throw new SluiceError({ ...timedOut(place), cause });
    throw sourceError(cause, place);
  } finally {
    done.abort();
  }
}

function wayTo(target: ConnectTarget, timing?: Partial<TunnelTiming>): TunnelWay | null {
  if (target.tunnel === null) return null;
  const beyond = { host: target.host, port: target.port, connection: target.name };
  return wayThrough(target.tunnel, beyond, target.connectTimeoutMs, timing);
}

async function tunnelReady(way: TunnelWay | null, signal: AbortSignal): Promise<void> {
  try {
    await way?.ready(signal);
  } catch (cause) {
    throw signal.aborted ? cancelled(signal) : asSluiceError(cause);
  }
}

function lastHop({ hops }: TunnelTarget): string | undefined {
  const hop = hops.at(-1);
  return hop === undefined ? undefined : hopName(hop);
}

async function tlsOf(target: ConnectTarget): Promise<ConnectionOptions | null> {
  const { mode } = target.tls;
  if (mode === 'disable') return null;
  const files = await readTlsFiles(target.tls, target.name);
  const system = files.ca === null ? await systemCertificates(process.env['SSL_CERT_FILE'] ?? null) : [];
  return tlsOptions(mode, target.host, files, system);
}

function cancelled(signal: AbortSignal, cause?: unknown): SluiceError {
  return new SluiceError({ code: 'CANCELLED', message: 'cancelled', cause: cause ?? signal.reason });
}

/**
 * Asks the server to end what a session of another thread runs, for at most some seconds. Best effort: never throws.
 * @param request the session's own {@link SourceConnection.cancelRequest}
 */
export async function requestCancel(target: ConnectTarget, request: Uint8Array): Promise<void> {
  try {
    const tls = await tlsOf(target);
    const openStream = wayTo(target)?.openStream ?? null;
    const stream = { host: target.host, port: target.port, tls, openStream };
    await sendCancel(stream, request, AbortSignal.timeout(CANCEL_PATIENCE_MS));
  } catch {
    // Whoever asks hangs up on the session as well.
  }
}

async function sendCancel(target: StreamTarget, request: Uint8Array, patience: AbortSignal): Promise<void> {
  const stream = await openStreamSocket(target, patience);
  await new Promise<void>((resolve) => {
    // The server hangs up once it has passed the request on, so that it cannot hit a later statement.
    stream.on('error', () => {}).on('close', resolve);
    patience.addEventListener('abort', () => stream.destroy());
    stream.resume();
    stream.write(request);
  });
}

class Session implements SourceConnection {
  /** What ended the session; null while it lives. */
  #lost: SluiceError | null = null;
  #onLost: ((error: SluiceError) => void) | null = null;
  #cancelRequest: Uint8Array | null = null;
  backendPid = 0;
  versionNum = 0;

  static async open(
    target: ConnectTarget,
    place: SourcePlace,
    options: ConnectOptions,
    streamTarget: StreamTarget,
    stream: StreamSocket,
    sleep: NonNullable<ConnectOptions['sleep']>,
    connecting: AbortSignal,
  ): Promise<Session> {
    const settings: pg.ClientConfig & { replication?: 'database' } = {
      ...(options.replication === true ? { replication: 'database' } : {}),
      host: target.host,
      port: target.port,
      user: target.user,
      database: target.database,
      // A function, as pg would look for PGPASSWORD and ~/.pgpass in place of an absent password.
      password: () => passwordFor(target),
      application_name: applicationName(options.purpose),
      ssl: false, // the stream is encrypted already where it should be
      sslnegotiation: 'postgres',
      stream: () => stream,
    };
    const client = new pg.Client(settings);
    const session = new Session(client, place, streamTarget, stream, sleep, options.signal);
    const hangUp = () => stream.destroy();
    connecting.addEventListener('abort', hangUp);
    try {
      connecting.throwIfAborted();
      await client.connect();
      const [row] = (await client.query<{ version: number }>(sessionSql(options.statementTimeoutMs ?? 0))).rows;
      session.versionNum = row?.version ?? 0;
      return session;
    } catch (error) {
      stream.destroy();
      throw error;
    } finally {
      connecting.removeEventListener('abort', hangUp);
    }
  }

  private constructor(
    readonly client: pg.Client,
    readonly place: SourcePlace,
    readonly streamTarget: StreamTarget,
    readonly stream: StreamSocket,
    readonly sleep: NonNullable<ConnectOptions['sleep']>,
    readonly signal: AbortSignal,
  ) {
    client.connection.on('backendKeyData', (key: unknown) => {
      const cancel = cancelRequestFor(key);
      this.backendPid = cancel?.backendPid ?? 0;
      this.#cancelRequest = cancel?.request ?? null;
    });
    client.on('error', (error) => this.#lose(error));
    client.on('end', () => this.#lose(null));
  }

  get cancelRequest(): Uint8Array | null {
    return this.#cancelRequest;
  }

  get tls(): boolean {
    return this.streamTarget.tls !== null;
  }

  async query<Row extends pg.QueryResultRow>(
    sql: string,
    params: readonly unknown[] = [],
    signal: AbortSignal = this.signal,
  ): Promise<Row[]> {
    if (signal.aborted) throw cancelled(signal);
    if (this.#lost !== null) throw this.#lost;
    const cancelling = new CancelOnAbort(this, signal);
    try {
      // The extended protocol takes one statement only, so SQL that came from elsewhere cannot carry a second one.
      const query: pg.QueryConfig & { queryMode: 'extended' } = {
        text: sql,
        values: [...params],
        queryMode: 'extended',
      };
      return (await this.client.query<Row>(query)).rows;
    } catch (error) {
      // Only what the abort brought about counts as cancelled; an error that was on its way is told as it is.
      if (signal.aborted && (sqlState(error) === '57014' || sqlState(error) === null)) throw cancelled(signal, error);
      throw this.#explain(error);
    } finally {
      await cancelling.settled();
    }
  }

  takeOver(onBytes: OnBytes, onLost: (error: SluiceError) => void): RawConnection {
    if (this.#lost !== null) throw this.#lost;
    const raw = this.stream.takeOver(onBytes);
    this.#onLost = onLost;
    return {
      ...raw,
      release: () => {
        this.#onLost = null;
        raw.release();
      },
    };
  }

  async cancel(): Promise<void> {
    const request = this.#cancelRequest;
    if (request === null || this.#lost !== null) return;
    const patience = new AbortController();
    this.sleep(CANCEL_PATIENCE_MS, patience.signal).then(
      () => patience.abort(),
      () => {},
    );
    try {
      await sendCancel(this.streamTarget, request, patience.signal);
    } catch {
      // The caller hangs up when the statement goes on.
    } finally {
      patience.abort();
    }
  }

  async end(): Promise<void> {
    if (this.#lost !== null) return;
    const patience = new AbortController();
    const hangUp = this.sleep(END_PATIENCE_MS, patience.signal).then(
      () => this.stream.destroy(),
      () => {},
    );
    try {
      await this.client.end();
    } catch {
      this.stream.destroy();
    } finally {
      patience.abort();
      await hangUp;
    }
  }

  destroy(): void {
    this.stream.destroy();
  }

  #lose(error: Error | null): void {
    if (this.#lost !== null) return;
    this.#lost = sourceError(error ?? new Error('the connection has ended'), this.place);
    const tell = this.#onLost;
    this.#onLost = null;
    tell?.(this.#lost);
  }

  /** Once the connection is gone pg only says that it is; why was told before, to nobody in particular. */
  #explain(error: unknown): SluiceError {
    if (this.#lost !== null && sqlState(error) === null) return this.#lost;
    return sourceError(error, this.place);
  }
}

/** Cancels the running statement when the signal aborts, and hangs up when the server does not react. */
class CancelOnAbort {
  readonly #patience = new AbortController();
  #cancelling: Promise<void> | null = null;

  constructor(
    readonly session: Session,
    readonly signal: AbortSignal,
  ) {
    signal.addEventListener('abort', this.#onAbort);
  }

  readonly #onAbort = () => {
    this.#cancelling = this.session.cancel();
    this.session.sleep(CANCEL_PATIENCE_MS, this.#patience.signal).then(
      () => this.session.stream.destroy(),
      () => {},
    );
  };

  /** To be awaited after the statement, so that a cancel request on its way does not hit the next one. */
  async settled(): Promise<void> {
    this.signal.removeEventListener('abort', this.#onAbort);
    await this.#cancelling;
    this.#patience.abort();
  }
}

function passwordFor(target: ConnectTarget): string {
  if (target.password !== null && target.password !== '') return target.password;
  throw new SluiceError({
    code: 'SOURCE_LOGIN_REFUSED',
    message: `the server asks for the password of "${target.user}", and connections.${target.name} has none`,
    hint: `add to the connection: password: { env: NAME_OF_A_VARIABLE }`,
  });
}
