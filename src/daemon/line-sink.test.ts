import { Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { LineSink } from './line-sink.js';

/** A reader that takes nothing until it is let. */
class SlowReader extends Writable {
  readonly taken: string[] = [];
  #go: (() => void) | null = null;
  #free = false;

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.taken.push(chunk.toString('utf8'));
    if (this.#free) done();
    else this.#go = done;
  }

  letGo(): void {
    this.#free = true;
    this.#go?.();
  }
}

const LINE = `${'x'.repeat(1_000)}\n`;

test('a reader that is behind gets the last line of each key once it has caught up, and all others', async () => {
  const reader = new SlowReader();
  const sink = new LineSink(reader, () => expect.fail('given up'));
  for (let i = 0; i < 100; i += 1) sink.write(LINE);
  const behind = reader.writableLength;
  for (let i = 0; i < 100_000; i += 1) sink.progress(`table ${i % 2}`, `${i}\n`);
  expect(reader.writableLength).toBe(behind);
  reader.letGo();
  await new Promise((resolve) => setImmediate(resolve));
  sink.end('the end\n');
  await new Promise((resolve) => reader.once('finish', resolve));
  expect(reader.taken.slice(100)).toEqual(['99998\n', '99999\n', 'the end\n']);
});

test('the end comes after what waited', async () => {
  const reader = new SlowReader();
  const sink = new LineSink(reader, () => expect.fail('given up'));
  for (let i = 0; i < 100; i += 1) sink.write(LINE);
  sink.progress('table', 'half\n');
  sink.end('the end\n');
  reader.letGo();
  await new Promise((resolve) => reader.once('finish', resolve));
  expect(reader.taken.slice(100)).toEqual(['half\n', 'the end\n']);
});

test('a reader that has stopped is given up, and nothing more is kept for it', () => {
  const reader = new SlowReader();
  let givenUp = 0;
  const sink = new LineSink(reader, () => {
    givenUp += 1;
    reader.destroy();
  });
  for (let i = 0; i < 20_000; i += 1) sink.write(LINE);
  expect(givenUp).toBe(1);
  expect(reader.writableLength).toBeLessThan(9 * 1024 * 1024);
});
