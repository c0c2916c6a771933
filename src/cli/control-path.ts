import path from 'node:path';
import { parse } from 'yaml';
import { absolutePath } from '../config/path.js';
import { controlSocketPath } from '../config/read-state.js';
import type { Context } from './command.js';

const DEFAULT_STATE = '.sluice/state.json';

/**
 * Where the daemon of a config file with mistakes listens, as far as the file still tells: a broken file is just when one
 * wants to ask it.
 */
export async function controlPathOfBrokenFile(
  context: Pick<Context, 'configFile' | 'files' | 'host'>,
): Promise<string> {
  const file = path.resolve(context.configFile);
  const paths = {
    absolutePath: (given: string) => absolutePath(given, path.dirname(file), context.host.homeDir),
  };
  let raw: unknown = null;
  try {
    raw = parse(await context.files.readText(file));
  } catch {
    // Not even YAML, or gone: then the defaults are the best guess.
  }
  const state = at(raw, 'state');
  const given = at(state, 'type') === 's3' || at(state, 'type') === 'postgres' ? undefined : at(state, 'path');
  const localPath = paths.absolutePath(plainPath(given) ?? DEFAULT_STATE);
  return controlSocketPath(plainPath(at(at(raw, 'daemon'), 'socket')), localPath, paths);
}

/** Variables stay what they are here, so a path that needs one is not known. */
function plainPath(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' && !value.includes('${') ? value : undefined;
}

function at(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? new Map<string, unknown>(Object.entries(value)).get(key) : null;
}
