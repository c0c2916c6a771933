import { formatDuration } from '../../config/duration.js';
import { quoteLiteral } from '../../source/sql-identifier.js';
import type { Finding } from '../finding.js';
import { settingMending } from '../platform.js';
import { cdcTables, known, type Subject } from '../subject.js';

const MB_BYTES = 1024 * 1024;
/** The WAL lag guard acts at this part of max_slot_wal_keep_size where that is below its own threshold. */
const CRITICAL_PART = 0.8;
/** Somebody on leave must not cost a resync. */
const SHORT_IDLE_MS = 24 * 3_600_000;

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
      ...settingMending(subject, 'max_replication_slots', String(max + 5), true),
    },
  ];
}

/** The scheduled transport reads by SQL and takes no WAL sender. */
export function checkWalSenders(subject: Subject): Finding[] {
  const { source, catalog } = subject;
  const { usedWalSenders: used, maxWalSenders: max } = catalog.server;
  if (cdcTables(subject).length === 0 || used < max) return [];
  // A slot that is being read by the continuous transport has its sender already.
  const reading = catalog.slots.some((slot) => slot.name === source.cdc.slot && slot.active);
  if (reading) return [];
  const needed = source.cdc.transport === 'continuous';
  const mending = settingMending(subject, 'max_wal_senders', String(max + 5), true);
  return [
    {
      level: needed ? 'error' : 'info',
      code: 'WAL_SENDERS',
      address: source.name,
      message: `all ${max} WAL senders of the server are in use`,
      why: needed
        ? 'the continuous transport takes one'
        : 'the scheduled transport takes none; continuous would take one',
      ...(needed ? mending : { fixSql: null, needsRestart: false }),
    },
  ];
}

/** Both ends have a price: without a limit a stopped Sluice fills the disk, with one the slot may be lost. */
export function checkWalRetention(subject: Subject): Finding[] {
  const { source, catalog } = subject;
  if (cdcTables(subject).length === 0) return [];
  const keepMb = catalog.server.maxSlotWalKeepSizeMb;
  const { warningMb, criticalMb } = source.cdc.lag;
  const roomMb = Math.ceil(criticalMb / CRITICAL_PART);
  const finding = {
    address: source.name,
    code: 'WAL_RETENTION',
    level: 'warning' as const,
    ...settingMending(subject, 'max_slot_wal_keep_size', `'${roomMb}MB'`, false),
  };
  if (keepMb === null) {
    return [
      {
        ...finding,
        message: 'the server keeps WAL for slots without a limit (max_slot_wal_keep_size = -1)',
        why: `while Sluice does not run, WAL piles up until the server's disk is full; cdc.lag.critical_mb (${criticalMb}) only acts while it runs`,
      },
    ];
  }
  if (keepMb * CRITICAL_PART >= criticalMb) return [];
  const actsAtMb = Math.floor(keepMb * CRITICAL_PART);
  return [
    {
      ...finding,
      message: `the server gives a slot up after ${keepMb} MB of WAL (max_slot_wal_keep_size), so ${actsAtMb} MB are critical and not cdc.lag.critical_mb (${criticalMb})`,
      why: `${actsAtMb <= warningMb ? `cdc.lag.warning_mb (${warningMb}) would warn too late; ` : ''}once the slot is lost every table is loaded anew`,
    },
  ];
}

/** 18+: a slot that nobody reads for so long is invalidated at the next checkpoint. */
export function checkIdleSlotTimeout(subject: Subject): Finding[] {
  const { source } = subject;
  const timeoutMs = known(subject.readiness?.session)?.idleSlotTimeoutMs ?? null;
  if (timeoutMs === null || cdcTables(subject).length === 0) return [];
  const short = timeoutMs < SHORT_IDLE_MS;
  return [
    {
      level: short ? 'warning' : 'info',
      code: 'SLOT_IDLE_TIMEOUT',
      address: source.name,
      message: `the server invalidates a slot that nobody reads for ${formatDuration(timeoutMs)} (idle_replication_slot_timeout)`,
      why: 'a Sluice that stops for longer, or a schedule that is slower, loses the slot, and every table is loaded anew',
      ...(short
        ? settingMending(subject, 'idle_replication_slot_timeout', '0', false)
        : { fixSql: null, needsRestart: false }),
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
