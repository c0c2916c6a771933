import { execFileSync } from 'node:child_process';

/**
 * Worker threads and the CLI run compiled JavaScript, so the tests build it once before the first file. Nothing is written
 * where nothing changed, so that a run beside this one does not lose the ground under its feet.
 */
export default function buildOnce(): void {
  execFileSync('npm', ['run', '--silent', 'build'], { stdio: 'inherit' });
}
