import { readFileSync } from 'node:fs';
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import { SluiceError } from '../error/sluice-error.js';
import { nearestName, suggestion } from './nearest.js';
import type { ConfigPath, Issue } from './problem.js';
import type { SourcesFile } from './schema-types.js';

/** What is left of a file when everything the schema objects to is taken out: all that is there is of the right type. */
export type Pruned<T> = T extends readonly (infer Item)[]
  ? Pruned<Item>[]
  : T extends object
    ? { [Key in keyof T]?: Pruned<T[Key]> }
    : T;

export interface SchemaResult {
  readonly issues: readonly Issue[];
  /** Where a misspelled key was probably meant: not missing, yet not known either. */
  readonly doubtful: readonly ConfigPath[];
  readonly pruned: Pruned<SourcesFile>;
}

/** How a value is named in a message without telling what came from a variable or is a secret. */
export type Describe = (path: ConfigPath, value: unknown) => string;

/** Editors see `${VAR}` where the loader sees its value, so the patterns of the schema let it pass and ours do not. */
const EDITOR_ONLY = '|\\$\\{';

let compiled: { readonly schema: object; readonly validate: ValidateFunction } | null = null;

/** The JSON Schema of `sources.yaml` as text, as editors and `sluice schema` use it. */
export function readSchemaText(): string {
  return readFileSync(new URL('../../schema/sources.schema.json', import.meta.url), 'utf8');
}

/** Holds a file against the schema: one issue for each mistake. */
export function checkSchema(raw: unknown, describe: Describe): SchemaResult {
  const { schema, validate } = compiledSchema();
  validate(raw);
  const errors = onePerPlace(validate.errors ?? []);
  const doubtful = errors.flatMap((error) => meantKey(error, raw) ?? []);
  const settled = new Set(doubtful.map((path) => JSON.stringify(path)));
  const issues = errors.flatMap((error): Issue[] => {
    const { path, at, message } = explain(error, raw, schema, describe);
    // A required key that is there with a typo is one mistake, not two.
    if (error.keyword === 'required' && settled.has(JSON.stringify(path))) return [];
    return [{ level: 'error', code: 'CONFIG_INVALID', path, at, message }];
  });
  return { issues, doubtful, pruned: prune(raw, validate) };
}

function compiledSchema(): { readonly schema: object; readonly validate: ValidateFunction } {
  if (compiled === null) {
    const withoutEditorParts = (key: string, value: unknown): unknown =>
      key === 'pattern' && typeof value === 'string' && value.endsWith(EDITOR_ONLY)
        ? value.slice(0, -EDITOR_ONLY.length)
        : value;
    const schema: unknown = JSON.parse(readSchemaText(), withoutEditorParts);
    if (!isObject(schema)) throw new SluiceError({ code: 'INTERNAL', message: 'the config schema is no object' });
    const ajv = new Ajv({ allErrors: true, verbose: true, discriminator: true, strict: true, allowUnionTypes: true });
    ajv.addVocabulary(['errorMessage', 'patternErrorMessage']);
    compiled = { schema, validate: ajv.compile(schema) };
  }
  return compiled;
}

/** A wrong name is reported by its pattern and by `propertyNames`; a wrong type also by enum or const. One is enough. */
function onePerPlace(errors: readonly ErrorObject[]): ErrorObject[] {
  const kept = new Map<string, ErrorObject>();
  for (const error of errors) {
    if (error.propertyName !== undefined) continue;
    const place = JSON.stringify([error.instancePath, extraOf(error)]);
    const other = kept.get(place);
    if (other === undefined || error.keyword === 'type') kept.set(place, error);
  }
  return [...kept.values()];
}

/** The key that the error is about, where it is not the value at its path. */
function extraOf(error: ErrorObject): string | null {
  switch (error.keyword) {
    case 'additionalProperties':
      return textParam(error, 'additionalProperty');
    case 'required':
      return textParam(error, 'missingProperty');
    case 'propertyNames':
      return textParam(error, 'propertyName');
    case 'discriminator':
      return textParam(error, 'tag');
    default:
      return null;
  }
}

function meantKey(error: ErrorObject, raw: unknown): ConfigPath[] | null {
  if (error.keyword !== 'additionalProperties') return null;
  const near = nearestName(textParam(error, 'additionalProperty'), Object.keys(propertiesOf(error.parentSchema, {})));
  return near === null ? null : [[...pathOf(error.instancePath, raw), near]];
}

interface Explanation {
  readonly path: ConfigPath;
  readonly at: 'key' | 'value';
  readonly message: string;
}

function explain(error: ErrorObject, raw: unknown, schema: object, describe: Describe): Explanation {
  const parent: Record<string, unknown> = isObject(error.parentSchema) ? error.parentSchema : {};
  const path = pathOf(error.instancePath, raw);
  const extra = extraOf(error);
  const full = extra === null ? path : [...path, extra];
  const wrong = (expected: string): Explanation => ({
    path,
    at: 'value',
    message: `expected ${expected}, found ${describe(path, error.data)}`,
  });
  switch (error.keyword) {
    case 'additionalProperties':
      return { path: full, at: 'key', message: unknownKey(extra ?? '', parent, schema) };
    case 'required':
      return { path: full, at: 'key', message: `required key is missing` };
    case 'propertyNames':
      return {
        path: full,
        at: 'key',
        message: `expected ${annotation(parent['propertyNames'], 'patternErrorMessage')}`,
      };
    case 'discriminator': {
      const known = tagValues(parent, extra ?? '', schema);
      const value = isObject(error.data) && extra !== null ? error.data[extra] : undefined;
      if (value === undefined)
        return { path: full, at: 'key', message: `required key is missing; one of ${known.join(', ')}` };
      return { path: full, at: 'value', message: oneOf(known, value, describe(full, value)) };
    }
    case 'enum': {
      const known = Array.isArray(parent['enum']) ? parent['enum'].map(String) : [];
      return { path, at: 'value', message: oneOf(known, error.data, describe(path, error.data)) };
    }
    case 'type':
      return typeMismatch(error, parent, wrong);
    case 'const':
      return wrong(String(parent['const']));
    case 'minimum':
    case 'maximum':
      return wrong(numberRange(parent));
    case 'pattern':
      return wrong(annotation(parent, 'patternErrorMessage'));
    case 'minLength':
      return { path, at: 'value', message: 'expected a text, found an empty one' };
    case 'maxLength':
      return { path, at: 'value', message: `expected at most ${String(parent['maxLength'])} characters` };
    case 'minItems':
      return { path, at: 'value', message: 'expected at least one entry, found an empty list' };
    case 'uniqueItems':
      return { path, at: 'value', message: 'an entry is given twice' };
    case 'minProperties':
    case 'maxProperties':
      return { path, at: 'value', message: `expected ${annotation(parent, 'errorMessage')}` };
    default:
      return { path, at: 'value', message: error.message ?? error.keyword };
  }
}

function typeMismatch(
  error: ErrorObject,
  parent: Record<string, unknown>,
  wrong: (expected: string) => Explanation,
): Explanation {
  const pattern = parent['patternErrorMessage'] ?? parent['errorMessage'];
  if (typeof pattern === 'string') return wrong(pattern);
  if (Array.isArray(parent['enum'])) return wrong(`one of ${parent['enum'].join(', ')}`);
  if (parent['const'] !== undefined) return wrong(String(parent['const']));
  const types: unknown = error.params['type'];
  const [first] = Array.isArray(types) ? types : [types];
  if (first === 'integer' && parent['minimum'] !== undefined) return wrong(numberRange(parent));
  return wrong(TYPE_NAMES.get(first) ?? String(first));
}

const TYPE_NAMES = new Map<unknown, string>([
  ['string', 'a text'],
  ['integer', 'a whole number'],
  ['boolean', 'true or false'],
  ['array', 'a list'],
  ['object', 'a mapping (key: value)'],
]);

function numberRange(parent: Record<string, unknown>): string {
  const { minimum, maximum } = parent;
  return maximum === undefined
    ? `a whole number of at least ${String(minimum)}`
    : `a whole number from ${String(minimum)} to ${String(maximum)}`;
}

function oneOf(known: readonly string[], value: unknown, found: string): string {
  const near = typeof value === 'string' ? nearestName(value, known) : null;
  return `expected one of ${known.join(', ')}, found ${found}${near === null ? '' : `; did you mean "${near}"?`}`;
}

function unknownKey(key: string, parent: Record<string, unknown>, schema: object): string {
  const properties = isObject(parent['properties']) ? parent['properties'] : {};
  const known = Object.keys(properties);
  if (nearestName(key, known) === null) {
    const home = known.find((name) => Object.hasOwn(propertiesOf(properties[name], schema), key));
    if (home !== undefined) return `unknown key here; it belongs under "${home}"`;
  }
  return `unknown key${suggestion(key, known)}`;
}

function propertiesOf(part: unknown, schema: object): object {
  const target = followRef(part, schema);
  return isObject(target) && isObject(target['properties']) ? target['properties'] : {};
}

function tagValues(parent: Record<string, unknown>, tag: string, schema: object): string[] {
  const branches = Array.isArray(parent['oneOf']) ? parent['oneOf'] : [];
  return branches.flatMap((branch: unknown) => {
    const properties = propertiesOf(branch, schema);
    const property = Object.entries(properties).find(([name]) => name === tag)?.[1];
    return isObject(property) ? [String(property['const'])] : [];
  });
}

function followRef(part: unknown, schema: object): unknown {
  if (!isObject(part) || typeof part['$ref'] !== 'string') return part;
  return part['$ref']
    .slice('#/'.length)
    .split('/')
    .reduce<unknown>((at, key) => (isObject(at) ? at[key] : undefined), schema);
}

function annotation(part: unknown, key: 'patternErrorMessage' | 'errorMessage'): string {
  const text = isObject(part) ? part[key] : undefined;
  return typeof text === 'string' ? text : 'another value';
}

function textParam(error: ErrorObject, name: string): string {
  const value: unknown = error.params[name];
  return typeof value === 'string' ? value : '';
}

/** A JSON pointer as a path; whether a segment is an index shows only in the value. */
function pathOf(pointer: string, raw: unknown): (string | number)[] {
  const path: (string | number)[] = [];
  let at = raw;
  for (const part of pointer.split('/').slice(1)) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
    path.push(Array.isArray(at) ? Number(key) : key);
    at = Array.isArray(at) ? at[Number(key)] : isObject(at) ? at[key] : undefined;
  }
  return path;
}

/** Takes out what the schema objects to until only missing keys are left; ends because each round takes something. */
function prune(raw: unknown, validate: ValidateFunction): Pruned<SourcesFile> {
  const root = { file: structuredClone(raw) };
  for (;;) {
    const isPruned = (value: unknown): value is Pruned<SourcesFile> => {
      validate(value);
      return (validate.errors ?? []).every((error) => error.keyword === 'required');
    };
    if (isPruned(root.file)) return root.file;
    for (const error of validate.errors ?? []) {
      if (error.keyword === 'required' || error.propertyName !== undefined) continue;
      const path = ['file', ...pathOf(error.instancePath, root.file)];
      const extra = error.keyword === 'discriminator' ? null : extraOf(error);
      if (extra === null && path.length === 1) return {};
      remove(root, extra === null ? path : [...path, extra]);
    }
  }
}

/** Removes a key; a list goes as a whole, as its other entries would move up and get the wrong place. */
function remove(root: object, path: ConfigPath): void {
  let at: unknown = root;
  let holder: { readonly object: Record<string, unknown>; readonly key: string } | null = null;
  for (const segment of path) {
    if (!isObject(at) || typeof segment !== 'string') break;
    holder = { object: at, key: segment };
    at = at[segment];
  }
  if (holder !== null) delete holder.object[holder.key];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
