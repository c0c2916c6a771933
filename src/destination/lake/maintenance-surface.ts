import { SluiceError } from '../../error/sluice-error.js';
import type { Compaction, CompactTable, LakePlace, MaintenanceRecord, Vacuumed, VacuumTable } from '../maintenance.js';
import { ageLimits, deleteAll, vacuumed } from './garbage.js';
import type { Lake, MaintainedSource } from './lake.js';
import { type LedgerRelation, sourceName } from './ledger.js';
import { readRecord, writeRecord } from './maintenance-record.js';
import type { ObjectInfo, ObjectStore } from './object-store.js';
import { REJECTED_PREFIX } from './rejected-values.js';
import type { TableFormat } from './table-format.js';
import type { TableMaintenance } from './table-maintenance.js';
import { relationName } from './window.js';

/** The upkeep of a lake, as its thread is asked for it: between other calls, one piece of work each. */
export type MaintenanceSurface = {
  maintainedTables(request: { readonly source: string }): Promise<readonly LakePlace[]>;
  compactTable(request: CompactTable): Promise<Compaction>;
  vacuumTable(request: VacuumTable): Promise<Vacuumed>;
  vacuumSource(request: Pick<VacuumTable, 'source' | 'dryRun' | 'now'>): Promise<Vacuumed>;
  readMaintenance(request: { readonly source: string }): Promise<MaintenanceRecord | null>;
  writeMaintenance(request: { readonly source: string; readonly record: MaintenanceRecord }): Promise<void>;
};

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function maintenanceSurface(
  lake: Lake,
  deps: { readonly store: ObjectStore; readonly format: TableFormat; readonly retentionMs: number },
): MaintenanceSurface {
  const { store, format, retentionMs } = deps;
  return {
    async maintainedTables({ source }) {
      if (format.maintenance === undefined || !(await lake.exists())) return [];
      return lake.maintain(source, async ({ relations }) => relations.map(({ schema, name }) => ({ schema, name })));
    },

    compactTable: (request) =>
      lake.maintain(request.source, (tables) => {
        const { relation, upkeep } = chosen(request, tables, format);
        const { columns, key } = relation;
        const { thorough } = request;
        return upkeep.compact(tables.session, {
          ...{ table: relation, columns, key, thorough },
          now: new Date(request.now),
        });
      }),

    vacuumTable: (request) =>
      lake.maintain(request.source, async (tables) => {
        const { relation, upkeep } = chosen(request, tables, format);
        const pending = tables.ledger?.pending ?? [];
        const now = await earlier(store, request.now);
        return upkeep.vacuum(tables.session, { table: relation, pending, dryRun: request.dryRun, now });
      }),

    vacuumSource: ({ source, dryRun, now }) =>
      lake.maintain(source, async ({ ledger }) => {
        const { orphans } = ageLimits(retentionMs, await earlier(store, now));
        const gone: ObjectInfo[] = [];
        const prefix = `${REJECTED_PREFIX}${sourceName(source)}-`;
        for await (const object of store.list(prefix)) {
          // Another source's name may begin with this one's.
          const isOwn = UUID.test(object.key.slice(prefix.length, -'.parquet'.length));
          if (isOwn && object.key !== ledger?.rejected?.key && object.modifiedAt < orphans) gone.push(object);
        }
        if (!dryRun) {
          await deleteAll(store, gone);
          await store.abortLeftovers('', orphans);
        }
        return vacuumed(gone, 0);
      }),

    async readMaintenance({ source }) {
      return readRecord(store, source);
    },

    async writeMaintenance({ source, record }) {
      await writeRecord(store, source, record);
    },
  };
}

function chosen(
  place: LakePlace & { readonly source: string },
  { relations }: MaintainedSource,
  format: TableFormat,
): { readonly relation: LedgerRelation & { readonly application: string }; readonly upkeep: TableMaintenance } {
  const relation = relations.find((each) => relationName(each) === relationName(place));
  const upkeep = format.maintenance;
  if (relation !== undefined && upkeep !== undefined) return { relation, upkeep };
  throw new SluiceError({
    code: 'ADDRESS_UNKNOWN',
    message: `the lake has no table ${relationName(place)} of ${place.source} any more`,
  });
}

/** The store's files bear its own time: where the two clocks differ, nothing counts as older than either says. */
async function earlier(store: ObjectStore, now: string): Promise<Date> {
  const own = new Date(now);
  const theirs = await store.serverTime();
  return theirs !== null && theirs < own ? theirs : own;
}
