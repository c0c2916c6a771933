import { execFile } from 'node:child_process';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeEach, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { freshWorkspaces } from './fresh-workspaces.js';
import { at, items } from './reported-error.js';
import { exists, type ShopConfig, type Workspace } from './workspace.js';

/** The shell of the examples for GitHub Actions and GitLab, run as their runners do, in a repository of its own. */

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const USERS: ShopConfig = { tables: { 'public.users': {} } };
const BOTH: ShopConfig = { tables: { 'public.users': {}, 'public.orders': { method: 'full_table' } } };
const BROKEN: ShopConfig = { tables: { 'public.users': {}, 'public.usres': {} } };

const fresh = freshWorkspaces('ci');
let workspace: Workspace;

beforeEach(async () => {
  workspace = await fresh();
  await workspace.source(`
    create table users (id bigint primary key, name text);
    create table orders (id bigint primary key, total numeric(10,2));`);
  await mkdir(workspace.file('.bin'));
  await writeFile(workspace.file('.bin/sluice'), `#!/bin/sh\nexec "${process.execPath}" "${MAIN}" "$@"\n`);
  await chmod(workspace.file('.bin/sluice'), 0o755);
  await workspace.configure(USERS);
  await git('init', '--quiet', '--initial-branch=main');
  await git('add', 'sources.yaml');
  await git('commit', '--quiet', '-m', 'first');
  await git('update-ref', 'refs/remotes/origin/main', 'main');
});

async function git(...args: readonly string[]): Promise<void> {
  const identity = ['-c', 'user.name=test', '-c', 'user.email=test@example.com'];
  await promisify(execFile)('git', [...identity, ...args], { cwd: workspace.folder });
}

interface Shell {
  readonly code: number;
  readonly output: string;
}

/** As both runners start it: bash that stops at the first failure, also of a pipe. */
function bash(script: string, env: Readonly<Record<string, string>>): Promise<Shell> {
  const options = {
    cwd: workspace.folder,
    env: { PATH: `${workspace.file('.bin')}${path.delimiter}${process.env['PATH']}`, HOME: workspace.folder, ...env },
  };
  return new Promise((done) => {
    execFile('bash', ['--noprofile', '--norc', '-eo', 'pipefail', '-c', script], options, (error, stdout, stderr) => {
      const output = `${stdout}${stderr}`;
      if (output.includes(workspace.postgres.password)) throw new Error(`the password is shown:\n${output}`);
      done({ code: error === null ? 0 : Number(error.code ?? -1), output });
    });
  });
}

async function example(name: string): Promise<unknown> {
  const text = await readFile(fileURLToPath(new URL(`../../examples/${name}`, import.meta.url)), 'utf8');
  const document: unknown = parse(text);
  return document;
}

async function planComment(): Promise<string> {
  const text = await readFile(workspace.file('plan.md'), 'utf8');
  await rm(workspace.file('plan.md'));
  return text;
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '');

describe('GitHub Actions', () => {
  const values = (password: string): Readonly<Record<string, string>> => ({
    'secrets.SHOP_PASSWORD': password,
    'github.base_ref': 'main',
  });

  /** One step, with its expressions replaced; its outputs are known to the ones after it. */
  async function step(job: string, id: string, known: Record<string, string>): Promise<Shell> {
    const workflow = await example('github-actions/plan-and-apply.yml');
    const found = items(at(at(at(workflow, 'jobs'), job), 'steps')).find((each) => at(each, 'id') === id);
    const env = Object.entries({ ...Object(at(found, 'env')) }).map(([name, value]): [string, string] => [
      name,
      text(value).replace(/\$\{\{ ([\w.]+) \}\}/g, (_, expression: string) => {
        const replaced = known[expression];
        if (replaced === undefined) throw new Error(`nothing is known of ${expression}`);
        return replaced;
      }),
    ]);
    const [outputs, summary] = [workspace.file('.outputs'), workspace.file('.summary')];
    await writeFile(outputs, '');
    const ran = await bash(text(at(found, 'run')), {
      ...Object.fromEntries(env),
      GITHUB_OUTPUT: outputs,
      GITHUB_STEP_SUMMARY: summary,
    });
    for (const line of (await readFile(outputs, 'utf8')).split('\n')) {
      const [name = '', value = ''] = line.split('=');
      if (name !== '') known[`steps.${id}.outputs.${name}`] = value;
    }
    return ran;
  }

  test('a pull request is planned, and its merge applied', async () => {
    const known = { ...values(workspace.postgres.password) };
    expect(await step('plan', 'plan', known)).toMatchObject({ code: 0 });
    expect(known).toMatchObject({ 'steps.plan.outputs.code': '2' });
    expect(await planComment()).toContain('| `+` | `shop:public.users` |');
    expect((await step('plan', 'verdict', known)).code).toBe(0);

    expect(await step('apply', 'apply', known)).toMatchObject({ code: 0 });
    expect(await workspace.onServer()).toMatchObject({ slots: [workspace.slot] });
    await planComment();
    expect((await step('apply', 'apply', known)).output).toContain('nothing to apply');
    expect(await readFile(workspace.file('.summary'), 'utf8')).toContain('No changes.');
  });

  test('from a fork the file is compared with the base branch', async () => {
    await workspace.configure(BOTH);
    const known = { ...values('') };
    expect(await step('plan', 'plan', known)).toMatchObject({ code: 0 });
    const comment = await planComment();
    expect(comment).toContain('The file compared with the one at origin/main');
    expect(comment).toContain('`shop:public.orders`');
    expect(comment).not.toContain('`shop:public.users`');
    expect((await step('plan', 'verdict', known)).code).toBe(0);
  });

  test('what stands in the way is in the comment, and fails the check', async () => {
    await workspace.configure(BROKEN);
    const known = { ...values(workspace.postgres.password) };
    expect(await step('plan', 'plan', known)).toMatchObject({ code: 0 });
    expect(await planComment()).toContain('`TABLE_MISSING`');
    expect((await step('plan', 'verdict', known)).code).toBe(1);
    expect((await step('apply', 'apply', known)).code).toBe(1);
    expect(await exists(workspace.stateFile)).toBe(false);

    await workspace.configureText('version: 1\nsorces: {}\n');
    expect(await step('plan', 'plan', known)).toMatchObject({ code: 0 });
    expect(await planComment()).toMatch(/no plan could be made[\s\S]*sources\.yaml:2:1/);
    expect((await step('plan', 'verdict', known)).code).toBe(78);
  });

  test('the comment is the file that the plan step makes, and the jobs install the same', async () => {
    const workflow = await example('github-actions/plan-and-apply.yml');
    const steps = items(at(at(at(workflow, 'jobs'), 'plan'), 'steps'));
    const run = (id: string): string =>
      text(
        at(
          steps.find((each) => at(each, 'id') === id),
          'run',
        ),
      );
    expect(run('plan')).toContain('> plan.md');
    expect(run('comment')).toMatch(/^gh pr comment .*--body-file plan\.md$/);
    expect(steps.map((each) => at(each, 'id')).filter((id) => id !== undefined)).toEqual([
      'install',
      'plan',
      'comment',
      'verdict',
    ]);
  });
});

describe('GitLab', () => {
  /** All of a job's script but what posts the comment, in one shell as the runner does it. */
  async function job(name: string, env: Readonly<Record<string, string>>): Promise<Shell> {
    const blocks = items(at(at(await example('gitlab/.gitlab-ci.yml'), name), 'script')).map(text);
    return bash(blocks.filter((block) => !block.includes('glab ')).join('\n'), {
      CI_MERGE_REQUEST_TARGET_BRANCH_NAME: 'main',
      ...env,
    });
  }

  test('a merge request is planned, and its merge applied', async () => {
    const env = { SHOP_PASSWORD: workspace.postgres.password };
    expect(await job('plan', env)).toMatchObject({ code: 0 });
    expect(await planComment()).toContain('| `+` | `shop:public.users` |');
    expect(await job('apply', env)).toMatchObject({ code: 0 });
    expect(await workspace.onServer()).toMatchObject({ slots: [workspace.slot] });
    expect((await job('apply', env)).output).toContain('nothing to apply');
    await workspace.configure(BROKEN);
    expect((await job('plan', env)).code).toBe(1);
    expect(await planComment()).toContain('`TABLE_MISSING`');
  });

  test('without the variable the file is compared with the target branch', async () => {
    await workspace.configure(BOTH);
    expect(await job('plan', {})).toMatchObject({ code: 0 });
    expect(await planComment()).toContain('The file compared with the one at origin/main');
  });

  test('the comment is the file that the plan makes', async () => {
    const plan = at(await example('gitlab/.gitlab-ci.yml'), 'plan');
    const blocks = items(at(plan, 'script')).map(text);
    expect(blocks[0]).toContain('> plan.md');
    expect(blocks[1]).toMatch(/^glab mr note .*\$\(cat plan\.md\)"\n$/);
    expect(items(at(at(plan, 'artifacts'), 'paths'))).toEqual(['plan.md']);
  });
});
