/** Sluice's own tables in the destination (DESIGN 6), schema `_sluice`. */

export const INTERNAL_SCHEMA = '_sluice';
export const RETIRED_SCHEMA = '_sluice_retired';
/** Version of the layout below; a file with a higher one was written by a newer Sluice. */
export const LAYOUT_VERSION = 2;

/** Makes the layout, or brings an older one up to it: each statement leaves alone what is there. */
export const INTERNAL_DDL: readonly string[] = [
  'CREATE SCHEMA IF NOT EXISTS _sluice',
  'CREATE TABLE IF NOT EXISTS _sluice.layout (version INTEGER)',
  `CREATE TABLE IF NOT EXISTS _sluice.streams (
     source VARCHAR, slot VARCHAR, system_identifier VARCHAR,
     confirmed_lsn VARCHAR, confirmed_at TIMESTAMPTZ, updated_at TIMESTAMPTZ)`,
  `CREATE TABLE IF NOT EXISTS _sluice.tables (
     address VARCHAR, target_schema VARCHAR, target_name VARCHAR,
     loaded_generation INTEGER, phase VARCHAR, resnapshot_reason VARCHAR,
     snapshot VARCHAR, snapshot_lsn VARCHAR, rows BIGINT, as_of_lsn VARCHAR, as_of TIMESTAMPTZ, "cursor" VARCHAR,
     rejected_values BIGINT, last_run_at TIMESTAMPTZ, load_rows_per_second DOUBLE,
     error_code VARCHAR, error_message VARCHAR, error_at TIMESTAMPTZ)`,
  `CREATE TABLE IF NOT EXISTS _sluice.runs (
     run_id VARCHAR, source VARCHAR, address VARCHAR, kind VARCHAR, status VARCHAR,
     started_at TIMESTAMPTZ, ended_at TIMESTAMPTZ, rows BIGINT, inserted BIGINT, updated BIGINT, deleted BIGINT,
     rejected BIGINT, from_lsn VARCHAR, to_lsn VARCHAR, error_code VARCHAR, error_message VARCHAR)`,
  // TRUNCATEs and changes of columns that were streamed while the table waited for a load; one that the load's snapshot
  // did not see asks for another.
  'CREATE TABLE IF NOT EXISTS _sluice.held_gaps (address VARCHAR, lsn VARCHAR, __xid UINTEGER, reason VARCHAR)',
  `CREATE TABLE IF NOT EXISTS _sluice.rejected_values (
     address VARCHAR, key VARCHAR, "column" VARCHAR, source_text VARCHAR, reason VARCHAR, lsn VARCHAR, recorded_at TIMESTAMPTZ)`,
  // Since version 2: which slot and timeline a position belongs to, and commits that no snapshot saw yet.
  'ALTER TABLE _sluice.streams ADD COLUMN IF NOT EXISTS slot_created_lsn VARCHAR',
  'ALTER TABLE _sluice.streams ADD COLUMN IF NOT EXISTS timeline_id INTEGER',
  'ALTER TABLE _sluice.streams ADD COLUMN IF NOT EXISTS unseen UINTEGER[]',
  // Since version 2: the last backfill that was finished.
  'ALTER TABLE _sluice.tables ADD COLUMN IF NOT EXISTS backfilled INTEGER',
  // Since version 2: what was done to the columns of a table.
  `CREATE TABLE IF NOT EXISTS _sluice.schema_changes (
     address VARCHAR, "table" VARCHAR, change VARCHAR, "column" VARCHAR, detail VARCHAR, recorded_at TIMESTAMPTZ)`,
];
