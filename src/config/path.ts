import { isAbsolute, join, normalize, relative, resolve, sep } from 'node:path';

/** A path of the config as an absolute one: `~` is the home folder, a relative one starts at `baseDir`. */
export function absolutePath(path: string, baseDir: string, homeDir: string): string {
  if (path === '~') return homeDir;
  if (path.startsWith('~/')) return join(homeDir, path.slice(2));
  return resolve(baseDir, path);
}

/** The path as seen from `baseDir` where it lies below it, so that a checkout elsewhere means the same. */
export function portablePath(path: string, baseDir: string): string {
  const inside = relative(baseDir, path);
  return inside === '..' || inside.startsWith(`..${sep}`) || isAbsolute(inside) ? path : inside;
}

/** A path as it is written, without what makes no difference: `./lake/` is `lake`. */
export function plainPath(path: string): string {
  const plain = normalize(path);
  return plain.length > 1 && plain.endsWith(sep) ? plain.slice(0, -1) : plain;
}
