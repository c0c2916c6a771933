import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { COMMANDS } from '../../src/cli/commands/all.js';
import { completionScript, SHELLS } from '../../src/cli/completion-script.js';

/** Completion as the shells do it: the script is read by a real one, which calls the real CLI. */

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
let folder: string;
let bin: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sluice-complete-'));
  bin = path.join(folder, 'bin');
  await mkdir(bin);
  await writeFile(path.join(bin, 'sluice'), `#!/bin/sh\nexec "${process.execPath}" "${MAIN}" "$@"\n`, { mode: 0o755 });
  await symlink(path.join(bin, 'sluice'), path.join(bin, 's'));
  const tables = 'tables: { public.users: {}, public.orders: {}, "billing.*": {} }';
  await writeFile(
    path.join(folder, 'sources.yaml'),
    `connections: { db: {} }\ndestinations: { lake: {}, warehouse: {} }\nsources: { shop: { ${tables} }, crm: {} }\n`,
  );
  await writeFile(path.join(folder, 'other.yaml'), 'sources: { other: {} }\n');
  await writeFile(path.join(folder, 'broken.yaml'), 'sources: [\n');
});

afterAll(() => rm(folder, { recursive: true, force: true }));

function has(shell: string): boolean {
  try {
    execFileSync(shell, ['-c', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function ask(shell: string, script: string): string[] {
  const out = execFileSync(shell, shell === 'bash' ? ['--norc', '-c', script] : ['-c', script], {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, PATH: `${bin}:${process.env['PATH']}` },
  });
  return out.split('\n').filter((line) => line !== '');
}

/** What bash would offer, its own splitting of words at colons and equals signs included. */
function bash(line: string, wordBreaks = ' \t\n"\'><=;|&(:'): string[] {
  const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  return ask(
    'bash',
    `${completionScript('bash')}
     complete -p sluice | grep -q -- '-F _sluice' || exit 1
     COMP_WORDBREAKS=${quote(wordBreaks)} COMP_LINE=${quote(line)} COMP_POINT=${line.length}
     COMP_WORDS=(${quote(line)}) COMP_CWORD=0
     _sluice sluice; printf '%s\\n' "\${COMPREPLY[@]}"`,
  );
}

describe.runIf(has('bash'))('bash', () => {
  test('completes every command', () => {
    const names = COMMANDS.filter(({ hidden }) => !hidden).map(({ name }) => name.split(' ')[0] ?? '');
    expect(bash('sluice ')).toEqual(expect.arrayContaining(names));
    expect(bash('sluice ')).not.toContain('complete');
  });

  test.each<{ line: string; words: string[] }>([
    { line: 'sluice va', words: ['vacuum', 'validate'] },
    { line: 'sluice cdc ', words: ['setup-sql'] },
    { line: 'sluice plan --det', words: ['--detailed-exitcode'] },
    { line: 'sluice --format ', words: ['arrow', 'csv', 'human', 'json', 'markdown', 'ndjson'] },
    { line: 'sluice ls --format=j', words: ['json'] },
    { line: 'sluice completion ', words: ['bash', 'fish', 'zsh'] },
    { line: 'sluice sync ', words: ['crm', 'shop', 'shop:public.orders', 'shop:public.users'] },
    { line: 'sluice sync shop:public.u', words: ['public.users'] },
    { line: 'sluice resync shop:public.users shop:public.o', words: ['public.orders'] },
    { line: 'sluice discover --source c', words: ['crm'] },
    { line: 'sluice discover --connection ', words: ['db'] },
    { line: 'sluice query --destination=w', words: ['warehouse'] },
    { line: 'sluice -c other.yaml sync ', words: ['other'] },
    { line: 'sluice --config=other.yaml sync ', words: ['other'] },
    { line: 'sluice -c broken.yaml sync ', words: [] },
    { line: 'sluice -c nowhere.yaml sync ', words: [] },
    { line: 'sluice show oth', words: ['other.yaml'] },
    { line: 'sluice plan --out=oth', words: ['other.yaml'] },
    { line: 'sluice nonsense ', words: [] },
    { line: 'sluice query ', words: [] },
  ])('$line', ({ line, words }) => expect(bash(line).sort()).toEqual(words));

  test('where a colon breaks no words, addresses stay whole', () => {
    expect(bash('sluice sync shop:public.u', ' \t\n')).toEqual(['shop:public.users']);
  });

  test('options of a command and those of all commands', () => {
    expect(bash('sluice discover --')).toEqual(
      expect.arrayContaining(['--source', '--schema', '--write', '--config', '--format', '--no-color', '--help']),
    );
  });
});

describe.runIf(has('zsh'))('zsh', () => {
  test('reads the script and offers addresses', () => {
    const script = `compdef() { :; }; compadd() { print -l -- $found; }
      ${completionScript('zsh')}
      words=(sluice sync 'shop:'); CURRENT=3; _sluice`;
    expect(ask('zsh', script)).toContain('shop:public.users');
  });
});

describe.runIf(has('fish'))('fish', () => {
  test('reads the script and offers addresses', () => {
    const found = ask('fish', `${completionScript('fish')}\ncomplete -C 'sluice sync shop:'`);
    expect(found.map((line) => line.split('\t')[0])).toContain('shop:public.users');
  });
});

test.each(SHELLS)('sluice completion %s prints its script', (shell) => {
  expect(execFileSync(process.execPath, [MAIN, 'completion', shell], { encoding: 'utf8' })).toBe(
    completionScript(shell),
  );
});
