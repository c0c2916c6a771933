import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Screen } from './screen.js';

/** The CLI as `npm run build` made it. */
export const CLI_FILE = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** Runs the real CLI as a process of its own, in the folder of the demo's sources.yaml. */
export class Cli {
  readonly #folder: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #screen: Screen;
  readonly #signal: AbortSignal;

  /** @param env is added to this process's own environment */
  constructor(folder: string, env: Readonly<Record<string, string>>, screen: Screen, signal: AbortSignal) {
    this.#folder = folder;
    this.#env = { ...process.env, ...env };
    this.#screen = screen;
    this.#signal = signal;
  }

  /** Shows the command and lets it write to our terminal. @throws Error where it ends with anything but 0 */
  async show(...args: string[]): Promise<void> {
    this.#screen.command(sluice(args));
    await this.#run(args, 'inherit');
  }

  /** Runs a command quietly and gives back its JSON. @throws Error where it ends with anything but 0 */
  async read(...args: string[]): Promise<unknown> {
    return JSON.parse(await this.#run([...args, '--format', 'json'], 'pipe'));
  }

  /** Runs a command quietly and ends it with SIGKILL after so long. */
  async kill(afterMs: number, ...args: string[]): Promise<'killed' | 'ended before'> {
    this.#screen.command(`${sluice(args)} & sleep ${(afterMs / 1_000).toFixed(1)}; kill -9 $!`);
    this.#signal.throwIfAborted();
    const child = spawn(process.execPath, [CLI_FILE, ...args], { cwd: this.#folder, env: this.#env, stdio: 'ignore' });
    const timer = setTimeout(() => child.kill('SIGKILL'), afterMs);
    try {
      await ended(child);
      this.#signal.throwIfAborted();
      return child.signalCode === 'SIGKILL' ? 'killed' : 'ended before';
    } finally {
      clearTimeout(timer);
    }
  }

  /** @returns what it wrote to stdout, where that is piped */
  async #run(args: readonly string[], output: 'inherit' | 'pipe'): Promise<string> {
    this.#signal.throwIfAborted();
    const child = spawn(process.execPath, [CLI_FILE, ...args], {
      cwd: this.#folder,
      env: this.#env,
      stdio: ['ignore', output, output],
    });
    // A Ctrl-C has reached the child already, as it belongs to the same terminal; then this hastens it.
    const stop = () => child.kill('SIGTERM');
    this.#signal.addEventListener('abort', stop);
    let stdout = '';
    let stderr = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    try {
      const code = await ended(child);
      this.#signal.throwIfAborted();
      if (code !== 0) throw new Error(`${sluice(args)} ended with ${code}\n${stdout}${stderr}`.trimEnd());
      return stdout;
    } finally {
      this.#signal.removeEventListener('abort', stop);
    }
  }
}

/** @returns the exit code; null after a signal */
function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
}

function sluice(args: readonly string[]): string {
  return ['sluice', ...args.map(quoted)].join(' ');
}

/** As a shell wants it. */
function quoted(word: string): string {
  if (/^[\w./:=-]+$/.test(word)) return word;
  return /["$`\\!]/.test(word) ? `'${word.replaceAll("'", "'\\''")}'` : `"${word}"`;
}
