import type { EngineEvent } from './engine.js';

/** Tells notices that came before from those that are new; every other event is news. */
export function newsOnly(): (event: EngineEvent) => boolean {
  const noticed = new Set<string>();
  return (event) => {
    if (event.kind !== 'notice') return true;
    const notice = `${event.address} ${event.message}`;
    if (noticed.has(notice)) return false;
    noticed.add(notice);
    return true;
  };
}
