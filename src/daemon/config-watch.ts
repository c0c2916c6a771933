import { createHash } from 'node:crypto';
import { lstat, readFile, readlink } from 'node:fs/promises';
import { dirname, join, parse, resolve, sep } from 'node:path';
import { watch } from 'chokidar';
import type { Clock } from '../executor/engine.js';
import type { Log } from './log.js';

/** Editors write a file in several steps, and `git pull` replaces it while it writes others. */
const QUIET_MS = 200;
/** Longer chains of links are a loop. */
const MAX_LINKS = 40;

export interface ConfigWatch {
  /** From now on these files are watched beside the config, in place of the ones before; absolute paths. */
  beside(files: readonly string[]): Promise<void>;
  close(): Promise<void>;
}

export interface ConfigWatchDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** @param files whose content is another one now, or that are there or gone now; named as they were given */
  readonly onChange: (files: ReadonlySet<string>) => void;
}

/**
 * Watches a file however it is replaced: written in place, renamed over, reached through links of which one is set anew
 * (as Kubernetes does with a ConfigMap), removed and made again. Resolves once nothing can be missed any more.
 * @param file absolute
 */
export async function watchConfig(file: string, deps: ConfigWatchDeps): Promise<ConfigWatch> {
  const stop = new AbortController();
  let points: ReadonlySet<string> = new Set(await watchPoints(file));
  /** By file, in the order in which they are looked at. */
  let known: ReadonlyMap<string, string | null> = new Map([[file, await contentHash(file)]]);
  let pending: Promise<void> | null = null;
  let again = false;

  const watcher = watch(foldersOf(points), {
    depth: 0,
    // A link that is set anew is what we want to hear of; its target is watched by a folder of its own.
    followSymlinks: false,
    ignoreInitial: true,
    // The data files beside the config change all the time.
    ignored: (path) => !points.has(path) && !isFolderOf(points, path),
  });

  const watchPointsOf = async (files: Iterable<string>): Promise<void> => {
    const now = (await Promise.all([...files].map(watchPoints))).flat();
    const folders = foldersOf(now).filter((folder) => !isFolderOf(points, folder));
    points = new Set([...points, ...now]);
    if (folders.length > 0) watcher.add(folders);
  };
  const look = async (): Promise<void> => {
    do {
      again = false;
      await deps.clock.sleep(QUIET_MS, stop.signal);
    } while (again);
    await watchPointsOf(known.keys());
    const before = known;
    const now = await hashesOf(before.keys());
    // The files may be others since they were read; then the next look is on its way.
    if (known !== before) return;
    known = now;
    const changed = [...now].filter(([each, hash]) => hash !== before.get(each)).map(([each]) => each);
    if (changed.length > 0) deps.onChange(new Set(changed));
  };
  const onEvent = (): void => {
    again = true;
    pending ??= look()
      .catch((error: unknown) => {
        if (!stop.signal.aborted) deps.log.error({ error }, 'the config could not be watched');
      })
      .finally(() => {
        pending = null;
        // What came while the content was read.
        if (again && !stop.signal.aborted) onEvent();
      });
  };
  watcher.on('all', onEvent);
  watcher.on('error', (error) =>
    deps.log.error({ error }, 'the config could not be watched; send SIGHUP after a change'),
  );
  await new Promise<void>((ready) => watcher.once('ready', ready));
  // What changed between the first look and the watcher's start.
  onEvent();

  return {
    async beside(files) {
      await watchPointsOf(files);
      const found = await hashesOf(files);
      // What is watched already keeps the content that was told of last.
      known = new Map([file, ...files].map((each) => [each, (known.has(each) ? known : found).get(each) ?? null]));
      onEvent();
    },
    async close() {
      stop.abort();
      await watcher.close();
      await pending;
    },
  };
}

/** Every link on the way to a file, and the file itself: what has to change for its content to be another one. */
export async function watchPoints(file: string): Promise<string[]> {
  const points: string[] = [];
  let rest = resolve(file)
    .slice(parse(resolve(file)).root.length)
    .split(sep);
  let at = parse(resolve(file)).root;
  let links = 0;
  while (rest.length > 0) {
    const [name = '', ...after] = rest;
    const path = join(at, name);
    const target = (await isLink(path)) ? await readlink(path).catch(() => null) : null;
    if (target === null) {
      at = path;
      rest = after;
      continue;
    }
    points.push(path);
    links += 1;
    if (links > MAX_LINKS) break;
    const absolute = resolve(at, target);
    at = parse(absolute).root;
    rest = [
      ...absolute
        .slice(at.length)
        .split(sep)
        .filter((each) => each !== ''),
      ...after,
    ];
  }
  return [...new Set([...points, at])];
}

async function isLink(path: string): Promise<boolean> {
  return await lstat(path).then(
    (stats) => stats.isSymbolicLink(),
    () => false,
  );
}

function foldersOf(points: Iterable<string>): string[] {
  return [...new Set([...points].map((point) => dirname(point)))];
}

function isFolderOf(points: Iterable<string>, path: string): boolean {
  for (const point of points) if (dirname(point) === path) return true;
  return false;
}

async function hashesOf(files: Iterable<string>): Promise<Map<string, string | null>> {
  return new Map(await Promise.all([...files].map(async (file) => [file, await contentHash(file)] as const)));
}

/** Null where there is no such file at the moment. */
async function contentHash(file: string): Promise<string | null> {
  const content = await readFile(file).catch(() => null);
  return content === null ? null : createHash('sha256').update(content).digest('hex');
}
