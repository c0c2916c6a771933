import { readdir, readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { cliPage } from '../docs/generate/cli.js';
import { configPage } from '../docs/generate/config.js';
import { errorsPage } from '../docs/generate/errors.js';
import { COMMANDS } from '../src/cli/commands/all.js';
import { ERROR_CODES } from '../src/error/codes.js';

/** What is generated says what the source says, and what is linked is there. */

const ROOT = new URL('../', import.meta.url);
const read = (file: string): Promise<string> => readFile(new URL(file, ROOT), 'utf8');

describe('the reference is up to date', () => {
  test.each([
    ['docs/cli.md', async () => cliPage()],
    ['docs/config.md', configPage],
    ['docs/errors.md', errorsPage],
  ] as const)('%s', async (file, make) => expect(await read(file)).toBe((await make()).text));
});

test('docs/errors.md has every code of the registry', async () => {
  const documented = [...(await read('docs/errors.md')).matchAll(/^### ([A-Z0-9_]+)\n\n(.+)/gm)].map(
    ([, code]) => code,
  );
  expect(documented).toEqual(Object.keys(ERROR_CODES));
});

test('docs/cli.md has every command and option that is not hidden', async () => {
  const text = await read('docs/cli.md');
  for (const command of COMMANDS.filter(({ hidden }) => !hidden)) {
    expect(text).toContain(`\n## ${command.name}\n`);
    for (const option of command.options) expect(text).toContain(`\`--${option.name}`);
  }
});

test('docs/config.md has every property of the schema', async () => {
  const text = await read('docs/config.md');
  const missed = propertyNames(JSON.parse(await read('schema/sources.schema.json'))).filter(
    (name) => !text.includes(`\`${name}\``) && !text.includes(`\`{ ${name}: ... }\``),
  );
  expect(missed).toEqual([]);
});

test('every page is in the index, and every link of a page leads somewhere', async () => {
  const pages = (await readdir(new URL('docs/', ROOT))).filter((file) => file.endsWith('.md'));
  const index = await read('docs/README.md');
  for (const page of pages.filter((each) => each !== 'README.md')) expect(index).toContain(`](${page}`);
  const broken: string[] = [];
  for (const file of ['README.md', ...pages.map((each) => `docs/${each}`)]) {
    for (const [, target = ''] of (await read(file)).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const { pathname, hash } = new URL(target, new URL(file, ROOT));
      const linked = await readFile(pathname, 'utf8').catch(() =>
        readdir(pathname)
          .then(() => '')
          .catch(() => null),
      );
      if (linked === null || (hash !== '' && !anchorsOf(linked).has(hash.slice(1)))) broken.push(`${file}: ${target}`);
    }
  }
  expect(broken).toEqual([]);
});

/** As GitHub makes them of headings, and those that a page sets itself. */
function anchorsOf(text: string): ReadonlySet<string> {
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
  return new Set([...headings, ...[...text.matchAll(/<a id="([^"]+)">/g)].map(([, id = '']) => id)]);
}

function propertyNames(node: unknown): readonly string[] {
  if (typeof node !== 'object' || node === null) return [];
  return Object.entries(node).flatMap(([key, value]) => [
    ...(key === 'properties' ? Object.keys(value) : []),
    ...propertyNames(value),
  ]);
}
