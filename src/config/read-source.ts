import type { CdcConfig, SourceConfig } from './config.js';
import { suggestion } from './nearest.js';
import type { ConfigPath } from './problem.js';
import { DEFAULT_SCHEDULE, readSchedule } from './read-schedule.js';
import { type DefaultsOfSource, readTables } from './read-table.js';
import type { Reading } from './reading.js';
import type { Pruned } from './schema.js';
import type { Cdc, Source, TableDefaults } from './schema-types.js';

/** NAMEDATALEN - 1 */
const IDENTIFIER_MAX_BYTES = 63;
const PLACEHOLDERS = ['schema', 'source'];
/** Schemas in the destination that belong to Sluice or to the engine. */
const RESERVED_SCHEMAS = ['_sluice', '_sluice_retired', 'information_schema', 'pg_catalog'];

export interface KnownNames {
  readonly connections: readonly string[];
  readonly destinations: readonly string[];
}

/** An entry of `sources:` with every default applied. */
export function readSource(name: string, raw: Pruned<Source>, known: KnownNames, reading: Reading): SourceConfig {
  const path: ConfigPath = ['sources', name];
  checkReference(raw.connection, [...path, 'connection'], { what: 'connection', known: known.connections }, reading);
  checkReference(
    raw.destination,
    [...path, 'destination'],
    { what: 'destination', known: known.destinations },
    reading,
  );
  const targetSchema = raw.target_schema ?? '{schema}';
  checkTargetSchema(targetSchema, [...path, 'target_schema'], reading);
  const defaults = readDefaults(raw.defaults ?? {}, [...path, 'defaults'], reading);
  const tables = readTables(
    raw.tables ?? {},
    [...path, 'tables'],
    { defaults, sourceSchema: raw.schema ?? null },
    reading,
  );
  return {
    name,
    connection: raw.connection ?? '',
    destination: raw.destination ?? '',
    schema: raw.schema ?? null,
    metadataPrefix: raw.metadata_prefix ?? '_ph_',
    targetSchema,
    cdc: readCdc(name, raw.cdc ?? {}, [...path, 'cdc'], reading),
    snapshot: {
      parallel: raw.snapshot?.parallel ?? 1,
      saveEveryMs: reading.duration([...path, 'snapshot', 'save_every'], raw.snapshot?.save_every, '20s'),
    },
    parallelTables: raw.parallel_tables ?? 1,
    tables,
  };
}

function readDefaults(raw: Pruned<TableDefaults>, path: ConfigPath, reading: Reading): DefaultsOfSource {
  return {
    raw,
    path,
    schedule:
      raw.schedule === undefined ? DEFAULT_SCHEDULE : readSchedule(raw.schedule, [...path, 'schedule'], reading),
    lookbackMs: reading.duration([...path, 'lookback'], raw.lookback, '0s'),
  };
}

function checkReference(
  name: string | undefined,
  path: ConfigPath,
  target: { readonly what: string; readonly known: readonly string[] },
  reading: Reading,
): void {
  if (name === undefined || target.known.includes(name)) return;
  const hint = target.known.length === 0 ? '; none is defined' : suggestion(name, target.known);
  reading.problem(path, `no ${target.what} is called ${reading.quote(path, name)}${hint}`);
}

function checkTargetSchema(template: string, path: ConfigPath, reading: Reading): void {
  const [wrong] = [...template.matchAll(/\{([^{}]*)\}/g)]
    .map((match) => match[1] ?? '')
    .filter((key) => !PLACEHOLDERS.includes(key));
  if (wrong !== undefined) {
    reading.problem(path, `unknown placeholder {${wrong}}${suggestion(wrong, PLACEHOLDERS)}`);
  } else if (/[{}]/.test(template.replaceAll(/\{\w+\}/g, ''))) {
    reading.problem(path, 'a brace has no partner; expected {schema} or {source} in it');
  } else if (RESERVED_SCHEMAS.includes(template.toLowerCase())) {
    reading.problem(path, `the schema "${template}" is reserved`);
  }
}

function readCdc(source: string, raw: Pruned<Cdc>, path: ConfigPath, reading: Reading): CdcConfig {
  const management = raw.management ?? 'managed';
  const transport = raw.transport ?? 'scheduled';
  const selfManaged = management === 'self_managed';
  const suffix = source.toLowerCase().replaceAll('-', '_');
  if (selfManaged && raw.publication === undefined) {
    reading.problem(
      [...path, 'publication'],
      'required key is missing: management "self_managed" names your publication',
      'key',
    );
  }
  const publicationPath = [...path, 'publication'];
  if (raw.publication !== undefined) {
    if (Buffer.byteLength(raw.publication) > IDENTIFIER_MAX_BYTES) {
      reading.problem(
        publicationPath,
        `expected at most the ${IDENTIFIER_MAX_BYTES} bytes that Postgres allows in a name`,
      );
    } else if (!selfManaged && !/^[A-Za-z_][A-Za-z0-9_]*$/.test(raw.publication)) {
      reading.problem(
        publicationPath,
        `expected letters, digits and _, not starting with a digit, found ${reading.quote(publicationPath, raw.publication)}`,
      );
    }
  }
  if (raw.flush !== undefined && raw.transport !== 'continuous' && !reading.isBroken([...path, 'transport'])) {
    reading.warning([...path, 'flush'], 'has no effect with transport "scheduled"', 'key');
  }
  return {
    management,
    publication: raw.publication ?? `sluice_pub_${suffix}`,
    slot: raw.slot ?? `sluice_${suffix}`,
    transport,
    flush: {
      everyMs: reading.duration([...path, 'flush', 'every'], raw.flush?.every, '10s', 1_000),
      rows: raw.flush?.rows ?? 100_000,
    },
    lag: readLag(raw, selfManaged, [...path, 'lag'], reading),
    onSlotLost: raw.on_slot_lost ?? 'manual',
    heartbeat: raw.heartbeat ?? true,
  };
}

function readLag(raw: Pruned<Cdc>, selfManaged: boolean, path: ConfigPath, reading: Reading): CdcConfig['lag'] {
  const lag = raw.lag ?? {};
  const warningMb = lag.warning_mb ?? 1_024;
  const criticalMb = lag.critical_mb ?? 10_240;
  if (
    warningMb >= criticalMb &&
    !reading.isBroken([...path, 'warning_mb']) &&
    !reading.isBroken([...path, 'critical_mb'])
  ) {
    const culprit = lag.warning_mb === undefined ? 'critical_mb' : 'warning_mb';
    reading.problem([...path, culprit], `expected warning_mb below critical_mb, found ${warningMb} and ${criticalMb}`);
  }
  if (selfManaged && lag.on_critical === 'drop_slot') {
    reading.problem([...path, 'on_critical'], 'management "self_managed" always alerts; use alert, or leave it out');
  }
  return { warningMb, criticalMb, onCritical: selfManaged ? 'alert' : (lag.on_critical ?? 'drop_slot') };
}
