import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, rename, rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort, isTaken } from '../free-port.js';

/** A server that is built from its published source by the Go toolchain. */
export interface GoProgram {
  readonly name: string;
  readonly module: string;
  /** A tag, or the name that Go gives to a commit. */
  readonly version: string;
}

export interface GoServerOptions {
  readonly program: GoProgram;
  readonly args: (place: { readonly port: number; readonly dataFolder: string }) => readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export interface GoServer {
  /** `http://127.0.0.1:<port>` */
  readonly endpoint: string;
  /** Ends the server and removes its data. */
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 30_000;
const POLL_MS = 25;
const ATTEMPTS = 5;

/** Starts a server on 127.0.0.1 with data of its own; several may run at once. It dies with this process, however that ends. */
export async function startGoServer(options: GoServerOptions): Promise<GoServer> {
  const binary = await builtProgram(options.program);
  const folder = await mkdtemp(path.join(tmpdir(), `sluice-${options.program.name}-`));
  try {
    const dataFolder = path.join(folder, 'data');
    await mkdir(dataFolder);
    for (let attempt = 1; ; attempt++) {
      const port = await freePort(10_000, 9_000);
      const child = await launch(binary, options.args({ port, dataFolder }), options.env, folder);
      if (await answers(child, port)) return supervised(child, port, folder);
      // Somebody may have taken the port between our look and the server's bind.
      if (attempt === ATTEMPTS) {
        const log = await readFile(path.join(folder, 'log'), 'utf8');
        throw new Error(`${options.program.name} does not start:\n${log.slice(-4_000)}`);
      }
    }
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/**
 * The program's path. Built on first use and kept for later runs in the user's cache folder; several processes may want
 * it at once, each builds its own then and the last rename stays.
 * @throws Error that says how to install Go where there is none
 */
export async function builtProgram(program: GoProgram): Promise<string> {
  const cache = path.join(process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'), 'sluice-test', 'bin');
  const built = path.join(cache, `${program.name}-${program.version}`);
  if (existsSync(built)) return built;
  await mkdir(cache, { recursive: true });
  const draft = await mkdtemp(path.join(cache, '.build-'));
  try {
    await goInstall(`${program.module}@${program.version}`, draft);
    await rename(path.join(draft, program.name), built);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
  return built;
}

async function goInstall(module: string, folder: string): Promise<void> {
  const child = spawn('go', ['install', module], {
    env: { ...process.env, GOBIN: folder, GOFLAGS: '' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(-4_000);
  });
  await new Promise<void>((resolve, reject) => {
    child.once('error', (cause: NodeJS.ErrnoException) => {
      const missing = cause.code === 'ENOENT';
      reject(
        missing
          ? new Error(
              `this suite builds ${module} and needs the Go toolchain: install Go (https://go.dev/dl) so that "go" is found`,
            )
          : cause,
      );
    });
    child.once('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`go install ${module} ended with ${code}:\n${complaint}`)),
    );
  });
}

async function launch(
  binary: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  folder: string,
): Promise<ChildProcess> {
  const log = await open(path.join(folder, 'log'), 'a');
  try {
    // Nothing of our environment: an AWS_ or MINIO_ variable of the caller must not reach the server.
    const child = spawn(binary, args, {
      cwd: folder,
      env: { PATH: process.env['PATH'] ?? '', HOME: folder, ...env },
      stdio: ['ignore', log.fd, log.fd],
    });
    await new Promise((resolve, reject) => child.once('spawn', resolve).once('error', reject));
    return child;
  } finally {
    await log.close();
  }
}

/** @returns false when the server has ended before it took a connection */
async function answers(child: ChildProcess, port: number): Promise<boolean> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (child.exitCode === null && child.signalCode === null) {
    if (await isTaken(port)) return true;
    if (performance.now() > deadline) {
      child.kill('SIGKILL');
      return false;
    }
    await sleep(POLL_MS);
  }
  return false;
}

function supervised(child: ChildProcess, port: number, folder: string): GoServer {
  const watchdog = startWatchdog(child, folder);
  child.unref();
  return {
    endpoint: `http://127.0.0.1:${port}`,
    stop: async () => {
      watchdog.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) {
        child.ref();
        const ended = new Promise((resolve) => child.once('exit', resolve));
        child.kill('SIGKILL');
        await ended;
      }
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/**
 * A shell that ends the server and removes its folder when our end of a pipe closes: that also happens when this
 * process is killed and can run nothing more. It deafens itself to signals meant for the whole process group.
 */
function startWatchdog(child: ChildProcess, folder: string): ChildProcess {
  const script = `trap '' INT TERM HUP QUIT; cat >/dev/null; kill -KILL "$1" 2>/dev/null; sleep 0.2; rm -rf "$0"`;
  const watchdog = spawn('/bin/sh', ['-c', script, folder, String(child.pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
  });
  watchdog.unref();
  if (watchdog.stdin instanceof Socket) watchdog.stdin.unref();
  return watchdog;
}
