import { uptime } from 'node:os';
import { bootId } from '../../state/boot-id.js';

/** Clocks are set, and are no more exact than that over a machine's life. */
const BOOT_GRAIN_MS = 600_000;

/**
 * Tells starts of the machine apart: what was written but never flushed may be lost with the next one. Linux numbers them;
 * elsewhere it is about when it was, so that one start may be taken for two.
 */
export function bootOfMachine(): string {
  return bootId() ?? String(Math.round((Date.now() - uptime() * 1_000) / BOOT_GRAIN_MS));
}
