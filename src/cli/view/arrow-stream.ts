import { AsyncByteQueue, type RecordBatch, RecordBatchStreamWriter, type Schema } from 'apache-arrow';

/** Holds what was written until it is taken. */
class TakenBytes extends AsyncByteQueue {
  #parts: Uint8Array[] = [];

  override write(value: Uint8Array): void {
    // Buffers of a batch are not written to again.
    this.#parts.push(value);
  }

  take(): Uint8Array {
    const bytes = Buffer.concat(this.#parts);
    this.#parts = [];
    return bytes;
  }
}

/**
 * Batches as an Arrow IPC stream, piece by piece. One that was broken off has no end-of-stream mark.
 * @see Arrow columnar format, "IPC Streaming Format"
 */
export class ArrowStream {
  readonly #bytes = new TakenBytes();
  readonly #writer = new RecordBatchStreamWriter({ autoDestroy: false });

  constructor(schema: Schema) {
    this.#writer.reset(this.#bytes, schema);
  }

  /** The bytes of the schema with the first batch, then of each batch. */
  batch(batch: RecordBatch): Uint8Array {
    this.#writer.write(batch);
    return this.#bytes.take();
  }

  /** What is left to be written, with the end-of-stream mark. */
  end(): Uint8Array {
    this.#writer.finish();
    return this.#bytes.take();
  }
}
