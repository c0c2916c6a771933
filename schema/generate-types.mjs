// Writes src/config/schema-types.ts from sources.schema.json (npm run schema-types); with --check it only compares and
// fails where the file is not what the schema gives.
import { readFile, writeFile } from 'node:fs/promises';
import { compile } from 'json-schema-to-typescript';

const SCHEMA = new URL('./sources.schema.json', import.meta.url);
const TARGET = new URL('../src/config/schema-types.ts', import.meta.url);

/** What stands beside a $ref is for editors; as types it would make one copy of the target for each use. */
function onlyRef(_key, value) {
  return typeof value?.$ref === 'string' ? { $ref: value.$ref } : value;
}

const schema = JSON.parse(await readFile(SCHEMA, 'utf8'), onlyRef);
// Free keys (x-...) would make every key of the top level optional and of any type.
delete schema.patternProperties;
const types = await compile(schema, 'SourcesFile', {
  bannerComment: '// Made from schema/sources.schema.json by `npm run schema-types`. Change the schema, not this file.',
  additionalProperties: false,
  ignoreMinAndMaxItems: true,
  style: { singleQuote: true, printWidth: 120 },
});

if (process.argv.includes('--check')) {
  const written = await readFile(TARGET, 'utf8').catch(() => '');
  if (written !== types) {
    process.stderr.write('src/config/schema-types.ts is not up to date; run: npm run schema-types\n');
    process.exitCode = 1;
  }
} else {
  await writeFile(TARGET, types);
}
