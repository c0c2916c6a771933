const WORD_BITS = 15;
const BLOCK_BYTES = 2 ** WORD_BITS / 8;

/**
 * Transaction ids. Those of one transaction lie close together, so a bit each in blocks of 32,768 keeps even millions of
 * subtransactions small.
 */
export class XidSet {
  readonly #blocks = new Map<number, Uint8Array>();

  add(xid: number): void {
    const key = xid >>> WORD_BITS;
    let block = this.#blocks.get(key);
    if (block === undefined) {
      block = new Uint8Array(BLOCK_BYTES);
      this.#blocks.set(key, block);
    }
    block[(xid >>> 3) % BLOCK_BYTES]! |= 1 << (xid & 7);
  }

  has(xid: number): boolean {
    const block = this.#blocks.get(xid >>> WORD_BITS);
    return block !== undefined && (block[(xid >>> 3) % BLOCK_BYTES]! & (1 << (xid & 7))) !== 0;
  }
}
