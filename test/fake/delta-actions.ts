import type { Action, AddAction, DeletionVectorDescriptor, RemoveAction } from '../../src/destination/delta/action.js';
import type { PreparedCommit } from '../../src/destination/delta/commit.js';
import { deltaField, schemaString } from '../../src/destination/delta/schema.js';

/** Short ways to name what stands in a Delta log. */
export function add(path: string, over: Partial<AddAction> = {}): { add: AddAction } {
  const stats = '{"numRecords":1}';
  return {
    add: { path, partitionValues: {}, size: 100, modificationTime: 1, dataChange: true, stats, ...over },
  };
}

export function remove(path: string, over: Partial<RemoveAction> = {}): { remove: RemoveAction } {
  return { remove: { path, deletionTimestamp: 1, dataChange: true, ...over } };
}

export function vector(name: string): DeletionVectorDescriptor {
  return { storageType: 'u', pathOrInlineDv: name, offset: 1, sizeInBytes: 34, cardinality: 1 };
}

export const ONE_COLUMN = schemaString({ fields: [deltaField({ name: 'id', duckdbType: 'BIGINT', nullable: true })] });

/** The first actions of a table with one column. */
export function newTable(configuration: Record<string, string> = {}): Action[] {
  return [
    { protocol: { minReaderVersion: 1, minWriterVersion: 2 } },
    {
      metaData: {
        id: '5a2b1c9e-5f0e-4a4d-9d9c-5d1d2c1b0a99',
        format: { provider: 'parquet', options: {} },
        schemaString: ONE_COLUMN,
        partitionColumns: [],
        configuration,
        createdTime: 1,
      },
    },
  ];
}

export function prepared(
  actions: readonly Action[],
  txnVersion: number,
  over: Partial<PreparedCommit> = {},
): PreparedCommit {
  const appId = over.appId ?? 'app';
  return {
    actions,
    appId,
    txnVersion,
    commitId: `${appId}-${txnVersion}`,
    operation: 'WRITE',
    timestamp: 1_772_000_000_000,
    engineInfo: 'sluice/test',
    ...over,
  };
}
