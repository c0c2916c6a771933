import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { fakeConfig } from '../../../test/fake/engine.js';
import { isInstalled } from '../../../test/installed.js';
import { systemdUnit, type UnitFacts } from './unit.js';
import { factsOfConfig } from './unit-facts.js';

const run = promisify(execFile);

function facts(patch: Partial<UnitFacts> = {}): UnitFacts {
  return {
    version: '1.2.3',
    node: process.execPath,
    script: '/opt/sluice/main.js',
    configFile: '/etc/sluice/sources.yaml',
    configFolder: '/etc/sluice',
    user: 'sluice',
    credentials: ['shop', 'lake-key'],
    variables: ['BILLING_PASSWORD'],
    writable: ['/var/lib/sluice/state', '/srv/warehouse'],
    ...patch,
  };
}

const linesOf = (unit: string, option: string): string[] =>
  unit
    .split('\n')
    .filter((line) => line.startsWith(`${option}=`))
    .map((line) => line.slice(option.length + 1));

test('credentials are loaded, and what lies in the state directory is not named again', () => {
  const unit = systemdUnit(facts());
  expect(linesOf(unit, 'LoadCredential')).toEqual([
    'shop:/etc/sluice/credentials/shop',
    'lake-key:/etc/sluice/credentials/lake-key',
  ]);
  expect(linesOf(unit, 'ReadWritePaths')).toEqual(['/srv/warehouse']);
  expect(unit).toContain('# Secrets as lines NAME=value in /etc/sluice/environment, mode 0600: BILLING_PASSWORD');
});

test('spaces, quotes, percent and dollar signs of paths are no syntax', () => {
  const unit = systemdUnit(
    facts({ configFile: '/srv/a b/50%/$HOME/s.yaml', configFolder: '/srv/a b/50%', writable: ['/srv/a "b"'] }),
  );
  expect(linesOf(unit, 'ExecStart')).toEqual([
    `${process.execPath} /opt/sluice/main.js daemon -c "/srv/a b/50%%/$$HOME/s.yaml"`,
  ]);
  expect(linesOf(unit, 'WorkingDirectory')).toEqual(['/srv/a b/50%%']);
  expect(linesOf(unit, 'ReadWritePaths')).toEqual(['"/srv/a \\"b\\""']);
});

test('a config tells its secrets and the folders that are written to', () => {
  const config = fakeConfig(
    {},
    {
      alerts: [
        { type: 'webhook', url: { kind: 'env', name: 'HOOK' }, headers: {}, timeoutMs: 1, on: [] },
        { type: 'webhook', url: { kind: 'credential', name: 'hook' }, headers: {}, timeoutMs: 1, on: [] },
      ],
    },
  );
  expect(factsOfConfig(config)).toEqual({
    credentials: ['hook'],
    variables: ['HOOK'],
    writable: ['/srv', '/srv/.sluice'],
  });
});

describe.skipIf(!isInstalled('systemd-analyze'))('systemd itself', () => {
  /** Runs systemd-analyze on the unit; the program that it starts has to be there. */
  async function analyze(...args: string[]): Promise<string> {
    const folder = await mkdtemp(path.join(tmpdir(), 'sluice unit '));
    try {
      // Others may look into it, as the unit's account does.
      await chmod(folder, 0o755);
      const unit = path.join(folder, 'sluice.service');
      await writeFile(unit, systemdUnit(facts({ configFolder: folder, writable: [folder], user: 'root' })));
      const { stdout, stderr } = await run('systemd-analyze', [...args, unit], {
        env: { ...process.env, SYSTEMD_COLORS: '0' },
      });
      return `${stdout}${stderr}`;
    } finally {
      await rm(folder, { recursive: true });
    }
  }

  test('finds nothing wrong with it', async () => {
    const output = await analyze('verify', '--recursive-errors=no');
    expect(output.split('\n').filter((line) => line.includes('sluice.service'))).toEqual([]);
  });

  test('calls its exposure low', async () => {
    const output = await analyze('security', '--offline=true', '--no-pager');
    const level = Number(/exposure level for sluice\.service: ([\d.]+)/.exec(output)?.[1]);
    expect(level).toBeGreaterThan(0);
    expect(level).toBeLessThan(3);
  });
});
