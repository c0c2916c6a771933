import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** What one run of a program cost, from its start to its end, all threads together. */
export interface Cost {
  readonly wallSeconds: number;
  /** User and system time of the program itself; the server's work is not in it. */
  readonly cpuSeconds: number;
  readonly peakRssBytes: number;
}

export interface MeasuredRun {
  readonly cost: Cost;
  readonly stdout: string;
}

const PRELOAD = new URL('./report-usage.mjs', import.meta.url).href;
/** Kept of a failed program's complaints. */
const COMPLAINT_CHARS = 4_000;

/** A path below the project's root. */
export function projectPath(relative: string): string {
  return fileURLToPath(new URL(`../${relative}`, import.meta.url));
}

/**
 * Runs a Node program in a process of its own and measures it. Wall time is taken from outside, so starting and ending
 * Node count; CPU and peak RSS are the kernel's own counts, see report-usage.mjs.
 * @throws Error with the end of stderr when the program fails
 */
export async function runMeasured(
  argv: readonly string[],
  options: { readonly cwd: string; readonly signal: AbortSignal; readonly nodeFlags?: readonly string[] },
): Promise<MeasuredRun> {
  const startedAt = performance.now();
  const child = spawn(process.execPath, [...(options.nodeFlags ?? []), '--import', PRELOAD, ...argv], {
    cwd: options.cwd,
    // Colours, progress bars and a foreign locale must not depend on who runs the bench.
    env: { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '', TZ: 'UTC', NO_COLOR: '1' },
    signal: options.signal,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  const [stdout, stderr, usage] = [1, 2, 3].map((fd) => collect(child.stdio[fd]));
  let wallSeconds = 0;
  child.once('exit', () => {
    wallSeconds = (performance.now() - startedAt) / 1000;
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) {
    const complaint = `${stderr?.text}${stdout?.text}`.slice(-COMPLAINT_CHARS);
    throw new Error(`node ${argv.join(' ')} ended with ${code}\n${complaint}`);
  }
  const counted: unknown = JSON.parse(usage?.text ?? '');
  if (!isUsage(counted)) throw new Error(`node ${argv[0]} did not report what it used`);
  const { cpuSeconds, peakRssBytes } = counted;
  return { cost: { wallSeconds, cpuSeconds, peakRssBytes }, stdout: stdout?.text ?? '' };
}

function collect(stream: unknown): { text: string } {
  const collected = { text: '' };
  if (isReadable(stream)) {
    stream.setEncoding('utf8');
    stream.on('data', (chunk: string) => {
      collected.text += chunk;
    });
  }
  return collected;
}

function isReadable(stream: unknown): stream is NodeJS.ReadableStream {
  return typeof stream === 'object' && stream !== null && 'setEncoding' in stream;
}

function isUsage(value: unknown): value is { cpuSeconds: number; peakRssBytes: number } {
  return typeof value === 'object' && value !== null && 'cpuSeconds' in value && 'peakRssBytes' in value;
}
