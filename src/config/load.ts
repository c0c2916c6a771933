import { dirname, resolve } from 'node:path';
import { SluiceError } from '../error/sluice-error.js';
import type { Config } from './config.js';
import { hashConfig } from './hash.js';
import { type ConfigPath, formatPath, type Issue, type Problem } from './problem.js';
import { readConfig } from './read-config.js';
import { describeText, Reading } from './reading.js';
import { checkSchema } from './schema.js';
import { isAlertSecret, isSecretKey } from './secret-mask.js';
import { readYaml, type YamlFile } from './yaml-file.js';

/** The surroundings of a config: what `${VAR}`, `~` and relative paths mean. */
export interface ConfigSurroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly homeDir: string;
}

export interface LoadDeps extends ConfigSurroundings {
  readonly readFile: (path: string) => Promise<string>;
}

export type LoadResult =
  | { readonly ok: true; readonly config: Config; readonly warnings: readonly Problem[] }
  /** Errors and warnings, in the order of the file. */
  | { readonly ok: false; readonly problems: readonly Problem[] };

/**
 * Reads a config file and checks all of it.
 * @param file as given on the command line; problems name it so
 * @throws SluiceError CONFIG_UNREADABLE where there is no such file
 */
export async function loadConfig(file: string, deps: LoadDeps): Promise<LoadResult> {
  let text: string;
  try {
    text = await deps.readFile(resolve(deps.cwd, file));
  } catch (cause) {
    throw new SluiceError({
      code: 'CONFIG_UNREADABLE',
      message: `${file} could not be read`,
      cause,
      hint: 'name another file with -c FILE',
    });
  }
  return parseConfig(text, file, deps);
}

/**
 * As {@link loadConfig} for a text that is there already, such as an older version from git. Order: YAML, variables,
 * schema, then everything a schema cannot say; each stage judges what the one before left unharmed, so that every
 * mistake is reported once.
 */
export function parseConfig(text: string, file: string, surroundings: ConfigSurroundings): LoadResult {
  const yaml = readYaml(text, surroundings.env);
  const finish = (issues: readonly Issue[]): Problem[] => placeProblems(issues, yaml, file);
  if (yaml.raw === undefined) return { ok: false, problems: finish(yaml.issues) };
  if (yaml.raw === null) {
    const message = 'the file is empty; it needs version, connections, destinations and sources';
    return {
      ok: false,
      problems: finish([{ level: 'error', code: 'CONFIG_INVALID', path: [], at: 'value', message }]),
    };
  }
  const schema = checkSchema(yaml.raw, (path, value) => describe(path, value, yaml));
  const before = [...yaml.issues, ...schema.issues.filter((issue) => !isWithin(issue.path, yaml.unresolved))];
  const absolute = resolve(surroundings.cwd, file);
  const baseDir = dirname(absolute);
  const reading = new Reading({
    broken: [...before.map((issue) => issue.path), ...schema.doubtful, ...yaml.unresolved],
    baseDir,
    homeDir: surroundings.homeDir,
    variablesAt: yaml.variablesAt,
  });
  const known = { connections: keysOf(yaml.raw, 'connections'), destinations: keysOf(yaml.raw, 'destinations') };
  const meaning = readConfig(schema.pruned, known, reading);
  const problems = finish([...before, ...reading.issues]);
  if (problems.some((problem) => problem.level === 'error')) return { ok: false, problems };
  const config: Config = { file: absolute, hash: hashConfig(meaning, baseDir), ...meaning };
  return { ok: true, config, warnings: problems };
}

function placeProblems(issues: readonly Issue[], yaml: YamlFile, file: string): Problem[] {
  const problems = issues.map(({ level, code, path, at, message }): Problem => {
    const place = yaml.locate({ path, at });
    return { level, code, file, ...place, path: formatPath(path), message };
  });
  return problems.sort((a, b) => a.line - b.line || a.column - b.column);
}

/** Names a value in a message: never a secret, never what a variable held. */
function describe(path: ConfigPath, value: unknown, yaml: YamlFile): string {
  const variables = yaml.variablesAt(path);
  if (variables.length > 0) return `${describeText('', variables)} (a variable always gives a text)`;
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a mapping';
  const secret = path.some((segment) => typeof segment === 'string' && isSecretKey(segment));
  if (secret || isAlertSecret(path)) return 'another value';
  return typeof value === 'string' ? `the text ${JSON.stringify(value)}` : String(value);
}

function isWithin(path: ConfigPath, places: readonly ConfigPath[]): boolean {
  return places.some(
    (place) => place.length <= path.length && place.every((segment, index) => segment === path[index]),
  );
}

function keysOf(raw: unknown, section: 'connections' | 'destinations'): string[] {
  if (typeof raw !== 'object' || raw === null) return [];
  const value: unknown = Object.entries(raw).find(([key]) => key === section)?.[1];
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.keys(value) : [];
}
