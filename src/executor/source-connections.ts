import type { Config } from '../config/config.js';
import { resolveSecret, type SecretDeps } from '../config/secret.js';
import { SluiceError } from '../error/sluice-error.js';
import { type ConnectTarget, connectSource, type SourceConnection } from '../source/connect.js';

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

  async open(name: string, purpose: string, signal: AbortSignal): Promise<SourceConnection> {
    return connectSource(await this.target(name), { purpose, signal });
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
