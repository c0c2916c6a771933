import { expect } from 'vitest';
import type { ErrorCode } from '../../src/error/codes.js';
import { toPlain } from '../../src/error/sluice-error.js';
import {
  type ConnectOptions,
  type ConnectTarget,
  connectSource,
  type SourceConnection,
} from '../../src/source/connect.js';
import { closeIdleTunnels } from '../../src/source/tunnel/shared-tunnels.js';
import type { SshHop } from '../../src/source/tunnel/target.js';
import type { TestPostgres } from '../postgres/server.js';

const never = new AbortController().signal;

/** A hop to a server on this machine. */
export function localHop(port: number, changes: Partial<SshHop>): SshHop {
  return {
    host: '127.0.0.1',
    port,
    user: 'tunnel',
    password: null,
    privateKey: null,
    passphrase: null,
    agentSocket: null,
    hostKey: null,
    knownHosts: null,
    option: 'connections.shop_db.tunnel',
    ...changes,
  };
}

/** A server's database behind so many hops, without TLS. */
export function behind(hops: readonly SshHop[], postgres: TestPostgres): ConnectTarget {
  return {
    name: 'shop_db',
    host: postgres.host,
    port: postgres.port,
    database: postgres.database,
    user: postgres.user,
    password: postgres.password,
    tls: { mode: 'disable', caFile: null, certFile: null, keyFile: null },
    tunnel: { hops },
    connectTimeoutMs: 20_000,
  };
}

/** The sessions of a test; ended together, so that the next test goes through no tunnel that stands already. */
export class Sessions {
  readonly #opened: SourceConnection[] = [];

  async open(to: ConnectTarget, deps: Partial<ConnectOptions> = {}): Promise<SourceConnection> {
    const connection = await connectSource(to, { purpose: 'test', signal: never, ...deps });
    this.#opened.push(connection);
    return connection;
  }

  /** What keeps a session from being opened. */
  failure(to: ConnectTarget): Promise<{ code: ErrorCode; message: string; hint?: string }> {
    return this.open(to).then(
      () => expect.fail('it connected'),
      (error: unknown) => toPlain(error),
    );
  }

  async end(): Promise<void> {
    await Promise.all(this.#opened.splice(0).map((connection) => connection.end()));
    closeIdleTunnels();
  }
}
