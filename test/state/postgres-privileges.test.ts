import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { SluiceError } from '../../src/error/sluice-error.js';
import { sampleState } from '../../src/state/sample-state.js';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { makePlace, type Place } from './backends.js';

/** A state in Postgres whose role may not do what is needed: the error brings the SQL that mends it. */

const never = new AbortController().signal;
const first = { ...sampleState(), serial: 0 };
const SCHEMA = '"our ""state"""';
const TABLE = `${SCHEMA}.sluice_state`;
const CREATE_TABLE = `create table ${TABLE} (name text primary key, document text not null, serial bigint, lineage text, written_at timestamptz not null default now())`;

let postgres: TestPostgres;
let place: Place;

beforeAll(async () => {
  postgres = await startPostgres({ major: 17 });
  await postgres.query(`create role writer login password '${postgres.password}'`);
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  place = await makePlace('postgres', () => postgres, { connection: { user: 'writer' } });
});
afterEach(() => place.remove());

test.each<{ name: string; before: readonly string[] }>([
  { name: 'make the schema', before: [] },
  {
    name: 'make the table in a schema that is there',
    before: [`create schema ${SCHEMA}`, `grant usage on schema ${SCHEMA} to writer`],
  },
  { name: 'use the schema', before: [`create schema ${SCHEMA}`] },
  { name: 'use the schema with the table in it', before: [`create schema ${SCHEMA}`, CREATE_TABLE] },
  {
    name: 'read the table',
    before: [`create schema ${SCHEMA}`, `grant usage on schema ${SCHEMA} to writer`, CREATE_TABLE],
  },
])('a role that may not $name', async ({ before }) => {
  const sql = (text: string) => postgres.query(text, [], place.config.connections['meta']?.database);
  for (const statement of before) await sql(statement);
  const { store, lock } = place.open();
  const refusal: unknown = await store.write(first, null).catch((error: unknown) => error);
  expect(refusal).toMatchObject({ code: 'PRIVILEGE_MISSING', message: expect.stringContaining(TABLE) });
  await expect(lock.acquire(0, never)).rejects.toMatchObject({ code: 'PRIVILEGE_MISSING' });
  const hint = refusal instanceof SluiceError ? (refusal.hint ?? '') : '';
  // As a person pastes it.
  await sql(hint.slice(hint.indexOf('create schema')));
  expect((await store.write(first, null)).serial).toBe(1);
  await (await lock.acquire(0, never)).release();
});
