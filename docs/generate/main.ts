import { readFile, writeFile } from 'node:fs/promises';
import { cliPage } from './cli.js';
import { configPage } from './config.js';
import { errorsPage } from './errors.js';

/** Writes the reference (npm run docs); with --check it only compares, and fails where a page is not what its source gives. */

const check = process.argv.includes('--check');
for (const { file, text } of [cliPage(), await configPage(), await errorsPage()]) {
  const target = new URL(`../${file}`, import.meta.url);
  if (!check) {
    await writeFile(target, text);
  } else if ((await readFile(target, 'utf8').catch(() => '')) !== text) {
    process.stderr.write(`docs/${file} is not up to date; run: npm run docs\n`);
    process.exitCode = 1;
  }
}
