import type { BatchMessage } from '../../batch/transfer.js';
import { BatchReceiver } from '../../thread/batch-channel.js';
import { type BeginShadow, SETTLED_COLUMN } from '../writer.js';
import { receivedBatches } from './batch-scan.js';
import type { DuckDbSession } from './session.js';
import { columnDefinition } from './target-ddl.js';

/**
 * A fresh copy of a source table that the destination is compared with. It is a temporary table: it spills beside the
 * file but never grows it, and it is gone with the session, however that ends.
 */
export const SHADOW_TABLE = 'verify_shadow';

export class RunningShadow {
  readonly #begin: BeginShadow;
  readonly #receiver: BatchReceiver<BatchMessage>;
  #rows = 0;

  private constructor(begin: BeginShadow) {
    this.#begin = begin;
    this.#receiver = new BatchReceiver(begin.channel);
  }

  static async begin(session: DuckDbSession, begin: BeginShadow): Promise<RunningShadow> {
    const columns = [...begin.table.columns, SETTLED_COLUMN].map(columnDefinition);
    await session.run(`CREATE OR REPLACE TEMP TABLE ${SHADOW_TABLE} (${columns.join(', ')})`);
    return new RunningShadow(begin);
  }

  /** One INSERT that pulls batches until the channel ends or asks for a pause. */
  async advance(session: DuckDbSession): Promise<{ state: 'done' | 'paused'; rows: number }> {
    let state: 'done' | 'paused' = 'done';
    const source = session.scan.add(
      receivedBatches([...this.#begin.table.columns, SETTLED_COLUMN], this.#receiver, () => {
        state = 'paused';
      }),
    );
    this.#rows += await session.run(`INSERT INTO ${SHADOW_TABLE} SELECT * FROM ${source}`);
    return { state, rows: this.#rows };
  }

  close(): void {
    this.#receiver.close();
  }

  async discard(session: DuckDbSession): Promise<void> {
    this.close();
    await session.run(`DROP TABLE IF EXISTS ${SHADOW_TABLE}`);
  }
}
