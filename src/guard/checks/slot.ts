import { quoteLiteral } from '../../source/sql-identifier.js';
import type { Finding } from '../finding.js';
import { cdcTables, type Subject } from '../subject.js';

const MB_BYTES = 1024 * 1024;

export function checkSlotCapacity(subject: Subject): Finding[] {
  const { source, catalog } = subject;
  const { usedReplicationSlots: used, maxReplicationSlots: max } = catalog.server;
  const exists = catalog.slots.some((slot) => slot.name === source.cdc.slot);
  if (cdcTables(subject).length === 0 || exists || used < max) return [];
  return [
    {
      level: 'error',
      code: 'SLOT_CAPACITY',
      address: `${source.name}:slot`,
      message: `all ${max} replication slots of the server are in use`,
      why: 'the source needs one of its own; inactive slots that nobody reads also hold WAL for ever',
      fixSql: `alter system set max_replication_slots = ${max + 5};`,
      needsRestart: true,
    },
  ];
}

/** The scheduled transport reads by SQL and takes no WAL sender. */
export function checkWalSenders(subject: Subject): Finding[] {
  const { source, catalog } = subject;
  const { usedWalSenders: used, maxWalSenders: max } = catalog.server;
  if (cdcTables(subject).length === 0 || used < max) return [];
  const needed = source.cdc.transport === 'continuous';
  return [
    {
      level: needed ? 'error' : 'info',
      code: 'WAL_SENDERS',
      address: source.name,
      message: `all ${max} WAL senders of the server are in use`,
      why: needed
        ? 'the continuous transport takes one'
        : 'the scheduled transport takes none; continuous would take one',
      fixSql: needed ? `alter system set max_wal_senders = ${max + 5};` : null,
      needsRestart: needed,
    },
  ];
}

/** Both ends have a price: without a limit a stopped Sluice fills the disk, with one the slot may be lost. */
export function checkWalRetention(subject: Subject): Finding[] {
  const { source, catalog } = subject;
  if (cdcTables(subject).length === 0) return [];
  const keepMb = catalog.server.maxSlotWalKeepSizeMb;
  const finding = { address: source.name, code: 'WAL_RETENTION', needsRestart: false };
  if (keepMb === null) {
    return [
      {
        ...finding,
        level: 'info',
        message: 'the server keeps WAL for slots without a limit (max_slot_wal_keep_size = -1)',
        why: `while Sluice does not run, WAL piles up on the server's disk; cdc.lag.critical_mb (${source.cdc.lag.criticalMb}) only acts while it runs`,
        fixSql: null,
      },
    ];
  }
  if (keepMb >= source.cdc.lag.criticalMb) return [];
  return [
    {
      ...finding,
      level: 'warning',
      message: `the server gives a slot up after ${keepMb} MB of WAL, before cdc.lag.critical_mb (${source.cdc.lag.criticalMb}) is reached`,
      why: 'the slot can be lost without a warning of Sluice, and every table is loaded anew then',
      fixSql: `alter system set max_slot_wal_keep_size = '${source.cdc.lag.criticalMb}MB';\nselect pg_reload_conf();`,
    },
  ];
}

export function checkSlot(subject: Subject): Finding[] {
  const { source, catalog } = subject;
  const slot = catalog.slots.find((candidate) => candidate.name === source.cdc.slot);
  if (slot === undefined || cdcTables(subject).length === 0) return [];
  const finding = { address: `${source.name}:slot`, fixSql: null, needsRestart: false };
  if (slot.plugin !== 'pgoutput' || slot.database !== catalog.server.database) {
    const what = slot.plugin === null ? 'a physical slot' : `a slot of ${slot.plugin} in database "${slot.database}"`;
    return [
      {
        ...finding,
        level: 'error',
        code: 'SLOT_FOREIGN',
        message: `"${slot.name}" is ${what}`,
        why: 'it belongs to somebody else; set another name under cdc.slot',
      },
    ];
  }
  if (slot.walStatus === 'lost' || slot.invalidationReason !== null) {
    return [
      {
        ...finding,
        level: 'error',
        code: 'SLOT_LOST',
        message: `slot "${slot.name}" has lost WAL it needs (${slot.invalidationReason ?? 'removed by the server'})`,
        why: 'changes are missing; `sluice plan` shows the resync that mends it',
        fixSql: `select pg_drop_replication_slot(${quoteLiteral(slot.name)});`,
      },
    ];
  }
  const retainedMb = (slot.retainedWalBytes ?? 0) / MB_BYTES;
  const endangered = slot.walStatus === 'unreserved';
  if (!endangered && retainedMb < source.cdc.lag.warningMb) return [];
  return [
    {
      ...finding,
      level: 'warning',
      code: 'SLOT_LAG',
      message: `slot "${slot.name}" holds ${Math.round(retainedMb)} MB of WAL${endangered ? ', and the server may remove it at its next checkpoint' : ''}`,
      why: 'a sync confirms what has landed and frees it',
    },
  ];
}
