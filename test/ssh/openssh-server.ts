import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { access, chmod, constants, mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, Socket } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

/**
 * OpenSSH's own sshd on 127.0.0.1, with keys and a configuration of its own in a temporary folder: it reads nothing of
 * /etc/ssh and touches no other sshd. It runs as whoever runs the tests, who is also the one that logs in: by keys alone, as
 * passwords are root's to check.
 */

const run = promisify(execFile);

export type KeyKind = 'ed25519' | 'ecdsa' | 'rsa';
const KINDS: readonly KeyKind[] = ['ed25519', 'ecdsa', 'rsa'];

/** Where sshd locks up what it does before the login, when root starts it. Packages make it with their service. */
const PRIVILEGE_SEPARATION = '/run/sshd';
const SBIN = ['/usr/sbin', '/usr/local/sbin', '/sbin'];
const START_TIMEOUT_MS = 20_000;
const POLL_MS = 20;

export interface OpensshOptions {
  /** Lines of sshd_config; the first word of a keyword counts, so they come before the usual ones. */
  readonly config?: readonly string[];
}

export class OpensshServer {
  #process: ChildProcess | null = null;
  #watchdog: ChildProcess | null = null;

  /** @throws Error with how to install it, where OpenSSH is missing */
  static async start({ config = [] }: OpensshOptions = {}): Promise<OpensshServer> {
    const program = await sshdProgram();
    if (process.getuid?.() === 0) await mkdir(PRIVILEGE_SEPARATION, { recursive: true, mode: 0o755 });
    const dir = await mkdtemp(path.join(tmpdir(), 'sluice-sshd-'));
    const server = new OpensshServer(program, dir, userInfo().username, await freePort());
    try {
      await server.#prepare(config);
      await server.launch();
      return server;
    } catch (error) {
      await rm(dir, { recursive: true, force: true });
      throw error;
    }
  }

  private constructor(
    readonly program: string,
    readonly dir: string,
    /** Who logs in. */
    readonly user: string,
    readonly port: number,
  ) {}

  async authorize(...lines: readonly string[]): Promise<void> {
    await this.#keep('authorized_keys', `${lines.join('\n')}\n`);
  }

  /** The public half of a host key, as one line. */
  async hostKeyLine(kind: KeyKind): Promise<string> {
    const [type, key] = (await readFile(path.join(this.dir, `host_${kind}.pub`), 'utf8')).split(' ');
    return `${type} ${key}`;
  }

  /** What `ssh-keygen -lf` prints of a host key. */
  async hostFingerprint(kind: KeyKind): Promise<string> {
    return await keygenFingerprint(path.join(this.dir, `host_${kind}.pub`));
  }

  async log(): Promise<string> {
    return (await readFile(path.join(this.dir, 'sshd.log'), 'utf8')).slice(-4_000);
  }

  /** Starts it, also again after {@link kill}: with the same keys on the same port. */
  async launch(): Promise<void> {
    const started = (await readFile(path.join(this.dir, 'sshd.log'), 'utf8').catch(() => '')).length;
    const log = await open(path.join(this.dir, 'sshd.log'), 'a');
    const child = spawn(this.program, ['-D', '-e', '-f', path.join(this.dir, 'sshd_config')], {
      stdio: ['ignore', log.fd, log.fd],
      cwd: '/',
      env: { PATH: process.env['PATH'] ?? '' },
    });
    let failure: Error | null = null;
    child.once('error', (error) => {
      failure = error;
    });
    await log.close();
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (!(await readFile(path.join(this.dir, 'sshd.log'), 'utf8')).slice(started).includes('Server listening on')) {
      if (failure !== null) throw failure;
      if (child.exitCode !== null || performance.now() > deadline) {
        child.kill('SIGKILL');
        throw new Error(`sshd does not start:\n${await this.log()}`);
      }
      await sleep(POLL_MS);
    }
    child.unref();
    this.#process = child;
    this.#watchdog = watch(child.pid ?? 0, this.dir);
  }

  /** Each connection has a process of its own, which would outlive the listener: both are killed. */
  async kill(): Promise<void> {
    this.#watchdog?.kill('SIGKILL');
    this.#watchdog = null;
    const child = this.#process;
    this.#process = null;
    if (child?.pid === undefined) return;
    child.kill('SIGSTOP'); // so that none is added meanwhile
    const sessions = await descendants(child.pid);
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.ref();
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await ended;
    }
    for (const pid of sessions) killOne(pid);
  }

  /** How many connections are open. */
  async sessions(): Promise<number> {
    const pid = this.#process?.pid;
    return pid === undefined ? 0 : (await descendants(pid)).length;
  }

  async stop(): Promise<void> {
    await this.kill();
    await rm(this.dir, { recursive: true, force: true });
  }

  async #prepare(config: readonly string[]): Promise<void> {
    for (const kind of KINDS) await keygen(path.join(this.dir, `host_${kind}`), kind);
    await this.authorize();
    await this.#keep(
      'sshd_config',
      [
        ...config,
        `Port ${this.port}`,
        'ListenAddress 127.0.0.1',
        ...KINDS.map((kind) => `HostKey ${path.join(this.dir, `host_${kind}`)}`),
        `AuthorizedKeysFile ${path.join(this.dir, 'authorized_keys')}`,
        'PidFile none',
        'PermitRootLogin prohibit-password',
        'StrictModes no',
        'UsePAM no',
        'PasswordAuthentication no',
        'KbdInteractiveAuthentication no',
        'LogLevel VERBOSE',
        ...(await this.#penalties()),
        '',
      ].join('\n'),
    );
  }

  /** Since 9.8 sshd shuts an address out for a while that fails to log in, and here all come from one. */
  async #penalties(): Promise<string[]> {
    const file = path.join(this.dir, 'penalties');
    await writeFile(file, `HostKey ${path.join(this.dir, 'host_ed25519')}\nPerSourcePenalties no\n`);
    return await run(this.program, ['-T', '-f', file]).then(
      () => ['PerSourcePenalties no'],
      () => [],
    );
  }

  async #keep(name: string, text: string): Promise<void> {
    const file = path.join(this.dir, name);
    await writeFile(file, text);
    await chmod(file, 0o644);
  }
}

/** Makes a key pair, `file` and `file`.pub. */
export async function keygen(
  file: string,
  kind: KeyKind,
  { passphrase = '', format }: { readonly passphrase?: string; readonly format?: 'PEM' | 'PKCS8' } = {},
): Promise<void> {
  const form = format === undefined ? [] : ['-m', format];
  await run('ssh-keygen', ['-q', '-t', kind, '-N', passphrase, '-C', 'test', '-f', file, ...form]);
}

/** The second word of what `ssh-keygen -lf` prints. */
export async function keygenFingerprint(file: string): Promise<string> {
  const { stdout } = await run('ssh-keygen', ['-lf', file]);
  return stdout.split(' ')[1] ?? '';
}

/** OpenSSH's agent with nothing in it. */
export class OpensshAgent {
  private constructor(
    readonly socket: string,
    readonly child: ChildProcess,
  ) {}

  static async start(socket: string): Promise<OpensshAgent> {
    const child = spawn('ssh-agent', ['-D', '-a', socket], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', () => reject(new Error('ssh-agent does not start')));
      child.stdout.once('data', () => resolve());
    });
    return new OpensshAgent(socket, child);
  }

  async add(file: string): Promise<void> {
    await run('ssh-add', ['-q', file], { env: { ...process.env, SSH_AUTH_SOCK: this.socket } });
  }

  async stop(): Promise<void> {
    const ended = new Promise<void>((resolve) => this.child.once('exit', () => resolve()));
    this.child.kill();
    await ended;
  }
}

/** sshd must be called by its whole path. */
async function sshdProgram(): Promise<string> {
  const folders = (process.env['PATH'] ?? '').split(':').filter((folder) => path.isAbsolute(folder));
  const found = async (name: string, more: readonly string[] = []): Promise<string> => {
    for (const folder of [...more, ...folders]) {
      const file = path.join(folder, name);
      if (await isProgram(file)) return file;
    }
    throw new Error(
      `the suite needs OpenSSH, and there is no ${name}; on Debian: apt-get install openssh-server openssh-client`,
    );
  };
  await Promise.all(['ssh-keygen', 'ssh-agent', 'ssh-add'].map((name) => found(name)));
  return await found('sshd', SBIN);
}

function isProgram(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/** Children, and theirs. */
async function descendants(pid: number): Promise<number[]> {
  const parents = new Map<number, number>();
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, 'latin1').catch(() => '');
    // pid (command) state parent; the command may hold anything.
    const parent = /^\S+ \S (\d+)/.exec(stat.slice(stat.lastIndexOf(')')))?.[1];
    if (parent !== undefined) parents.set(Number(name), Number(parent));
  }
  const found = [pid];
  for (const one of found) for (const [child, parent] of parents) if (parent === one) found.push(child);
  return found.slice(1);
}

function killOne(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile.
  }
}

/** A shell that ends sshd and removes its folder when this process is gone, however it ends. */
function watch(pid: number, dir: string): ChildProcess {
  const script = `trap '' INT TERM HUP QUIT; cat >/dev/null; kill -KILL "$1" 2>/dev/null; rm -rf "$0"`;
  const watchdog = spawn('/bin/sh', ['-c', script, dir, String(pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
  });
  watchdog.unref();
  if (watchdog.stdin instanceof Socket) watchdog.stdin.unref();
  return watchdog;
}

/** Below the range of outgoing connections, so that it is free again after a kill. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 12_000 + Math.floor(Math.random() * 8_000);
    const taken = await new Promise<boolean>((resolve) => {
      const probe = connect({ port, host: '127.0.0.1' });
      probe.once('connect', () => {
        probe.destroy();
        resolve(true);
      });
      probe.once('error', () => resolve(false));
    });
    if (!taken) return port;
  }
}
