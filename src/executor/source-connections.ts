import type { Config } from '../config/config.js';
import { resolveSecret, type SecretDeps } from '../config/secret.js';
import { SluiceError } from '../error/sluice-error.js';
import { type ConnectTarget, connectSource, type SourceConnection } from '../source/connect.js';
import { connectionFingerprint } from '../state/fingerprint.js';
import type { SourceState } from '../state/state.js';

/** Opens connections by the name of their entry. Secrets are resolved at that moment and kept nowhere else. */
export class SourceConnections {
  readonly #config: Config;
  readonly #secrets: SecretDeps;

  constructor(config: Config, secrets: SecretDeps) {
    this.#config = config;
    this.#secrets = secrets;
  }

  /** What a thread needs to connect by itself. @throws SluiceError SECRET_MISSING */
  async target(name: string): Promise<ConnectTarget> {
    const connection = this.#config.connections[name];
    if (connection === undefined) {
      throw new SluiceError({ code: 'CONFIG_INVALID', message: `connection "${name}" is not in the config` });
    }
    const password = connection.password === null ? null : await resolveSecret(connection.password, this.#secrets);
    return { ...connection, password };
  }

  /** @param statementTimeoutMs kept by the server; default 0: none */
  async open(name: string, purpose: string, signal: AbortSignal, statementTimeoutMs = 0): Promise<SourceConnection> {
    return connectSource(await this.target(name), { purpose, signal, statementTimeoutMs });
  }

  async with<T>(
    name: string,
    purpose: string,
    signal: AbortSignal,
    work: (connection: SourceConnection) => Promise<T>,
  ): Promise<T> {
    const connection = await this.open(name, purpose, signal);
    try {
      return await work(connection);
    } finally {
      await connection.end();
    }
  }
}

/**
 * The connection entry of a source: the one it names, or, for a source that has left the file, one that reaches the same
 * database, so that what it left behind there can be cleaned up. Null where there is none.
 */
export function connectionOf(config: Config, source: string, state: SourceState | undefined): string | null {
  const settings = config.sources[source];
  if (settings !== undefined) return settings.connection;
  const fingerprint = state?.connection_fingerprint ?? null;
  if (fingerprint === null) return null;
  return Object.values(config.connections).find((c) => connectionFingerprint(c) === fingerprint)?.name ?? null;
}
