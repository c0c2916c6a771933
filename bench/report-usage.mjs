/**
 * Preloaded into a measured Node process (`--import`): at its end it writes one line of JSON to file descriptor 3, what
 * the process used from its start on, all threads together. The kernel counts both, so nothing is sampled or missed.
 */
import { readFileSync, writeSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

const REPORT_FD = 3;

/**
 * The high-water mark of this program alone. getrusage's maxrss may begin at the size of the process that forked us, so
 * it is only used where there is no /proc.
 */
function peakRssBytes() {
  try {
    const [, kib] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
    if (kib !== undefined) return Number(kib) * 1024;
  } catch {
    // not Linux
  }
  return process.resourceUsage().maxRSS * 1024;
}

// Worker threads run preloads too.
if (isMainThread) {
  process.once('exit', () => {
    const { user, system } = process.cpuUsage();
    writeSync(REPORT_FD, `${JSON.stringify({ cpuSeconds: (user + system) / 1e6, peakRssBytes: peakRssBytes() })}\n`);
  });
}
