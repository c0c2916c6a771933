import { createHash, timingSafeEqual } from 'node:crypto';
import { type AddressInfo, connect, type Socket } from 'node:net';
import ssh2, { type AuthContext, type Connection, type ParsedKey, type ServerConfig } from 'ssh2';

/** An SSH server in this process that forwards connections, with the faults that tests ask it for. */

export interface SshServerOptions {
  readonly user?: string;
  readonly password?: string;
  /** Public keys as one line of authorized_keys each. */
  readonly authorizedKeys?: readonly string[];
  /** PEM or OpenSSH. Default: one ed25519 key. */
  readonly hostKeys?: readonly string[];
  /** Takes the password by keyboard-interactive alone, as PAM does. */
  readonly interactive?: boolean;
  /** Both a key and the password. */
  readonly both?: boolean;
}

export type ForwardPolicy = 'allow' | 'refuse' | 'hang';

export class SshServer {
  readonly port: number;
  readonly hostKey: string;
  readonly hostKeyLine: string;
  /** How many SSH connections were accepted, and how many connections were forwarded. */
  connections = 0;
  forwarded = 0;
  forward: ForwardPolicy = 'allow';
  /** `host:port` of each forwarded connection, as the client asked for it. */
  readonly asked: string[] = [];
  /** Other places for what the client asks for. */
  readonly names = new Map<string, { readonly host: string; readonly port: number }>();
  readonly #live = new Set<{ readonly connection: Connection; readonly sockets: Set<Socket> }>();

  private constructor(
    readonly server: InstanceType<typeof ssh2.Server>,
    readonly raw: Set<Socket>,
    key: ParsedKey,
    readonly options: SshServerOptions,
  ) {
    this.port = portOf(server);
    this.hostKey = fingerprint(key.getPublicSSH());
    this.hostKeyLine = `${key.type} ${key.getPublicSSH().toString('base64')}`;
  }

  static async start(options: SshServerOptions = {}, port = 0): Promise<SshServer> {
    const hostKeys = [...(options.hostKeys ?? [makeKey('ed25519').private])];
    const first = parsed(hostKeys[0] ?? '');
    const config: ServerConfig = { hostKeys };
    let self: SshServer | null = null;
    const server = new ssh2.Server(config, (connection) => self?.accept(connection));
    const raw = new Set<Socket>();
    Reflect.get(server, '_srv').on('connection', (socket: Socket) => {
      raw.add(socket);
      socket.once('close', () => raw.delete(socket));
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', resolve);
    });
    self = new SshServer(server, raw, first, options);
    return self;
  }

  /** Hangs up on everybody without a word; the server goes on. */
  kill(): void {
    for (const socket of [...this.raw]) socket.destroy();
  }

  /** From now on nothing is read or written, while the connections stand. */
  freeze(): void {
    for (const socket of this.raw) {
      socket.pause();
      socket.removeAllListeners('data');
      socket.write = () => true;
    }
    for (const { sockets } of this.#live) for (const socket of sockets) socket.pause();
  }

  get open(): number {
    return this.raw.size;
  }

  async stop(): Promise<void> {
    this.kill();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  accept(connection: Connection): void {
    this.connections += 1;
    const live = { connection, sockets: new Set<Socket>() };
    this.#live.add(live);
    const keyAccepted = { done: false };
    connection.on('error', () => {});
    connection.on('close', () => {
      this.#live.delete(live);
      for (const socket of live.sockets) socket.destroy();
    });
    connection.on('authentication', (context) => this.#authenticate(context, keyAccepted));
    connection.on('tcpip', (accept, reject, { destIP, destPort }) => {
      this.asked.push(`${destIP}:${destPort}`);
      if (this.forward === 'refuse') {
        refuse(connection, reject, PROHIBITED, 'open failed');
        return;
      }
      if (this.forward === 'hang') return;
      const to = this.names.get(destIP) ?? { host: destIP, port: destPort };
      const socket = connect({ ...to, noDelay: true });
      live.sockets.add(socket);
      let connected = false;
      socket.on('error', () => {
        if (!connected) refuse(connection, reject, CONNECT_FAILED, 'Connection refused');
      });
      socket.once('connect', () => {
        connected = true;
        this.forwarded += 1;
        const channel = accept();
        channel.on('error', () => {});
        channel.pipe(socket).pipe(channel);
        socket.on('error', () => channel.close());
        channel.on('close', () => socket.destroy());
      });
      socket.once('close', () => live.sockets.delete(socket));
    });
  }

  #authenticate(context: AuthContext, keyAccepted: { done: boolean }): void {
    const { user = 'tunnel', password, authorizedKeys = [], interactive = false, both = false } = this.options;
    const methods = [
      ...(authorizedKeys.length > 0 && !keyAccepted.done ? (['publickey'] as const) : []),
      ...(password === undefined || (both && !keyAccepted.done)
        ? []
        : [interactive ? ('keyboard-interactive' as const) : ('password' as const)]),
    ];
    const refuse = () => context.reject([...methods]);
    const decide = (accepted: boolean) => (accepted ? context.accept() : refuse());
    if (context.username !== user) {
      refuse();
      return;
    }
    switch (context.method) {
      case 'publickey': {
        const lines = authorizedKeys.map((line) => parsed(line));
        const key = lines.find((one) => one.getPublicSSH().equals(context.key.data));
        const { signature, blob } = context;
        const signed = signature !== undefined && blob !== undefined;
        if (key === undefined || (signed && key.verify(blob, signature, context.hashAlgo) !== true)) refuse();
        else if (signed && both) {
          keyAccepted.done = true;
          context.reject(['password'], true);
        } else context.accept();
        break;
      }
      case 'password':
        decide(!interactive && password !== undefined && same(context.password, password));
        break;
      case 'keyboard-interactive':
        if (!interactive || password === undefined) refuse();
        else {
          context.prompt([{ prompt: 'Password: ', echo: false }], (answers) => {
            const [answer = ''] = Array.isArray(answers) ? answers.map(String) : [];
            decide(same(answer, password));
          });
        }
        break;
      default:
        refuse();
    }
  }
}

/** Reasons of SSH_MSG_CHANNEL_OPEN_FAILURE (RFC 4254, section 5.1). */
const PROHIBITED = 1;
const CONNECT_FAILED = 2;

/** Answers as sshd does; ssh2's server class knows one reason alone and no words. */
function refuse(connection: Connection, reject: () => void, reason: number, words: string): void {
  const protocol: unknown = Reflect.get(connection, '_protocol');
  if (typeof protocol !== 'object' || protocol === null) throw new Error('ssh2 has changed');
  const original: unknown = Reflect.get(protocol, 'channelOpenFail');
  if (typeof original !== 'function') throw new Error('ssh2 has changed');
  Reflect.set(protocol, 'channelOpenFail', (id: number) => Reflect.apply(original, protocol, [id, reason, words]));
  try {
    reject();
  } finally {
    Reflect.set(protocol, 'channelOpenFail', original);
  }
}

export type KeyKind = 'ed25519' | 'ecdsa' | 'rsa';

/** A key pair in OpenSSH's format; `public` is a line of authorized_keys. */
export function makeKey(kind: KeyKind, passphrase?: string): { readonly private: string; readonly public: string } {
  for (;;) {
    const key = generateKey(kind, passphrase);
    // One in two hundred of ssh2's own ed25519 keys is malformed; OpenSSH's and Node's are all read.
    if (!(ssh2.utils.parseKey(key.private, passphrase) instanceof Error)) return key;
  }
}

function generateKey(kind: KeyKind, passphrase?: string): { readonly private: string; readonly public: string } {
  const { generateKeyPairSync } = ssh2.utils;
  if (passphrase === undefined) {
    if (kind === 'ed25519') return generateKeyPairSync('ed25519');
    return kind === 'ecdsa' ? generateKeyPairSync('ecdsa', { bits: 256 }) : generateKeyPairSync('rsa', { bits: 2048 });
  }
  const lock = { passphrase, cipher: 'aes256-ctr', rounds: 4 };
  if (kind === 'ed25519') return generateKeyPairSync('ed25519', lock);
  return kind === 'ecdsa'
    ? generateKeyPairSync('ecdsa', { bits: 256, ...lock })
    : generateKeyPairSync('rsa', { bits: 2048, ...lock });
}

export function fingerprint(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;
}

function parsed(text: string): ParsedKey {
  const key = ssh2.utils.parseKey(text);
  if (key instanceof Error) throw key;
  const [one] = [key].flat();
  if (one === undefined) throw new Error('no key');
  return one;
}

function portOf(server: InstanceType<typeof ssh2.Server>): number {
  const address: AddressInfo | string | null = server.address();
  if (address === null || typeof address === 'string') throw new Error('the SSH server has no port');
  return address.port;
}

function same(left: string, right: string): boolean {
  const [a, b] = [Buffer.from(left), Buffer.from(right)];
  return a.length === b.length && timingSafeEqual(a, b);
}
