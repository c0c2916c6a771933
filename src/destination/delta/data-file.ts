import { SluiceError } from '../../error/sluice-error.js';
import type { ObjectStore } from '../lake/object-store.js';
import type { AddAction } from './action.js';
import { DeletionVector } from './deletion-vector/deletion-vector.js';
import { readVector, vectorRange } from './deletion-vector/deletion-vector-file.js';
import { locateVector, readInlineVector, vectorId } from './deletion-vector/descriptor.js';

/** A live file of a Delta table: where it is, and which of its rows are deleted. */

/** The key of a data file in the store. @throws SluiceError DELTA_FEATURE_UNSUPPORTED for a file outside of its table */
export function dataFileKey(folder: string, add: Pick<AddAction, 'path'>): string {
  const path = decodeURIComponent(add.path);
  if (/^[a-z][a-z0-9+.-]*:/i.test(path) || path.startsWith('/') || path.split('/').includes('..')) {
    throw new SluiceError({
      code: 'DELTA_FEATURE_UNSUPPORTED',
      message: `the Delta table ${folder} refers to a file outside of its folder: ${path}`,
      hint: 'that is a clone of another table; Sluice needs a table of its own',
    });
  }
  return `${folder}/${path}`;
}

/** Vectors that were read lately; each is a few KB for a million rows. */
const VECTORS_KEPT = 2_000;

export class VectorReader {
  readonly #store: ObjectStore;
  readonly #known = new Map<string, DeletionVector>();

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /** The deleted rows of a file. @throws SluiceError DELTA_DV_CORRUPT, STORE_OBJECT_MISSING */
  async read(folder: string, add: AddAction): Promise<DeletionVector> {
    const descriptor = add.deletionVector;
    if (descriptor === null || descriptor === undefined) return DeletionVector.EMPTY;
    const id = `${folder}\n${vectorId(descriptor)}`;
    const known = this.#known.get(id);
    if (known !== undefined) return known;
    const place = `${folder}/${add.path}`;
    const location = locateVector(descriptor, place);
    let vector: DeletionVector;
    switch (location.kind) {
      case 'inline':
        vector = readInlineVector(descriptor, place);
        break;
      case 'relative': {
        const key = `${folder}/${location.path}`;
        const { from, to } = vectorRange(descriptor);
        vector = readVector(await this.#store.getRange(key, from, to), descriptor, key);
        break;
      }
      case 'absolute':
        throw new SluiceError({
          code: 'DELTA_FEATURE_UNSUPPORTED',
          message: `${place} has a deletion vector outside of the table's folder: ${location.uri}`,
          hint: 'that is a clone of another table; Sluice needs a table of its own',
        });
    }
    this.remember(id, vector);
    return vector;
  }

  /** @param id the folder and the vector's unique id */
  remember(id: string, vector: DeletionVector): void {
    this.#known.set(id, vector);
    const [oldest] = this.#known.keys();
    if (this.#known.size > VECTORS_KEPT && oldest !== undefined) this.#known.delete(oldest);
  }
}
