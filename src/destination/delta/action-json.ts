import { SluiceError } from '../../error/sluice-error.js';
import type { Action, DeletionVectorDescriptor } from './action.js';

/** Actions as the lines of a commit (PROTOCOL.md, "Actions"). */

/** @returns one action a line, with a line's end behind each: the body of a commit */
export function commitBody(actions: readonly Action[]): Uint8Array {
  return Buffer.from(actions.map((action) => `${actionLine(action)}\n`).join(''), 'utf8');
}

/** One line: fields in the protocol's order, absent ones left out. */
export function actionLine(action: Action): string {
  return JSON.stringify(ordered(action), (key, value: unknown) => {
    if (typeof value === 'number' && !Number.isSafeInteger(value)) {
      throw new SluiceError({
        code: 'INTERNAL',
        message: `${key} = ${value} cannot be written to a Delta log exactly`,
      });
    }
    return value;
  });
}

function ordered(action: Action): unknown {
  if ('add' in action) {
    const a = action.add;
    return {
      add: {
        path: a.path,
        partitionValues: a.partitionValues,
        size: a.size,
        modificationTime: a.modificationTime,
        dataChange: a.dataChange,
        stats: a.stats ?? undefined,
        tags: a.tags ?? undefined,
        deletionVector: orderedVector(a.deletionVector),
        clusteringProvider: a.clusteringProvider ?? undefined,
      },
    };
  }
  if ('remove' in action) {
    const r = action.remove;
    const extended = r.partitionValues != null && r.size != null;
    return {
      remove: {
        path: r.path,
        deletionTimestamp: r.deletionTimestamp ?? undefined,
        dataChange: r.dataChange,
        extendedFileMetadata: r.extendedFileMetadata ?? (extended ? true : undefined),
        partitionValues: r.partitionValues ?? undefined,
        size: r.size ?? undefined,
        deletionVector: orderedVector(r.deletionVector),
      },
    };
  }
  if ('txn' in action) {
    const t = action.txn;
    return { txn: { appId: t.appId, version: t.version, lastUpdated: t.lastUpdated ?? undefined } };
  }
  if ('metaData' in action) {
    const m = action.metaData;
    return {
      metaData: {
        id: m.id,
        name: m.name ?? undefined,
        description: m.description ?? undefined,
        format: { provider: m.format.provider, options: m.format.options },
        schemaString: m.schemaString,
        partitionColumns: m.partitionColumns,
        configuration: m.configuration,
        createdTime: m.createdTime ?? undefined,
      },
    };
  }
  if ('protocol' in action) {
    const p = action.protocol;
    return {
      protocol: {
        minReaderVersion: p.minReaderVersion,
        minWriterVersion: p.minWriterVersion,
        readerFeatures: p.readerFeatures,
        writerFeatures: p.writerFeatures,
      },
    };
  }
  return action;
}

function orderedVector(vector: DeletionVectorDescriptor | null | undefined): unknown {
  if (vector === null || vector === undefined) return undefined;
  return {
    storageType: vector.storageType,
    pathOrInlineDv: vector.pathOrInlineDv,
    offset: vector.offset ?? undefined,
    sizeInBytes: vector.sizeInBytes,
    cardinality: vector.cardinality,
  };
}
