import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const here = import.meta.dirname;

/** The engines as they are installed. */
export interface ReaderEnvironment {
  readonly python: string;
  /** Folder of Spark's jars. */
  readonly jars: string;
}

interface Need {
  readonly command: string;
  readonly args: readonly string[];
  readonly what: string;
  /** As Debian calls it. */
  readonly debian: string;
}

const SPARKS_NEED: Need = {
  command: 'java',
  args: ['-version'],
  what: 'Java 17 or later, which Spark runs on',
  debian: 'default-jre-headless',
};

const INSTALLERS_NEED: readonly Need[] = [
  {
    command: 'python3',
    args: ['-c', 'import ensurepip, venv'],
    what: 'Python 3.10 or later with venv, for the other engines',
    debian: 'python3-venv',
  },
  { command: 'mvn', args: ['--version'], what: "Maven, which fetches Spark's jars", debian: 'maven' },
];

/** @throws Error that says what to install */
async function demand({ command, args, what, debian }: Need): Promise<void> {
  try {
    await run(command, [...args]);
  } catch (cause) {
    throw new Error(
      `the readers suite needs ${what}: "${[command, ...args].join(' ')}" does not work; on Debian: apt-get install ${debian}`,
      { cause },
    );
  }
}

/**
 * Installs the engines of requirements.txt in a virtual environment and Spark's jars of pom.xml beside it, in the user's
 * cache. What is there is taken while those two files are unchanged.
 * @throws Error that says what to install, where Java, Python or Maven is missing
 */
export async function readerEnvironment(): Promise<ReaderEnvironment> {
  const cache = path.join(process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'), 'sluice-test', 'readers');
  const requirements = path.join(here, 'requirements.txt');
  const pom = path.join(here, 'pom.xml');
  const folder = path.join(cache, await fingerprint([requirements, pom]));
  const environment = { python: path.join(folder, 'venv', 'bin', 'python'), jars: path.join(folder, 'jars') };
  // Written last: without it the installation was cut off.
  const complete = path.join(folder, 'complete');
  await demand(SPARKS_NEED);
  if (await exists(complete)) return environment;
  for (const need of INSTALLERS_NEED) await demand(need);
  await rm(cache, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await Promise.all([
    (async () => {
      await run('python3', ['-m', 'venv', path.join(folder, 'venv')]);
      await run(environment.python, ['-m', 'pip', 'install', '--quiet', '--requirement', requirements]);
    })(),
    run('mvn', [
      '--quiet',
      '--batch-mode',
      `--file=${pom}`,
      'dependency:copy-dependencies',
      '-DincludeScope=runtime',
      `-DoutputDirectory=${environment.jars}`,
    ]),
  ]);
  await writeFile(complete, '');
  return environment;
}

async function fingerprint(files: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const file of files) hash.update(await readFile(file));
  return hash.digest('hex').slice(0, 16);
}

async function exists(file: string): Promise<boolean> {
  return readFile(file).then(
    () => true,
    () => false,
  );
}
