import { SluiceError } from '../../error/sluice-error.js';
import type { MetadataAction, ProtocolAction } from './action.js';
import { parseSchema, type StructType, typeContains } from './schema.js';
import { booleanProperty, type TableConfiguration } from './table-property.js';

/**
 * Which version of the protocol and which features a table needs, and whether Sluice may write to a table that has them
 * (PROTOCOL.md, "Table Features", "Writer Version Requirements").
 */
interface Feature {
  readonly reader: boolean;
  /** Why the table cannot be written with this feature, null where it can. Asked of a listed feature. */
  readonly refuses: (table: TableFacts) => string | null;
}

interface TableFacts {
  readonly schema: StructType;
  readonly configuration: TableConfiguration;
  /** append: only new files; change: rows are taken out too. */
  readonly intent: WriteIntent;
}

export type WriteIntent = 'append' | 'change';

const always = (why: string) => (): string => why;
const never = (): null => null;

/** What is not in this list is not known, and refused. */
const FEATURES: Readonly<Record<string, Feature>> = {
  appendOnly: { reader: false, refuses: appendOnly },
  invariants: { reader: false, refuses: (t) => fieldMetadata(t, 'delta.invariants', 'has an invariant') },
  checkConstraints: { reader: false, refuses: checkConstraints },
  generatedColumns: {
    reader: false,
    refuses: (t) => fieldMetadata(t, 'delta.generationExpression', 'is a generated column'),
  },
  identityColumns: { reader: false, refuses: (t) => fieldMetadata(t, 'delta.identity.', 'is an identity column') },
  // Sluice gives every column of every row, so a default is never asked for.
  allowColumnDefaults: { reader: false, refuses: never },
  changeDataFeed: { reader: false, refuses: changeDataFeed },
  columnMapping: { reader: true, refuses: columnMapping },
  deletionVectors: { reader: true, refuses: never },
  timestampNtz: { reader: true, refuses: never },
  // Kept in the snapshot and written into checkpoints.
  domainMetadata: { reader: false, refuses: never },
  // Files that are not clustered may be added at any time, as long as they have statistics.
  clustering: { reader: false, refuses: never },
  // Read in all forms; the classic one may always be written.
  v2Checkpoint: { reader: true, refuses: never },
  // Asks of VACUUM what is asked here before every write.
  vacuumProtocolCheck: { reader: true, refuses: never },
  inCommitTimestamp: { reader: false, refuses: inCommitTimestamp },
  typeWidening: { reader: true, refuses: typeWidening },
  'typeWidening-preview': { reader: true, refuses: typeWidening },
  rowTracking: { reader: false, refuses: always('every row needs an id') },
  icebergCompatV1: { reader: false, refuses: always('files must follow the rules of Iceberg') },
  icebergCompatV2: { reader: false, refuses: always('files must follow the rules of Iceberg') },
  icebergCompatV3: { reader: false, refuses: always('files must follow the rules of Iceberg') },
  catalogManaged: { reader: true, refuses: always('commits must go through a catalog') },
  'catalogOwned-preview': { reader: true, refuses: always('commits must go through a catalog') },
};

/** What a table of writer version 2 does without naming it. */
const FIRST_WRITER_FEATURES: readonly string[] = ['appendOnly', 'invariants'];

/** What a table must do that has no list of features: each version and all below it. */
const LEGACY_WRITER: ReadonlyArray<readonly [version: number, features: readonly string[]]> = [
  [2, FIRST_WRITER_FEATURES],
  [3, ['checkConstraints']],
  [4, ['changeDataFeed', 'generatedColumns']],
  [5, ['columnMapping']],
  [6, ['identityColumns']],
];

/** The least that a new table with these columns and properties needs. */
export function requiredProtocol(schema: StructType, configuration: TableConfiguration): ProtocolAction {
  const features = neededFeatures(schema, configuration);
  if (features.every((name) => FIRST_WRITER_FEATURES.includes(name)))
    return { minReaderVersion: 1, minWriterVersion: 2 };
  const appendOnlySet = configuration['delta.appendOnly'] === undefined ? [] : ['appendOnly'];
  return withFeatures([...features, ...appendOnlySet]);
}

/**
 * The protocol of a table that shall have these columns and properties from now on.
 * @returns null where the one that it has will do. A table without a list of features gets one that names all that its
 *   version stood for, as nobody knows which of them its older versions use; nothing is ever taken away.
 */
export function upgradedProtocol(
  current: ProtocolAction,
  schema: StructType,
  configuration: TableConfiguration,
): ProtocolAction | null {
  const has = supportedFeatures(current);
  const needed = neededFeatures(schema, configuration);
  if (needed.every((feature) => has.includes(feature))) return null;
  return withFeatures([...has, ...needed]);
}

/** The features that a table supports, by list or by its version. Sorted. */
export function supportedFeatures(protocol: ProtocolAction): readonly string[] {
  const names = new Set([...(protocol.readerFeatures ?? []), ...(protocol.writerFeatures ?? [])]);
  if (protocol.minWriterVersion < 7) {
    for (const [version, features] of LEGACY_WRITER) {
      if (protocol.minWriterVersion >= version) for (const feature of features) names.add(feature);
    }
  }
  if (protocol.minReaderVersion === 2) names.add('columnMapping');
  return [...names].sort();
}

/**
 * Whether Sluice may write to a table.
 * @param table for messages
 * @throws SluiceError DELTA_FEATURE_UNSUPPORTED, with the feature's name
 */
export function assertWritable(
  table: string,
  state: { readonly protocol: ProtocolAction; readonly metadata: MetadataAction },
  intent: WriteIntent,
): void {
  const { minReaderVersion, minWriterVersion } = state.protocol;
  if (minReaderVersion > 3 || minWriterVersion > 7) {
    const asked = `reader ${minReaderVersion}, writer ${minWriterVersion}`;
    throw unsupported(table, `protocol version (${asked})`, 'Sluice knows up to reader 3, writer 7');
  }
  const schema = parseSchema(state.metadata.schemaString);
  const facts: TableFacts = { schema, configuration: state.metadata.configuration, intent };
  for (const name of supportedFeatures(state.protocol)) {
    const feature = FEATURES[name];
    if (feature === undefined) throw unsupported(table, name, 'Sluice does not know this feature');
    const why = feature.refuses(facts);
    if (why !== null) throw unsupported(table, name, why);
  }
  const { provider } = state.metadata.format;
  if (provider !== 'parquet') throw unsupported(table, `format ${provider}`, 'Sluice writes Parquet');
}

function neededFeatures(schema: StructType, configuration: TableConfiguration): readonly string[] {
  const needed: string[] = [];
  if (booleanProperty(configuration, 'delta.enableDeletionVectors', false)) needed.push('deletionVectors');
  if (schema.fields.some((field) => typeContains(field.type, 'timestamp_ntz'))) needed.push('timestampNtz');
  // A column that is NOT NULL is an invariant to Spark, which refuses a table with a list of features that lacks it.
  if (schema.fields.some((field) => !field.nullable)) needed.push('invariants');
  return needed;
}

function withFeatures(features: readonly string[]): ProtocolAction {
  const writerFeatures = [...new Set(features)].sort();
  const readerFeatures = writerFeatures.filter((name) => FEATURES[name]?.reader === true);
  return { minReaderVersion: 3, minWriterVersion: 7, readerFeatures, writerFeatures };
}

function appendOnly({ configuration, intent }: TableFacts): string | null {
  const only = booleanProperty(configuration, 'delta.appendOnly', false);
  return only && intent === 'change' ? 'rows may only be added' : null;
}

function checkConstraints({ configuration }: TableFacts): string | null {
  const name = Object.keys(configuration).find((key) => key.startsWith('delta.constraints.'));
  return name === undefined
    ? null
    : `the constraint ${name.slice('delta.constraints.'.length)} would have to be checked`;
}

function changeDataFeed({ configuration, intent }: TableFacts): string | null {
  const on = booleanProperty(configuration, 'delta.enableChangeDataFeed', false);
  return on && intent === 'change' ? 'changed rows would have to be written a second time' : null;
}

function columnMapping({ configuration }: TableFacts): string | null {
  const mode = configuration['delta.columnMapping.mode'] ?? 'none';
  return mode === 'none' ? null : `columns are mapped by ${mode}`;
}

function inCommitTimestamp({ configuration }: TableFacts): string | null {
  const on = booleanProperty(configuration, 'delta.enableInCommitTimestamps', false);
  return on ? 'every commit needs a timestamp of its own' : null;
}

function typeWidening(facts: TableFacts): string | null {
  return fieldMetadata(facts, 'delta.typeChanges', 'was of a narrower type in older files');
}

function fieldMetadata({ schema }: TableFacts, key: string, what: string): string | null {
  const field = schema.fields.find((candidate) =>
    Object.keys(candidate.metadata).some((name) => (key.endsWith('.') ? name.startsWith(key) : name === key)),
  );
  return field === undefined ? null : `column "${field.name}" ${what}`;
}

function unsupported(table: string, feature: string, why: string): SluiceError {
  return new SluiceError({
    code: 'DELTA_FEATURE_UNSUPPORTED',
    message: `the Delta table ${table} uses ${feature}, which Sluice does not write with: ${why}`,
    hint: 'switch it off with the engine that switched it on, or let Sluice write the table to another place',
  });
}
