import { execFile } from 'node:child_process';
import { realpath } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import type { ConfigSurroundings } from '../config/load.js';
import { SluiceError } from '../error/sluice-error.js';
import type { ConfigReading } from './command.js';
import { readingOf } from './config-file.js';

/** A config of this size would not be one. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/**
 * Reads the config file as it was at a commit of the git repository that it lies in.
 * @param file as given on the command line; its folder is what relative paths of the older version mean, too
 * @param ref a branch, tag or commit
 * @returns null where the commit has no such file
 * @throws SluiceError BASE_UNREADABLE
 */
export async function readBaseConfig(
  file: string,
  ref: string,
  surroundings: ConfigSurroundings,
): Promise<ConfigReading | null> {
  const { text, name } = await readAtRef(resolve(surroundings.cwd, file), ref, surroundings.env);
  if (text === null) return null;
  const [{ parseConfig }, { formatProblems }] = await Promise.all([
    import('../config/load.js'),
    import('../config/problem.js'),
  ]);
  const parsed = parseConfig(text, file, surroundings);
  const named = parsed.ok
    ? parsed
    : { ...parsed, problems: parsed.problems.map((problem) => ({ ...problem, file: name })) };
  return readingOf(named, formatProblems);
}

async function readAtRef(
  file: string,
  ref: string,
  env: ConfigSurroundings['env'],
): Promise<{ readonly text: string | null; readonly name: string }> {
  // A link to the file may lie outside of the repository.
  const real = await realpath(file).catch(() => file);
  const git = (...args: readonly string[]): Promise<GitAnswer> => runGit(args, dirname(real), env);
  const prefix = await git('rev-parse', '--show-prefix');
  if (prefix.code !== 0) {
    throw unreadable(
      `${file} does not lie in a git repository`,
      'run it in the checkout of the repository',
      prefix.stderr,
    );
  }
  const commit = await git('rev-parse', '--verify', '--quiet', '--end-of-options', `${ref}^{commit}`);
  if (commit.code !== 0) {
    const [, remote = 'origin', branch = ref] = /^(origin|upstream)\/(.+)$/.exec(ref) ?? [];
    throw unreadable(
      `git knows no commit "${ref}"`,
      `a shallow checkout may lack it: git fetch ${remote} ${branch} (in GitHub Actions: fetch-depth: 0 of actions/checkout)`,
      commit.stderr,
    );
  }
  const path = `${prefix.stdout.replace(/\n$/, '')}${basename(real)}`;
  const name = `${ref}:${path}`;
  const tree = await git('--literal-pathspecs', 'ls-tree', '--full-tree', '-z', commit.stdout.trim(), '--', path);
  if (tree.code !== 0) throw unreadable(`git cannot read ${name}`, 'see what git says of it', tree.stderr);
  if (tree.stdout === '') return { text: null, name };
  const [, mode = '', kind = '', blob = ''] = /^(\d+) (\w+) ([0-9a-f]+)\t/.exec(tree.stdout) ?? [];
  if (kind !== 'blob' || mode === '120000') {
    throw unreadable(`${name} is no file, but a link or a folder`, 'name the file itself with -c FILE');
  }
  const content = await git('cat-file', 'blob', blob);
  if (content.code !== 0) throw unreadable(`git cannot read ${name}`, 'see what git says of it', content.stderr);
  return { text: content.stdout, name };
}

interface GitAnswer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function runGit(args: readonly string[], cwd: string, env: ConfigSurroundings['env']): Promise<GitAnswer> {
  const options = { cwd, env: { ...env, LC_ALL: 'C', GIT_TERMINAL_PROMPT: '0' }, maxBuffer: MAX_OUTPUT_BYTES };
  return new Promise((done, fail) => {
    execFile('git', args, options, (error, stdout, stderr) => {
      if (error === null) done({ code: 0, stdout, stderr });
      else if (typeof error.code === 'number') done({ code: error.code, stdout, stderr });
      else fail(unreadable('git could not be started', 'install git, or compare without --base', error));
    });
  });
}

function unreadable(message: string, hint: string, cause: unknown = undefined): SluiceError {
  const reason = typeof cause === 'string' ? cause.trim().split('\n')[0] : cause;
  return new SluiceError({ code: 'BASE_UNREADABLE', message, cause: reason === '' ? undefined : reason, hint });
}
