import { defineConfig } from 'vitest/config';

// Tunnels through OpenSSH's own sshd, which has to be installed: `npm run test:ssh`, part of .ci/run.
export default defineConfig({
  test: {
    globalSetup: ['test/build-once.ts'],
    include: ['test/ssh/**/*.ssh.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 1,
  },
});
