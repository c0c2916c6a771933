import { readFileSync } from 'node:fs';
import { bootId } from './boot-id.js';

/** What can be told of other processes on this host, to see whether the holder of a lock still lives. */
export interface ProcessTable {
  exists(pid: number): boolean;
  /** Something that a later process with the same pid does not share; null where the system does not tell. */
  startedAt(pid: number): string | null;
}

/** The processes of this machine. Start times come from /proc (Linux); elsewhere only the pid is compared. */
export const systemProcesses: ProcessTable = {
  exists(pid) {
    try {
      process.kill(pid, 0);
      return true;
    } catch (error) {
      // EPERM: it lives and belongs to somebody else.
      return error instanceof Error && 'code' in error && error.code === 'EPERM';
    }
  },
  startedAt(pid) {
    const stat = readOrNull(`/proc/${pid}/stat`);
    const ticks = stat === null ? null : startTicks(stat);
    return ticks === null ? null : `${bootId() ?? ''}/${ticks}`;
  },
};

/**
 * Field 22 of /proc/PID/stat, the start in clock ticks since boot. The command in field 2 may hold spaces and brackets, so
 * counting begins after its last bracket. A zombie counts as gone: it holds nothing any more.
 * @see proc(5)
 */
export function startTicks(stat: string): string | null {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z' || fields[0] === 'X') return 'dead';
  return fields[19] ?? null;
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
