#!/usr/bin/env node
import { readFile, writeFile } from 'node:fs/promises';
import { homedir, hostname } from 'node:os';
import { resolve } from 'node:path';
import { asSluiceError } from '../error/sluice-error.js';
import { COMMANDS } from './commands/all.js';
import { checkConfigText, readConfigFile, readStateConfig } from './config-file.js';
import { createText, replaceText } from './config-writing.js';
import { openInterview } from './interview.js';
import { packageVersion } from './package-version.js';
import { processTerminal } from './process-terminal.js';
import { realClock } from './real-clock.js';
import { runCli } from './run.js';
import { abortOnSignals } from './signals.js';
import { plainPaint } from './terminal.js';
import { errorText } from './view/error-view.js';

/**
 * The entry point: gives the CLI the real clock, terminal, files and engine. What is heavy (the engine with DuckDB and
 * pg, the YAML loader, the log) is loaded when a command asks for it, so that `version` and `--help` start at once.
 */

/** Holds package.json and schema/; the same distance from src/cli and from dist/cli. */
const PACKAGE_ROOT = new URL('../../', import.meta.url);

// The SDK for S3 would tell users of Node 20 to upgrade, though it works there and Sluice supports that version.
process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';

const readText = (path: string | URL): Promise<string> => readFile(path, 'utf8');
const surroundings = { env: process.env, cwd: process.cwd(), homeDir: homedir() };
const terminal = processTerminal(process);
// A fault that no command caught still ends in one clear block.
process.on('uncaughtException', (error) => {
  terminal.stderr.write(errorText(asSluiceError(error), plainPaint, process.argv.includes('--debug')));
  process.exit(1);
});

const exitCode = await runCli(
  process.argv.slice(2),
  {
    commands: COMMANDS,
    version: packageVersion(await readText(new URL('package.json', PACKAGE_ROOT))),
    terminal,
    clock: realClock,
    host: { name: hostname(), pid: process.pid, env: surroundings.env, homeDir: surroundings.homeDir },
    files: {
      readText: (path) => readText(resolve(path)),
      writeText: (path, text) => writeFile(resolve(path), text),
      replaceText,
      createText,
    },
    readSchema: () => readText(new URL('schema/sources.schema.json', PACKAGE_ROOT)),
    readConfig: (file) => readConfigFile(file, { ...surroundings, readFile: readText }),
    readBaseConfig: async (file, ref) => {
      const { readBaseConfig } = await import('./base-config.js');
      return readBaseConfig(file, ref, surroundings);
    },
    checkConfig: (text, file) => checkConfigText(text, file, surroundings),
    openInterview: terminal.ask === null ? null : (signal) => openInterview(process.stdin, process.stderr, signal),
    readStateConfig: (from, file) => readStateConfig(from, file, { ...surroundings, readFile: readText }),
    createEngine: async (deps) => {
      const { createEngine } = await import('../executor/create-engine.js');
      return createEngine(deps);
    },
    onHangup: (listener) => {
      process.on('SIGHUP', listener);
      return () => process.off('SIGHUP', listener);
    },
    openLog: async (level, onLine) => {
      const { openLog } = await import('./log-output.js');
      return openLog(level, terminal.stderr, process.env, onLine);
    },
  },
  abortOnSignals(process),
);

// What still holds the event loop (a socket that closes slowly) must not hold the shell. Output through a pipe may be
// on its way, so it is waited for.
await Promise.all(
  [process.stdout, process.stderr].map((stream) => new Promise<void>((done) => stream.write('', () => done()))),
);
process.exit(exitCode);
