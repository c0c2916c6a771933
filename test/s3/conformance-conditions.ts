import { describe, expect, test } from 'vitest';
import { outcomes, refusal, type World } from './conformance-world.js';

/** If-None-Match and If-Match on writes: what the lake's commits and its ledger are made of. */
export function conditionalWrites(world: World): void {
  describe('conditional writes', () => {
    test('of 32 writers of a new key exactly one wins, and its body stays', async () => {
      for (let round = 0; round < 3; round++) {
        const key = `race/${round}.json`;
        const writers = Array.from({ length: 32 }, (_, writer) =>
          world.bucket.put(key, `writer ${writer}`, { IfNoneMatch: '*' }),
        );
        const results = await outcomes(writers);
        expect(results.filter((result) => result === 'ok')).toHaveLength(1);
        expect(new Set(results)).toEqual(new Set(['ok', 'PreconditionFailed']));
        expect((await world.bucket.get(key)).text).toBe(`writer ${results.indexOf('ok')}`);
      }
    });

    test('of 16 writers over the same ETag exactly one wins', async () => {
      const etag = await world.bucket.put('swap', 'before');
      const writers = Array.from({ length: 16 }, (_, writer) =>
        world.bucket.put('swap', `writer ${writer}`, { IfMatch: etag }),
      );
      const results = await outcomes(writers);
      expect(results.filter((result) => result === 'ok')).toHaveLength(1);
      expect(new Set(results)).toEqual(new Set(['ok', 'PreconditionFailed']));
      expect((await world.bucket.get('swap')).text).toBe(`writer ${results.indexOf('ok')}`);
    });

    test('a counter kept by If-Match loses no increment of four workers', async () => {
      await world.bucket.put('counter', '0');
      const increment = async () => {
        for (;;) {
          const { text, etag } = await world.bucket.get('counter');
          const [result] = await outcomes([world.bucket.put('counter', String(Number(text) + 1), { IfMatch: etag })]);
          if (result === 'ok') return;
          expect(result).toBe('PreconditionFailed');
        }
      };
      const worker = async () => {
        for (let count = 0; count < 6; count++) await increment();
      };
      await Promise.all(Array.from({ length: 4 }, worker));
      expect((await world.bucket.get('counter')).text).toBe('24');
    });

    test('the ETag of a write is what the next one names', async () => {
      const first = await world.bucket.put('document', 'one', { IfNoneMatch: '*' });
      const second = await world.bucket.put('document', 'two', { IfMatch: first });
      expect(await refusal(world.bucket.put('document', 'three', { IfMatch: first }))).toEqual({
        code: 'PreconditionFailed',
        status: 412,
      });
      expect(await world.bucket.get('document')).toMatchObject({ text: 'two', etag: second });
    });

    test('If-Match on a missing key is refused', async () => {
      const write = world.bucket.put('never-written', 'x', { IfMatch: '"00000000000000000000000000000000"' });
      expect(await refusal(write)).toEqual({ code: 'NoSuchKey', status: 404 });
      expect(await refusal(world.bucket.get('never-written'))).toEqual({ code: 'NoSuchKey', status: 404 });
    });

    test('a refused write leaves the old body', async () => {
      await world.bucket.put('kept', 'old');
      expect(await refusal(world.bucket.put('kept', 'new', { IfNoneMatch: '*' }))).toEqual({
        code: 'PreconditionFailed',
        status: 412,
      });
      expect((await world.bucket.get('kept')).text).toBe('old');
    });
  });
}
