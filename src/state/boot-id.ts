import { readFileSync } from 'node:fs';

/** Another one after each start of the machine; null where the system does not tell (only Linux does). */
export function bootId(): string | null {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return null;
  }
}
