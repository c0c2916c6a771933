import type { Config, SecretReference, SshHopConfig, TunnelConfig } from '../config/config.js';
import { resolveSecret, type SecretDeps } from '../config/secret.js';
import { SluiceError } from '../error/sluice-error.js';
import { type ConnectTarget, connectSource, type SourceConnection } from '../source/connect.js';
import type { SshHop, TunnelTarget } from '../source/tunnel/target.js';
import { connectionFingerprint } from '../state/fingerprint.js';
import type { SourceState } from '../state/state.js';

/** Opens connections by the name of their entry. Secrets are resolved at that moment and kept nowhere else. */
export class SourceConnections {
  readonly #config: Pick<Config, 'connections'>;
  readonly #secrets: SecretDeps;

  constructor(config: Pick<Config, 'connections'>, secrets: SecretDeps) {
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
    const tunnel = connection.tunnel === null ? null : await this.#tunnel(connection.tunnel, name);
    return { ...connection, password, tunnel };
  }

  async #tunnel(tunnel: TunnelConfig, connection: string): Promise<TunnelTarget> {
    const option = `connections.${connection}.tunnel`;
    const through = tunnel.through.map((hop, index) => this.#hop(hop, `${option}.through[${index}]`));
    return { hops: await Promise.all([...through, this.#hop(tunnel, option)]) };
  }

  async #hop(hop: SshHopConfig, option: string): Promise<SshHop> {
    const resolve = (secret: SecretReference | null) => (secret === null ? null : resolveSecret(secret, this.#secrets));
    const { host, port, user, hostKey, knownHosts } = hop;
    return {
      host,
      port,
      user,
      hostKey,
      knownHosts,
      option,
      password: await resolve(hop.password),
      privateKey: await resolve(hop.privateKey),
      passphrase: await resolve(hop.passphrase),
      agentSocket: hop.agent ? this.#agentSocket(option) : null,
    };
  }

  #agentSocket(option: string): string {
    const socket = this.#secrets.env['SSH_AUTH_SOCK'];
    if (socket !== undefined && socket !== '') return socket;
    throw new SluiceError({
      code: 'SECRET_MISSING',
      message: `${option}.agent: SSH_AUTH_SOCK is not set, so there is no agent to ask for keys`,
      hint: 'start one for the process that runs sluice: eval "$(ssh-agent)" && ssh-add ~/.ssh/id_ed25519; a service is better off with private_key',
    });
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

/** Nothing in the config reaches the database of a source any more. */
export function noConnection(config: Config, source: string): SluiceError {
  return new SluiceError({
    code: 'ADDRESS_UNKNOWN',
    address: source,
    message: `no connection in ${config.file} reaches the database of source "${source}"`,
    hint: `put its connection back into the file; if the database is gone for good: sluice state forget ${source}`,
  });
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
