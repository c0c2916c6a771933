import { describe, expect, test } from 'vitest';
import type { MetadataAction, ProtocolAction } from './action.js';
import { assertWritable, requiredProtocol, upgradedProtocol, type WriteIntent } from './protocol.js';
import { deltaField, schemaString } from './schema.js';

const long = deltaField({ name: 'id', duckdbType: 'BIGINT', nullable: true });
const plain = { fields: [long] };
const stamped = { fields: [long, deltaField({ name: 'at', duckdbType: 'TIMESTAMP[]', nullable: true })] };
const keyed = { fields: [deltaField({ name: 'id', duckdbType: 'BIGINT', nullable: false })] };
const vectors = { 'delta.enableDeletionVectors': 'true' };

function features(...names: string[]): ProtocolAction {
  return { minReaderVersion: 3, minWriterVersion: 7, readerFeatures: names, writerFeatures: names };
}

describe('a new table', () => {
  test.each([
    { name: 'needs nothing', schema: plain, configuration: {}, needs: { minReaderVersion: 1, minWriterVersion: 2 } },
    { name: 'has timestamps without zone', schema: stamped, configuration: {}, needs: features('timestampNtz') },
    { name: 'has deletion vectors', schema: plain, configuration: vectors, needs: features('deletionVectors') },
    {
      name: 'has both',
      schema: stamped,
      configuration: vectors,
      needs: features('deletionVectors', 'timestampNtz'),
    },
    {
      name: 'has a key',
      schema: keyed,
      configuration: {},
      needs: { minReaderVersion: 1, minWriterVersion: 2 },
    },
    {
      name: 'has a key and deletion vectors',
      schema: keyed,
      configuration: vectors,
      needs: { ...features('deletionVectors'), writerFeatures: ['deletionVectors', 'invariants'] },
    },
    {
      name: 'has them switched off',
      schema: plain,
      configuration: { 'delta.enableDeletionVectors': 'false' },
      needs: { minReaderVersion: 1, minWriterVersion: 2 },
    },
    {
      name: 'only ever grows',
      schema: stamped,
      configuration: { 'delta.appendOnly': 'true' },
      needs: { ...features('timestampNtz'), writerFeatures: ['appendOnly', 'timestampNtz'] },
    },
  ])('that $name', ({ schema, configuration, needs }) => {
    expect(requiredProtocol(schema, configuration)).toEqual(needs);
  });
});

describe('a table that is there', () => {
  test.each<{ name: string; current: ProtocolAction; becomes: ProtocolAction | null; schema?: typeof plain }>([
    { name: 'stays', current: features('deletionVectors'), becomes: null },
    {
      name: 'of version 1, 2 names what that stood for',
      current: { minReaderVersion: 1, minWriterVersion: 2 },
      becomes: { ...features('deletionVectors'), writerFeatures: ['appendOnly', 'deletionVectors', 'invariants'] },
    },
    {
      name: 'of version 2, 5 too',
      current: { minReaderVersion: 2, minWriterVersion: 5 },
      becomes: {
        minReaderVersion: 3,
        minWriterVersion: 7,
        readerFeatures: ['columnMapping', 'deletionVectors'],
        writerFeatures: [
          'appendOnly',
          'changeDataFeed',
          'checkConstraints',
          'columnMapping',
          'deletionVectors',
          'generatedColumns',
          'invariants',
        ],
      },
    },
    {
      name: 'names what stands for a key',
      current: features('deletionVectors'),
      schema: keyed,
      becomes: { ...features('deletionVectors'), writerFeatures: ['deletionVectors', 'invariants'] },
    },
    {
      name: 'keeps its own features',
      current: { minReaderVersion: 1, minWriterVersion: 7, writerFeatures: ['domainMetadata'] },
      becomes: { ...features('deletionVectors'), writerFeatures: ['deletionVectors', 'domainMetadata'] },
    },
  ])('$name', ({ current, becomes, schema }) => {
    expect(upgradedProtocol(current, schema ?? plain, vectors)).toEqual(becomes);
  });
});

describe('a table', () => {
  const withField = (metadata: Record<string, unknown>) => schemaString({ fields: [{ ...long, metadata }] });
  const cases: {
    name: string;
    protocol: ProtocolAction;
    configuration?: Record<string, string>;
    schema?: string;
    intent?: WriteIntent;
    refused: RegExp | null;
  }[] = [
    { name: 'of our own', protocol: features('deletionVectors', 'timestampNtz'), refused: null },
    { name: 'of version 1, 2', protocol: { minReaderVersion: 1, minWriterVersion: 2 }, refused: null },
    {
      name: 'of version 2, 6 that uses none of it',
      protocol: { minReaderVersion: 2, minWriterVersion: 6 },
      refused: null,
    },
    {
      name: 'with features that do not concern us',
      protocol: features('v2Checkpoint', 'vacuumProtocolCheck', 'clustering', 'domainMetadata', 'allowColumnDefaults'),
      refused: null,
    },
    {
      name: 'with features that are not switched on',
      protocol: features('inCommitTimestamp', 'typeWidening', 'columnMapping', 'changeDataFeed', 'checkConstraints'),
      refused: null,
    },
    {
      name: 'with mapped columns',
      protocol: { minReaderVersion: 2, minWriterVersion: 5 },
      configuration: { 'delta.columnMapping.mode': 'name' },
      refused: /columnMapping/,
    },
    { name: 'with row tracking', protocol: features('rowTracking'), refused: /rowTracking/ },
    { name: 'for Iceberg', protocol: features('icebergCompatV2'), refused: /icebergCompatV2/ },
    { name: 'of a catalog', protocol: features('catalogManaged'), refused: /catalogManaged/ },
    { name: 'of the future', protocol: features('timeTravelForward'), refused: /timeTravelForward/ },
    {
      name: 'of a newer protocol',
      protocol: { minReaderVersion: 4, minWriterVersion: 8 },
      refused: /protocol version/,
    },
    {
      name: 'with a constraint',
      protocol: { minReaderVersion: 1, minWriterVersion: 3 },
      configuration: { 'delta.constraints.positive': 'id > 0' },
      refused: /checkConstraints.*positive/,
    },
    {
      name: 'with an invariant',
      protocol: { minReaderVersion: 1, minWriterVersion: 2 },
      schema: withField({ 'delta.invariants': '{}' }),
      refused: /invariants.*"id"/,
    },
    {
      name: 'with a generated column',
      protocol: features('generatedColumns'),
      schema: withField({ 'delta.generationExpression': '1' }),
      refused: /generatedColumns/,
    },
    {
      name: 'with an identity column',
      protocol: features('identityColumns'),
      schema: withField({ 'delta.identity.start': 1 }),
      refused: /identityColumns/,
    },
    {
      name: 'with a widened column',
      protocol: features('typeWidening'),
      schema: withField({ 'delta.typeChanges': [] }),
      refused: /typeWidening/,
    },
    {
      name: 'with timestamps in its commits',
      protocol: features('inCommitTimestamp'),
      configuration: { 'delta.enableInCommitTimestamps': 'true' },
      refused: /inCommitTimestamp/,
    },
    {
      name: 'with a feed of changes',
      protocol: features('changeDataFeed'),
      configuration: { 'delta.enableChangeDataFeed': 'true' },
      refused: /changeDataFeed/,
    },
    {
      name: 'with a feed of changes, to append to',
      protocol: features('changeDataFeed'),
      configuration: { 'delta.enableChangeDataFeed': 'true' },
      intent: 'append',
      refused: null,
    },
    {
      name: 'that only grows',
      protocol: { minReaderVersion: 1, minWriterVersion: 2 },
      configuration: { 'delta.appendOnly': 'TRUE' },
      refused: /appendOnly/,
    },
    {
      name: 'that only grows, to append to',
      protocol: { minReaderVersion: 1, minWriterVersion: 2 },
      configuration: { 'delta.appendOnly': 'true' },
      intent: 'append',
      refused: null,
    },
  ];
  test.each(cases)('$name', ({ protocol, configuration = {}, schema, intent = 'change', refused }) => {
    const metadata: MetadataAction = {
      id: 'x',
      format: { provider: 'parquet', options: {} },
      schemaString: schema ?? schemaString(plain),
      partitionColumns: [],
      configuration,
    };
    const ask = () => assertWritable('shop/orders', { protocol, metadata }, intent);
    if (refused === null) expect(ask).not.toThrow();
    else {
      expect(ask).toThrow(refused);
      expect(ask).toThrow(expect.objectContaining({ code: 'DELTA_FEATURE_UNSUPPORTED' }));
    }
  });
});
