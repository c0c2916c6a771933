import { SluiceError } from '../../error/sluice-error.js';
import type {
  Action,
  AddAction,
  CommitInfoAction,
  DeletionVectorDescriptor,
  DomainMetadataAction,
  MetadataAction,
  ProtocolAction,
  RemoveAction,
  TransactionAction,
} from './action.js';

/**
 * Reads the lines of a commit and the rows of a checkpoint (PROTOCOL.md, "Actions"). Strictly, since everything else
 * believes them: a field that must be there and is not, or a number that JavaScript cannot hold exactly, is an error with
 * its place.
 */

type Json = Readonly<Record<string, unknown>>;

/**
 * @param place for messages: file and line
 * @returns null for an action of a kind that Sluice has no use for (cdc, checkpointMetadata, what comes later)
 * @throws SluiceError DELTA_LOG_CORRUPT
 */
export function parseAction(line: string, place: string): Action | null {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch (cause) {
    throw new SluiceError({
      code: 'DELTA_LOG_CORRUPT',
      message: `${place} is not JSON; the file may have been cut off`,
      hint: 'compare the file with a backup, or with an older version of the object in the bucket',
      cause,
    });
  }
  return readAction(object(json, place), place);
}

/** @throws SluiceError DELTA_LOG_CORRUPT */
export function readAction(json: Json, place: string): Action | null {
  // A row of a checkpoint has all kinds as columns, and one that is not null.
  const kind = Object.keys(json).find((key) => json[key] !== null && json[key] !== undefined);
  if (kind === undefined) return null;
  const at = `${place}, ${kind}`;
  switch (kind) {
    case 'add':
      return { add: readAdd(object(json[kind], at), at) };
    case 'remove':
      return { remove: readRemove(object(json[kind], at), at) };
    case 'txn':
      return { txn: readTransaction(object(json[kind], at), at) };
    case 'metaData':
      return { metaData: readMetadata(object(json[kind], at), at) };
    case 'protocol':
      return { protocol: readProtocol(object(json[kind], at), at) };
    case 'domainMetadata':
      return { domainMetadata: readDomain(object(json[kind], at), at) };
    case 'commitInfo':
      return { commitInfo: readCommitInfo(object(json[kind], at)) };
    default:
      return null;
  }
}

/** A sidecar of a V2 checkpoint. @returns the file's name, null where the line is another action */
export function readSidecar(json: Json, place: string): string | null {
  const sidecar = json['sidecar'];
  if (sidecar === null || sidecar === undefined) return null;
  const path = decodeURIComponent(text(object(sidecar, place), 'path', place));
  return path.slice(path.lastIndexOf('/') + 1);
}

/** {@link parseAction} for a line whose kind is not known yet: the JSON object in it. */
export function parseLine(line: string, place: string): Json {
  try {
    return object(JSON.parse(line), place);
  } catch (cause) {
    if (cause instanceof SluiceError) throw cause;
    throw new SluiceError({ code: 'DELTA_LOG_CORRUPT', message: `${place} is not JSON`, cause });
  }
}

function readAdd(json: Json, at: string): AddAction {
  const add: AddAction = {
    path: text(json, 'path', at),
    partitionValues: partitionValues(json, at) ?? {},
    size: integer(json, 'size', at),
    modificationTime: integer(json, 'modificationTime', at),
    dataChange: flag(json, 'dataChange', at),
    stats: optionalText(json, 'stats', at),
  };
  const tags = json['tags'];
  const vector = readVector(json, at);
  const provider = optionalText(json, 'clusteringProvider', at);
  // Left out where they are not there: a table has an AddAction for each of its files.
  return {
    ...add,
    ...(tags === null || tags === undefined ? {} : { tags: textMap(object(tags, at), at) }),
    ...(vector === null ? {} : { deletionVector: vector }),
    ...(provider === null ? {} : { clusteringProvider: provider }),
  };
}

function readRemove(json: Json, at: string): RemoveAction {
  return {
    path: text(json, 'path', at),
    deletionTimestamp: optionalInteger(json, 'deletionTimestamp', at),
    dataChange: flag(json, 'dataChange', at),
    extendedFileMetadata: json['extendedFileMetadata'] === true,
    partitionValues: partitionValues(json, at),
    size: optionalInteger(json, 'size', at),
    deletionVector: readVector(json, at),
  };
}

function readVector(json: Json, at: string): DeletionVectorDescriptor | null {
  const raw = json['deletionVector'];
  if (raw === null || raw === undefined) return null;
  const vector = object(raw, at);
  const storageType = text(vector, 'storageType', at);
  if (storageType !== 'u' && storageType !== 'i' && storageType !== 'p') {
    throw corrupt(at, `a deletion vector is stored as "${storageType}"`);
  }
  return {
    storageType,
    pathOrInlineDv: text(vector, 'pathOrInlineDv', at),
    offset: optionalInteger(vector, 'offset', at),
    sizeInBytes: integer(vector, 'sizeInBytes', at),
    cardinality: integer(vector, 'cardinality', at),
  };
}

function readTransaction(json: Json, at: string): TransactionAction {
  return {
    appId: text(json, 'appId', at),
    version: integer(json, 'version', at),
    lastUpdated: optionalInteger(json, 'lastUpdated', at),
  };
}

function readMetadata(json: Json, at: string): MetadataAction {
  const format = object(json['format'] ?? { provider: 'parquet' }, at);
  return {
    id: text(json, 'id', at),
    name: optionalText(json, 'name', at),
    description: optionalText(json, 'description', at),
    format: { provider: text(format, 'provider', at), options: textMap(object(format['options'] ?? {}, at), at) },
    schemaString: text(json, 'schemaString', at),
    partitionColumns: texts(json['partitionColumns'] ?? [], at),
    configuration: textMap(object(json['configuration'] ?? {}, at), at),
    createdTime: optionalInteger(json, 'createdTime', at),
  };
}

function readProtocol(json: Json, at: string): ProtocolAction {
  const reader = json['readerFeatures'];
  const writer = json['writerFeatures'];
  return {
    minReaderVersion: integer(json, 'minReaderVersion', at),
    minWriterVersion: integer(json, 'minWriterVersion', at),
    ...(reader === null || reader === undefined ? {} : { readerFeatures: texts(reader, at) }),
    ...(writer === null || writer === undefined ? {} : { writerFeatures: texts(writer, at) }),
  };
}

function readDomain(json: Json, at: string): DomainMetadataAction {
  return {
    domain: text(json, 'domain', at),
    configuration: optionalText(json, 'configuration', at) ?? '',
    removed: json['removed'] === true,
  };
}

/** Nothing but provenance: whatever is in it, the commit stands. */
function readCommitInfo(json: Json): CommitInfoAction {
  const { timestamp, operation } = json;
  const { operationParameters: _parameters, engineInfo, ...rest } = json;
  return {
    ...rest,
    timestamp: typeof timestamp === 'number' ? timestamp : 0,
    operation: typeof operation === 'string' ? operation : '',
    ...(typeof engineInfo === 'string' ? { engineInfo } : {}),
  };
}

function partitionValues(json: Json, at: string): Record<string, string | null> | null {
  const raw = json['partitionValues'];
  if (raw === null || raw === undefined) return null;
  const values: Record<string, string | null> = {};
  for (const [name, value] of Object.entries(object(raw, at))) {
    if (value !== null && typeof value !== 'string') throw corrupt(at, `partition value ${name} is no text`);
    values[name] = value;
  }
  return values;
}

/** A map whose values are texts; a null counts as not there. */
function textMap(json: Json, at: string): Record<string, string> {
  const values: Record<string, string> = {};
  for (const [name, value] of Object.entries(json)) {
    if (typeof value === 'string') values[name] = value;
    else if (value !== null) throw corrupt(at, `${name} is no text`);
  }
  return values;
}

function texts(json: unknown, at: string): readonly string[] {
  if (Array.isArray(json) && json.every((value) => typeof value === 'string')) return json;
  throw corrupt(at, 'a list of texts is none');
}

function text(json: Json, field: string, at: string): string {
  const value = json[field];
  if (typeof value === 'string') return value;
  throw corrupt(at, `${field} is missing or no text`);
}

function optionalText(json: Json, field: string, at: string): string | null {
  return json[field] === null || json[field] === undefined ? null : text(json, field, at);
}

/** Numbers from DuckDB's JSON and from commits alike; beyond 2^53 they could not be written back as they were. */
function integer(json: Json, field: string, at: string): number {
  const value = json[field];
  if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
  throw corrupt(at, `${field} is missing, or no integer that can be held exactly`);
}

function optionalInteger(json: Json, field: string, at: string): number | null {
  return json[field] === null || json[field] === undefined ? null : integer(json, field, at);
}

function flag(json: Json, field: string, at: string): boolean {
  const value = json[field];
  if (typeof value === 'boolean') return value;
  throw corrupt(at, `${field} is missing or neither true nor false`);
}

function object(value: unknown, at: string): Json {
  if (isObject(value)) return value;
  throw corrupt(at, 'it is no JSON object');
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function corrupt(at: string, what: string): SluiceError {
  return new SluiceError({ code: 'DELTA_LOG_CORRUPT', message: `${at}: ${what}` });
}
