import { resolve } from 'node:path';
import type { ConfigSurroundings, LoadDeps, LoadResult } from '../config/load.js';
import type { Problem } from '../config/problem.js';
import type { ConfigReading } from './command.js';
import { snakeKeys } from './view/snake-keys.js';

/**
 * Reads the config for the CLI. The loader brings the YAML parser and the schema checker along, so it is loaded only
 * when a command needs a config.
 * @throws SluiceError CONFIG_UNREADABLE
 */
export async function readConfigFile(file: string, deps: LoadDeps): Promise<ConfigReading> {
  const [{ loadConfig }, { formatProblems }] = await Promise.all([
    import('../config/load.js'),
    import('../config/problem.js'),
  ]);
  return readingOf(await loadConfig(file, deps), formatProblems);
}

/** The same of a text that is to become that file. */
export async function checkConfigText(text: string, file: string, deps: ConfigSurroundings): Promise<ConfigReading> {
  const [{ parseConfig }, { formatProblems }] = await Promise.all([
    import('../config/load.js'),
    import('../config/problem.js'),
  ]);
  return readingOf(parseConfig(text, file, deps), formatProblems);
}

/** What was loaded, as the commands want it. @param formatProblems of the loader, which is not loaded here */
export function readingOf(loaded: LoadResult, formatProblems: (problems: readonly Problem[]) => string): ConfigReading {
  if (loaded.ok) {
    return { ok: true, config: loaded.config, ...warningsOf(loaded.warnings, formatProblems) };
  }
  return {
    ok: false,
    problems: loaded.problems.map(snakeKeys),
    mistakes: loaded.problems.filter((problem) => problem.level === 'error').length,
    text: formatProblems(loaded.problems),
  };
}

function warningsOf(warnings: readonly Problem[], format: (problems: readonly Problem[]) => string) {
  return { warnings: warnings.map(snakeKeys), warningText: format(warnings) };
}

/**
 * Reads a config that names another state. A file may be a whole config or hold `state:` (and `connections:`) alone; the
 * block itself, as `{ type: ... }`, takes the place of the one in `file`.
 * @throws SluiceError CONFIG_UNREADABLE
 */
export async function readStateConfig(from: string, file: string, deps: LoadDeps): Promise<ConfigReading> {
  const { parse, parseDocument } = await import('yaml');
  const inline = from.trimStart().startsWith('{');
  const shown = inline ? file : from;
  const path = resolve(deps.cwd, shown);
  const edit = (text: string): string => {
    const document = parseDocument(text);
    // Mistakes are told by the loader, with their places.
    if (document.errors.length > 0) return text;
    if (inline) document.set('state', parse(from));
    const stubs = { version: 1, connections: {}, destinations: {}, sources: {} };
    for (const [key, value] of Object.entries(stubs)) if (!document.has(key)) document.set(key, value);
    return document.toString();
  };
  return readConfigFile(shown, {
    ...deps,
    readFile: async (asked) => (asked === path ? edit(await deps.readFile(asked)) : deps.readFile(asked)),
  });
}
