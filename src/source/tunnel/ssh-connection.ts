import { readFile } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import ssh2, { type Client } from 'ssh2';
import { SluiceError } from '../../error/sluice-error.js';
import { type HostKeyPolicy, hostKeyAlgorithms, hostKeyError, judgeHostKey } from './host-key.js';
import { keysOf } from './known-hosts.js';
import { Login } from './login.js';
import { hopName, type SshHop } from './target.js';

/** An SSH connection that is logged in, over a stream that this one owns. */
export interface SshConnection {
  readonly client: Client;
  readonly stream: Duplex;
}

export interface SshOptions {
  /** Opens the stream to the hop's SSH server. Called again where the server has more than one host key to show. */
  readonly openStream: (signal: AbortSignal) => Promise<Duplex>;
  /** 0: none are sent. */
  readonly keepaliveMs: number;
}

/** Never reached: whether a connection lives is judged by what comes (tunnel.ts), not by answers alone. */
const KEEPALIVES_UNANSWERED = 1_000_000;

/**
 * Connects to one hop, checks its host key and logs in.
 * @throws SluiceError with a TUNNEL_ code; the signal's reason when it aborts
 */
export async function openSsh(hop: SshHop, options: SshOptions, signal: AbortSignal): Promise<SshConnection> {
  const policy = await hostKeyPolicy(hop);
  const shown: Buffer[] = [];
  for (;;) {
    const login = new Login(hop);
    const stream = await options.openStream(signal);
    const attempt = new Attempt(hop, policy, shown, login, stream);
    try {
      return await attempt.run(options.keepaliveMs, signal);
    } catch (error) {
      // A pin does not say of which kind its key is, so all that the server has are asked for before it counts as changed.
      if (!(error instanceof OtherKeyShown)) throw error;
      if (hostKeyAlgorithms(policy, shown).length === 0) throw hostKeyError('changed', hop, shown, policy);
    }
  }
}

/** @throws SluiceError CONFIG_INVALID when the known_hosts file cannot be read */
async function hostKeyPolicy(hop: SshHop): Promise<HostKeyPolicy> {
  if (hop.hostKey !== null) return { kind: 'pinned', fingerprint: hop.hostKey };
  if (hop.knownHosts === null) return { kind: 'none' };
  try {
    const text = await readFile(hop.knownHosts, 'utf8');
    return { kind: 'known', file: hop.knownHosts, keys: keysOf(text, hop.host, hop.port) };
  } catch (cause) {
    throw new SluiceError({
      code: 'CONFIG_INVALID',
      message: `${hop.option}.known_hosts: "${hop.knownHosts}" cannot be read`,
      hint: 'check the path (relative ones start at the config file) and that this user may read it',
      cause,
    });
  }
}

/** The server showed a key that is not the pinned one; it may have others. */
class OtherKeyShown extends Error {}

type Stage = 'greeting' | 'login' | 'ready';

/** One handshake and login. */
class Attempt {
  readonly #client = new ssh2.Client();
  #stage: Stage = 'greeting';
  #refused: Error | null = null;

  constructor(
    readonly hop: SshHop,
    readonly policy: HostKeyPolicy,
    readonly shown: Buffer[],
    readonly login: Login,
    readonly stream: Duplex,
  ) {}

  async run(keepaliveMs: number, signal: AbortSignal): Promise<SshConnection> {
    const client = this.#client;
    try {
      await new Promise<void>((resolve, reject) => {
        const onAbort = () => reject(signal.reason);
        if (signal.aborted) onAbort();
        signal.addEventListener('abort', onAbort, { once: true });
        const settled = (act: () => void) => () => {
          signal.removeEventListener('abort', onAbort);
          act();
        };
        client
          .on('handshake', () => {
            this.#stage = 'login';
          })
          .on('ready', settled(resolve))
          .on('error', (error: Error) => {
            const translated = this.#translate(error);
            if (translated !== null) settled(() => reject(translated))();
          })
          .on(
            'close',
            settled(() => reject(this.#closedEarly())),
          );
        client.connect({
          sock: this.stream,
          username: this.hop.user,
          readyTimeout: 0, // the signal ends what takes too long
          keepaliveInterval: keepaliveMs,
          keepaliveCountMax: KEEPALIVES_UNANSWERED,
          algorithms: { serverHostKey: hostKeyAlgorithms(this.policy, this.shown) },
          hostVerifier: (key: Buffer) => this.#checkKey(key),
          authHandler: this.login.handler,
        });
      });
      this.#stage = 'ready';
      return { client, stream: this.stream };
    } catch (error) {
      this.stream.on('error', () => {}); // what a destroyed stream still has to say
      this.stream.destroy();
      throw error;
    }
  }

  #checkKey(key: Buffer): boolean {
    const verdict = judgeHostKey(key, this.policy);
    if (verdict === 'trusted') return true;
    this.shown.push(key);
    this.#refused =
      this.policy.kind === 'pinned' && verdict === 'changed'
        ? new OtherKeyShown()
        : hostKeyError(verdict, this.hop, this.shown, this.policy);
    return false;
  }

  /** Null: the login goes on in another way. */
  #translate(error: Error): Error | null {
    if (this.#refused !== null) return this.#refused;
    if (error instanceof SluiceError) return error; // of the hop before
    const level: unknown = Reflect.get(error, 'level');
    const words = printable(error.message);
    switch (level) {
      case 'agent':
        return null;
      case 'client-authentication':
        return this.#loginRefused(this.login.story);
      case 'client-socket':
        return unreachable(
          this.hop,
          `broke the connection (${printable(String(Reflect.get(error, 'code') ?? words))})`,
        );
      default:
    }
    // A server that has run out of patience with failed attempts hangs up with a message.
    if (this.#stage === 'login') return this.#loginRefused(`${this.login.story}; it ended the connection: ${words}`);
    if (this.shown.length > 0) return hostKeyError('changed', this.hop, this.shown, this.policy);
    return new SluiceError({
      code: 'TUNNEL_UNREACHABLE',
      message: `no SSH connection to ${hopName(this.hop)} comes about: ${words}`,
      hint: `check that an SSH server listens at ${this.hop.option}.host and port, takes current algorithms, and is neither full (MaxStartups) nor shutting this address out for a while; its log says which (journalctl -u ssh)`,
    });
  }

  #loginRefused(story: string): SluiceError {
    const { hop } = this;
    return new SluiceError({
      code: 'TUNNEL_LOGIN_REFUSED',
      message: `the SSH host ${hopName(hop)} refuses the login (${story})`,
      hint: `check ${hop.option}.user and its private_key, password or agent: the public key belongs into ~/.ssh/authorized_keys there; \`ssh -v -p ${hop.port} ${hop.user}@${hop.host}\` shows more`,
    });
  }

  #closedEarly(): Error {
    if (this.#refused !== null) return this.#refused;
    return unreachable(
      this.hop,
      this.#stage === 'login' ? 'closed the connection before the login was done' : 'closed the connection at once',
    );
  }
}

function unreachable(hop: SshHop, what: string): SluiceError {
  return new SluiceError({
    code: 'TUNNEL_UNREACHABLE',
    message: `the SSH host ${hopName(hop)} ${what}`,
    hint: 'see its log (journalctl -u ssh): it may restart, be full (MaxStartups), or shut this address out for a while',
  });
}

/** Words of a server that is not to be trusted with a terminal. */
export function printable(text: string): string {
  return text
    .replace(/\p{Cc}+/gu, ' ')
    .trim()
    .slice(0, 300);
}
