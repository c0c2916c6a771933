import type { LoadDeps } from '../config/load.js';
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
  const loaded = await loadConfig(file, deps);
  if (loaded.ok) {
    return {
      ok: true,
      config: loaded.config,
      warnings: loaded.warnings.map(snakeKeys),
      warningText: formatProblems(loaded.warnings),
    };
  }
  return {
    ok: false,
    problems: loaded.problems.map(snakeKeys),
    mistakes: loaded.problems.filter((problem) => problem.level === 'error').length,
    text: formatProblems(loaded.problems),
  };
}
