/**
 * The actions of a Delta log that Sluice reads and writes, as they stand in its JSON (PROTOCOL.md, "Actions"). Only the
 * fields that mean something to us are named.
 */
export type Action =
  | { readonly protocol: ProtocolAction }
  | { readonly metaData: MetadataAction }
  | { readonly add: AddAction }
  | { readonly remove: RemoveAction }
  | { readonly txn: TransactionAction }
  | { readonly domainMetadata: DomainMetadataAction }
  | { readonly commitInfo: CommitInfoAction };

export interface ProtocolAction {
  readonly minReaderVersion: number;
  readonly minWriterVersion: number;
  readonly readerFeatures?: readonly string[];
  readonly writerFeatures?: readonly string[];
}

export interface MetadataAction {
  readonly id: string;
  readonly name?: string | null;
  readonly description?: string | null;
  readonly format: { readonly provider: string; readonly options: Readonly<Record<string, string>> };
  /** JSON of a `StructType` (schema.ts). */
  readonly schemaString: string;
  readonly partitionColumns: readonly string[];
  readonly configuration: Readonly<Record<string, string>>;
  readonly createdTime?: number | null;
}

export interface AddAction {
  /** Relative to the table's folder, URI-encoded. */
  readonly path: string;
  readonly partitionValues: Readonly<Record<string, string | null>>;
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly modificationTime: number;
  readonly dataChange: boolean;
  /** JSON of numRecords, minValues, maxValues, nullCount; for a file with a deletion vector also tightBounds: false. */
  readonly stats?: string | null;
  readonly tags?: Readonly<Record<string, string>> | null;
  readonly deletionVector?: DeletionVectorDescriptor | null;
  /** Who clustered the file; kept where the same file is added again. */
  readonly clusteringProvider?: string | null;
}

export interface RemoveAction {
  readonly path: string;
  readonly deletionTimestamp?: number | null;
  readonly dataChange: boolean;
  readonly extendedFileMetadata?: boolean | null;
  readonly partitionValues?: Readonly<Record<string, string | null>> | null;
  readonly size?: number | null;
  readonly deletionVector?: DeletionVectorDescriptor | null;
}

/** PROTOCOL.md, "Deletion Vector Descriptor Schema". */
export interface DeletionVectorDescriptor {
  /** u: a file named by a UUID beside the data; i: in the descriptor itself; p: an absolute path. */
  readonly storageType: 'u' | 'i' | 'p';
  readonly pathOrInlineDv: string;
  readonly offset?: number | null;
  /** Of the serialized vector, without the length before and the CRC behind it. */
  readonly sizeInBytes: number;
  readonly cardinality: number;
}

export interface TransactionAction {
  readonly appId: string;
  readonly version: number;
  readonly lastUpdated?: number | null;
}

/** A setting of a named domain, such as a clustered table's columns: kept even where its meaning is not known. */
export interface DomainMetadataAction {
  readonly domain: string;
  readonly configuration: string;
  readonly removed: boolean;
}

export interface CommitInfoAction {
  readonly timestamp: number;
  readonly operation: string;
  readonly operationParameters?: Readonly<Record<string, string>>;
  readonly engineInfo?: string;
  readonly [key: string]: unknown;
}
