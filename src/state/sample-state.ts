import type { SourceState, StateDocument, TableState } from './state.js';

/** Complete values for tests, to be changed field by field. */
export function sampleTable(fields: Partial<TableState> = {}): TableState {
  return {
    oid: 16_400,
    method: 'cdc',
    output: 'consolidated',
    deletes: 'soft',
    columns: [{ name: 'id', attnum: 1, type: 'integer', target_type: 'INTEGER' }],
    primary_key: ['id'],
    replica_identity: 'default',
    cursor: null,
    lookback_ms: 0,
    schedule: { kind: 'every', every_ms: 300_000 },
    partition_by: [],
    on_remove: 'retire',
    on_partition_change: 'resync',
    target: { schema: 'public', name: 'users' },
    metadata_prefix: '_ph_',
    enabled: true,
    paused: false,
    pause: null,
    generation: 1,
    generation_reason: 'first load',
    published_in_generation: null,
    backfill: null,
    ...fields,
  };
}

export function sampleSource(fields: Partial<SourceState> = {}): SourceState {
  return {
    connection_fingerprint: 'c0ffee',
    system_identifier: '7000000000000000001',
    database: 'shop',
    destination: 'warehouse',
    destination_fingerprint: 'beef',
    destination_place: null,
    management: 'managed',
    publication: 'sluice_pub_shop',
    publication_tables: ['public.users'],
    slot: { name: 'sluice_shop', created_lsn: '0/1000' },
    pending_slot: null,
    halted: null,
    paused: null,
    cleanup: null,
    tables: { 'public.users': sampleTable() },
    ...fields,
  };
}

export function sampleState(sources: StateDocument['sources'] = { shop: sampleSource() }): StateDocument {
  return { format_version: 2, lineage: 'a-lineage', serial: 3, sources };
}
