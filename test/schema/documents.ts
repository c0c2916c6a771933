import { readdirSync, readFileSync } from 'node:fs';
import { Ajv, type ValidateFunction } from 'ajv';

/** Checks what Sluice prints against the schemas that it ships. */

function schema(name: string): object {
  const parsed: unknown = JSON.parse(readFileSync(new URL(`../../schema/${name}`, import.meta.url), 'utf8'));
  if (typeof parsed !== 'object' || parsed === null) throw new Error(`${name} holds no schema`);
  return parsed;
}

const ajv = new Ajv({ allErrors: true, allowUnionTypes: true, formats: { 'date-time': isoTime } });
const plan = ajv.compile(schema('plan.schema.json'));
const event = ajv.compile(schema('events.schema.json'));

/** What is wrong with a document; [] where nothing is. */
function flaws(validate: ValidateFunction, document: unknown): readonly string[] {
  return validate(document) ? [] : (validate.errors ?? []).map((error) => `${error.instancePath} ${error.message}`);
}

/** The commands that have a schema of what they print as JSON, and "error". */
export function outputSchemas(): readonly string[] {
  return readdirSync(new URL('../../schema/output/', import.meta.url)).map((file) => commandOf(file));
}

/** What is wrong with the document that a command printed; a field that its schema does not tell of is wrong here. */
export function outputFlaws(command: string, document: unknown): readonly string[] {
  const validate = outputs().getSchema(`sluice:output/${command.replaceAll(' ', '-')}.schema.json`);
  if (validate === undefined) return [`sluice ${command} has no schema`];
  return validate(document)
    ? []
    : (validate.errors ?? []).map(
        ({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
      );
}

let strict: Ajv | undefined;

/** Readers may meet fields that are newer than their schema; here one that nobody described is a mistake. */
function outputs(): Ajv {
  if (strict === undefined) {
    strict = new Ajv({ allErrors: true, allowUnionTypes: true, formats: { 'date-time': isoTime } });
    for (const file of readdirSync(new URL('../../schema/output/', import.meta.url))) {
      strict.addSchema(closed(schema(`output/${file}`)));
    }
    strict.addSchema(closed(schema('plan.schema.json')));
  }
  return strict;
}

function closed(node: object): object {
  const inner = Object.fromEntries(Object.entries(node).map(([key, value]) => [key, closedValue(value)]));
  const open = 'type' in node && 'properties' in node && !('additionalProperties' in node);
  return open ? { ...inner, additionalProperties: false } : inner;
}

function closedValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closedValue);
  return typeof value === 'object' && value !== null ? closed(value) : value;
}

function commandOf(file: string): string {
  const name = file.replace(/\.schema\.json$/, '');
  return name.replace(/^(state|cdc)-/, '$1 ');
}

export const planFlaws = (document: unknown): readonly string[] => flaws(plan, document);
export const eventFlaws = (document: unknown): readonly string[] => flaws(event, document);

/** The constants that stand in a schema at a path of keys. */
export function inSchema(name: string, ...path: readonly (string | number)[]): unknown {
  let current: unknown = schema(name);
  for (const key of path) {
    if (typeof current !== 'object' || current === null) return undefined;
    current = Object.entries(current).find(([each]) => each === String(key))?.[1];
  }
  return current;
}

/** The events of an NDJSON output, each checked against the schema. */
export function eventsOf(stdout: string): readonly Readonly<Record<string, unknown>>[] {
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const parsed: unknown = JSON.parse(line);
      const wrong = eventFlaws(parsed);
      if (wrong.length > 0) throw new Error(`${wrong.join('\n')}\nin ${line}`);
      return typeof parsed === 'object' && parsed !== null ? { ...parsed } : {};
    });
}

function isoTime(text: string): boolean {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(text) && !Number.isNaN(Date.parse(text));
}
