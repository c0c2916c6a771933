/** Where a tunnel leads through, with secrets resolved. Plain data: it crosses to worker threads. Never log it. */
export interface TunnelTarget {
  /** First hop first; the last one reaches the database. At least one. */
  readonly hops: readonly SshHop[];
}

/** One SSH server on the way, and how to log in there. */
export interface SshHop {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string | null;
  /** The text of the key: OpenSSH's own format or PEM. */
  readonly privateKey: string | null;
  readonly passphrase: string | null;
  /** The agent's socket. */
  readonly agentSocket: string | null;
  /** `SHA256:` and 43 characters. */
  readonly hostKey: string | null;
  /** Absolute path of a known_hosts file. */
  readonly knownHosts: string | null;
  /** Where it stands in the config, for hints: `connections.shop_db.tunnel`. */
  readonly option: string;
}

/** `user@host:port`; may be shown. */
export function hopName(hop: Pick<SshHop, 'host' | 'port' | 'user'>): string {
  const host = hop.host.includes(':') ? `[${hop.host}]` : hop.host;
  return `${hop.user}@${host}:${hop.port}`;
}
