import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemStoreDeps } from '../../../../test/lake/store-deps.js';
import type { PutCondition, PutResult } from '../object-store.js';
import { LocalStore } from './local-store.js';
import { probeConditionalWrites } from './probe.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-probe-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** Does with conditions what servers without them do. */
class CarelessStore extends LocalStore {
  constructor(
    root: string,
    private readonly forget: (condition: PutCondition) => boolean,
    private readonly refuse: (condition: PutCondition) => boolean = () => false,
  ) {
    super(root, systemStoreDeps);
  }

  override async put(key: string, body: Uint8Array, condition: PutCondition | null): Promise<PutResult> {
    if (condition !== null && this.refuse(condition)) return { kind: 'refused' };
    return await super.put(key, body, condition !== null && this.forget(condition) ? null : condition);
  }
}

test.each<{ name: string; store: () => CarelessStore; says: RegExp }>([
  {
    name: 'a server that ignores If-None-Match',
    store: () => new CarelessStore(folder, ({ kind }) => kind === 'absent'),
    says: /ignores If-None-Match/,
  },
  {
    name: 'a server that ignores If-Match',
    store: () => new CarelessStore(folder, ({ kind }) => kind === 'etag'),
    says: /ignores If-Match/,
  },
  {
    name: 'a server that refuses every If-Match',
    store: () =>
      new CarelessStore(
        folder,
        () => false,
        ({ kind }) => kind === 'etag',
      ),
    says: /by its own ETag/,
  },
  {
    name: 'a server that refuses every If-None-Match',
    store: () =>
      new CarelessStore(
        folder,
        () => false,
        ({ kind }) => kind === 'absent',
      ),
    says: /that was not there/,
  },
])('$name is found out', async ({ store, says }) => {
  const careless = store();
  await expect(probeConditionalWrites(careless, 't')).rejects.toMatchObject({
    code: 'STORE_NOT_CONDITIONAL',
    message: expect.stringMatching(says),
    hint: expect.stringContaining('conditional writes'),
  });
  expect(await careless.get('_sluice/probe-t')).toBeNull();
});
