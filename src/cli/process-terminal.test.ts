import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { sinkOf } from './process-terminal.js';

/** A stream of a process, as far as a sink looks at it. */
function stream(patch: { isTTY?: boolean; columns?: number } = {}) {
  return Object.assign(new PassThrough(), { isTTY: false, columns: 0, ...patch });
}

function systemError(code: string): Error {
  return Object.assign(new Error(code), { code });
}

describe('sinkOf', () => {
  test('writes through', () => {
    const out = stream();
    sinkOf(out, {}).write('hello\n');
    expect(String(out.read())).toBe('hello\n');
  });

  test('a reader that went away is no error; what follows is let go', () => {
    const out = stream();
    const sink = sinkOf(out, {});
    out.emit('error', systemError('EPIPE'));
    sink.write('nobody hears');
    expect(out.read()).toBeNull();
  });

  test('another error is one', () => {
    const out = stream();
    sinkOf(out, {});
    expect(() => out.emit('error', systemError('ENOSPC'))).toThrow('ENOSPC');
  });

  test.each<{ name: string; isTTY: boolean; columns: number; width: number | null }>([
    { name: 'a terminal', isTTY: true, columns: 120, width: 120 },
    { name: 'a pseudo-terminal without a size', isTTY: true, columns: 0, width: null },
    { name: 'a pipe', isTTY: false, columns: 80, width: null },
  ])('width of $name', (c) => expect(sinkOf(stream(c), {}).columns()).toBe(c.width));
});
