import { execFileSync } from 'node:child_process';

/** Worker threads and the CLI run compiled JavaScript, so the tests build it once before the first file. */
export default function buildOnce(): void {
  execFileSync('npm', ['run', '--silent', 'build'], { stdio: 'inherit' });
}
