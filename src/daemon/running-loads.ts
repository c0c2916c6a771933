import type { EngineEvent } from '../executor/engine.js';
import type { RunningLoadBlock } from './control-protocol.js';

/** The loads that are under way, as the engine's events tell of them. */
export class RunningLoads {
  readonly #loads = new Map<string, RunningLoadBlock>();

  onEvent(event: EngineEvent, now: Date): void {
    switch (event.kind) {
      case 'load_started':
        this.#loads.set(event.address, {
          address: event.address,
          method: event.method,
          started_at: now.toISOString(),
          rows: 0,
          bytes: 0,
          estimated_rows: event.estimatedRows,
        });
        return;
      case 'load_progress': {
        const load = this.#loads.get(event.address);
        if (load === undefined) return;
        const estimate = event.estimatedRows ?? load.estimated_rows;
        this.#loads.set(event.address, { ...load, rows: event.rows, bytes: event.bytes, estimated_rows: estimate });
        return;
      }
      case 'load_ended':
      case 'table_failed':
        this.#loads.delete(event.address);
        return;
      case 'source_ended': {
        // Trouble of the whole source breaks its loads off without a word on each.
        if (event.run.error === null) return;
        const own = `${event.run.source}:`;
        for (const address of this.#loads.keys()) if (address.startsWith(own)) this.#loads.delete(address);
        return;
      }
      default:
        return;
    }
  }

  clear(): void {
    this.#loads.clear();
  }

  list(): readonly RunningLoadBlock[] {
    return [...this.#loads.values()];
  }
}
