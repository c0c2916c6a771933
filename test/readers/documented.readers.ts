import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EngineFixture } from '../engine-fixture.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { type ReaderEnvironment, readerEnvironment } from './environment.js';
import { runScript } from './readers.js';

/** The snippets of docs/reading.md whose heading names an engine, run on a lake in a folder instead of a bucket. */

const DOCUMENT = path.join(import.meta.dirname, '..', '..', 'docs', 'reading.md');
const ENGINES = ['duckdb', 'deltalake', 'polars', 'spark', 'clickhouse'];

interface Snippet {
  readonly engine: string;
  readonly code: string;
}

let environment: ReaderEnvironment;
let postgres: TestPostgres;
let fixture: EngineFixture;

beforeAll(async () => {
  environment = await readerEnvironment();
  postgres = await startPostgres({ major: 17 });
  await postgres.createDatabase('documented');
  fixture = await EngineFixture.create({
    postgres,
    database: 'documented',
    destination: { type: 'local', path: 'lake', format: 'delta' },
    tables: { 'public.users': { output: 'both' } },
    cdc: { slot: 'documented', publication: 'documented' },
  });
  await fixture.source('create table users (id int primary key, name text)');
  await fixture.source("insert into users values (1, 'Ada'), (2, 'Bill'), (3, 'Grace')");
  await fixture.apply();
  await fixture.sync();
  await fixture.source("update users set name = 'Ada Lovelace' where id = 1");
  await fixture.source('delete from users where id = 2');
  await fixture.sync();
}, 1_200_000);

afterAll(async () => {
  await fixture?.remove();
  await postgres?.stop();
});

describe('docs/reading.md', () => {
  test('has snippets that read the live rows, for each engine that runs here', async () => {
    const snippets = snippetsOf(await readFile(DOCUMENT, 'utf8'), path.join(fixture.folder, 'lake'));
    expect([...new Set(snippets.map(({ engine }) => engine))].sort()).toEqual([...ENGINES].sort());
    const input = JSON.stringify({ snippets, jars: environment.jars });
    const answers = (await runScript(environment, 'run_snippets.py', input)).map((line): unknown => JSON.parse(line));
    expect(answers).toHaveLength(snippets.length);
    for (const [i, answer] of answers.entries()) {
      const { engine, code } = snippets[i] ?? {};
      const has = ['Ada Lovelace', 'Bill', 'Grace'].map((name) => String(answer).includes(name));
      expect({ engine, code, has }).toEqual({ engine, code, has: [true, false, true] });
    }
  }, 300_000);
});

/** Blocks that say an engine behind their language, with the lake's place in them replaced. */
function snippetsOf(document: string, lake: string): Snippet[] {
  return [...document.matchAll(/^```(?:sql|python) (\w+)\n(.*?)^```$/gms)].map(([, engine = '', code = '']) => ({
    engine,
    code: code
      .replaceAll(/s3a?:\/\/acme-lake\/shop/g, lake)
      .replaceAll(/deltaLake\('https:\/\/[^/']+\/shop\/([^']*)\/'\)/g, `deltaLakeLocal('${lake}/$1')`),
  }));
}
